"""The recurrence one step after another, with its own backward pass: the fast form on a CPU.

One fused multiply-add a step, forward and backward, written in place, with no autograd graph of T nodes; long sequences
of few rows in pieces side by side (`recurrence`):

    forward:   h_t = a_t * h_{t-1} + b_t
    backward:  G_t = dL/dh_t + a_{t+1} * G_{t+1},   dL/db_t = G_t,   dL/da_t = G_t * h_{t-1},   dL/dh_0 = a_1 * G_1

Of complex numbers, the factors of G are the conjugates.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from decision_minrnn.ops.recurrence import recurrence, reversed_recurrence


class _SequentialScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, values: Tensor, state: Tensor) -> Tensor:
        h = recurrence(coefficients, values, state)
        ctx.save_for_backward(coefficients, state, h)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coefficients, state, h = (saved.conj().resolve_conj() for saved in ctx.saved_tensors)
        of_values = reversed_recurrence(coefficients, gradient)
        of_coefficients = torch.empty_like(h)
        torch.mul(of_values[:, :1], state[:, None], out=of_coefficients[:, :1])
        torch.mul(of_values[:, 1:], h[:, :-1], out=of_coefficients[:, 1:])
        return of_coefficients, of_values, of_values[:, 0] * coefficients[:, 0]


def sequential_scan(
    coefficients: Float[Tensor, "batch time dim"],
    values: Float[Tensor, "batch time dim"],
    state: Float[Tensor, "batch dim"],
) -> Float[Tensor, "batch time dim"]:
    """h_t = a_t * h_{t-1} + b_t."""
    return _SequentialScan.apply(coefficients, values, state)
