"""torch's modules as plain functions of few rows, for `Encoder.stepper`.

Called as a module, a product of a handful of rows takes less time than what leads to it: hooks and parameters are
looked up, arguments checked. Here all of that is done once. The functions stay differentiable in the parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Map = Callable[[Tensor], Tensor]
"""From [B, D] to [B, D']."""


def linear(module: nn.Linear) -> Map:
    """x W^T + b."""
    weight, bias = module.weight.t(), module.bias
    return lambda x: torch.addmm(bias, x, weight)


def layer_norm(module: nn.LayerNorm) -> Map:
    """Normalised over the last axis."""
    shape, weight, bias, epsilon = list(module.normalized_shape), module.weight, module.bias, module.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, epsilon)
