"""torch's modules as plain functions of few rows, for `Encoder.stepper`.

Called as a module, a product of a handful of rows takes less time than what leads to it: hooks and parameters are
looked up, arguments checked, memory allocated. Here all of that is done once. Without a number of rows the functions
are differentiable in the parameters; with one they write into memory of their own, each call over the last.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Map = Callable[[Tensor], Tensor]
"""From [B, D] to [B, D']."""


def linear(module: nn.Linear, rows: int | None = None) -> Map:
    """x W^T + b."""
    weight, bias, out = module.weight.t(), module.bias, memory(module, rows)
    return lambda x: torch.addmm(bias, x, weight, out=out)


def memory(module: nn.Linear, rows: int | None) -> Tensor | None:
    """For the output of so many rows; None, which leaves it to torch to allocate, without a number of them."""
    return None if rows is None else module.weight.new_empty(rows, module.out_features)


def layer_norm(module: nn.LayerNorm) -> Map:
    """Normalised over the last axis."""
    shape, weight, bias, epsilon = list(module.normalized_shape), module.weight, module.bias, module.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, epsilon)


def added(rows: int | None) -> Callable[[Tensor, Tensor], Tensor]:
    """x + y; with a number of rows, in the place of x."""
    return torch.add if rows is None else Tensor.add_
