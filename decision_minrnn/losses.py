"""Losses over sequences with a mask; padding counts in neither sum nor mean."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def action_loss(
    predicted: Float[Tensor, "batch time action"],
    actions: Float[Tensor, "batch time action"],
    mask: Bool[Tensor, "batch time"],
) -> Float[Tensor, ""]:
    """Mean squared error over all pairs of a real step and an action dimension.

    The loss of Decision Transformer for continuous actions (Chen et al. 2021, section 3), in the environment's units.
    """
    # selected rather than multiplied by the mask: NaN times zero would be NaN
    error = torch.where(mask[..., None], predicted - actions, 0.0)
    return error.square().sum() / (mask.sum() * actions.shape[-1])


def choice_loss(
    logits: Float[Tensor, "batch time action"],
    choices: Float[Tensor, "batch time action"],
    mask: Bool[Tensor, "batch time"],
) -> Float[Tensor, ""]:
    """Mean over the real steps of the cross-entropy, in nats, of the choice taken, which is a one among zeros.

    The loss of Decision Transformer for discrete actions (Chen et al. 2021, section 3).
    """
    logits, choices = (torch.where(mask[..., None], x, 0.0) for x in (logits, choices))
    return -(choices * torch.log_softmax(logits, dim=-1)).sum() / mask.sum()
