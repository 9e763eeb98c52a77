"""The recurrence as it is written down: the oracle that every other implementation is tested against."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def reference_scan(
    coefficients: Float[Tensor, "batch time dim"],
    values: Float[Tensor, "batch time dim"],
    state: Float[Tensor, "batch dim"],
) -> Float[Tensor, "batch time dim"]:
    """h_t = a_t * h_{t-1} + b_t, one step after the other, differentiated by autograd."""
    steps = []
    for a, b in zip(coefficients.unbind(1), values.unbind(1), strict=True):
        state = a * state + b
        steps.append(state)
    return torch.stack(steps, dim=1)
