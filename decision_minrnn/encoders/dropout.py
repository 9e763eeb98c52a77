"""Dropout that draws one random byte an element.

torch's own draws a double, which on a CPU takes longer than the recurrence of a block does (1.0 against 0.2 ms for
[64, 20, 128]). A byte rounds the probability to a multiple of 1/256, at most 255/256; kept elements are scaled by the
rounded one, so that the expectation is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Adds a branch to the residual stream, in training with some of its elements dropped and the others scaled up."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """x + dropout(branch)."""
        x = x.to(torch.promote_types(x.dtype, branch.dtype))
        kept = self.factors(x)
        return x + branch if kept is None else torch.addcmul(x, branch.to(x.dtype), kept)

    def factors(self, x: Tensor) -> Tensor | None:
        """What a branch beside x is multiplied with: zeros, and what scales the others up. None: nothing is dropped."""
        dropped = min(round(256 * self.probability), 255)
        if not self.training or dropped == 0:
            return None
        if x.device.type != "cpu":
            return nn.functional.dropout(torch.ones_like(x), self.probability)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.uint8)[: x.numel()].view(x.shape)
        # a comparison that makes booleans, and a product with them, take twice as long
        return torch.ge(drawn, dropped, out=torch.empty_like(x)).mul_(256 / (256 - dropped))
