"""Losses over sequences with a mask."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def action_loss(
    predicted: Float[Tensor, "batch time action"],
    actions: Float[Tensor, "batch time action"],
    mask: Bool[Tensor, "batch time"],
) -> Float[Tensor, ""]:
    """Mean squared error over all pairs of a real step and an action dimension; padding counts in neither sum nor mean.

    The loss of Decision Transformer for continuous actions (Chen et al. 2021, section 3), in the environment's units.
    """
    # selected rather than multiplied by the mask: NaN times zero would be NaN
    error = torch.where(mask[..., None], predicted - actions, 0.0)
    return error.square().sum() / (mask.sum() * actions.shape[-1])
