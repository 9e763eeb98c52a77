"""The recurrence as a loop over time with its own backward pass: the fast form on a CPU.

One fused multiply-add a step, forward and backward, written in place, with no autograd graph of T nodes:

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


class _SequentialScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, values: Tensor, state: Tensor) -> Tensor:
        h = torch.empty_like(values)
        previous = state
        for a, b, out in zip(coefficients.unbind(1), values.unbind(1), h.unbind(1), strict=True):
            torch.addcmul(b, a, previous, out=out)
            previous = out
        ctx.save_for_backward(coefficients, state, h)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coefficients, state, h = (saved.conj().resolve_conj() for saved in ctx.saved_tensors)
        of_values = gradient.clone()
        a, g = coefficients.unbind(1), of_values.unbind(1)
        for t in range(len(g) - 2, -1, -1):
            torch.addcmul(g[t], a[t + 1], g[t + 1], out=g[t])
        of_coefficients = torch.empty_like(h)
        torch.mul(of_values[:, :1], state[:, None], out=of_coefficients[:, :1])
        torch.mul(of_values[:, 1:], h[:, :-1], out=of_coefficients[:, 1:])
        return of_coefficients, of_values, g[0] * a[0]


def sequential_scan(
    coefficients: Float[Tensor, "batch time dim"],
    values: Float[Tensor, "batch time dim"],
    state: Float[Tensor, "batch dim"],
) -> Float[Tensor, "batch time dim"]:
    """h_t = a_t * h_{t-1} + b_t."""
    return _SequentialScan.apply(coefficients, values, state)
