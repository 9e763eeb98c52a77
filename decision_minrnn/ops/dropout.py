"""Which elements of a branch are dropped, drawn as one random byte for each.

torch's own dropout draws a double, which on a CPU takes longer than the recurrence of a block does (1.0 against 0.2 ms
for [64, 20, 128]). A byte rounds the probability to a multiple of 1/256, at most 255/256; kept elements are scaled by
the rounded one, so that the expectation is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


class Mask(NamedTuple):
    """Which elements of a branch are kept."""

    drawn: UInt8[Tensor, "*shape"]
    dropped: int
    """Elements for which less was drawn are dropped: from 1 to 255."""

    def factors(self, dtype: torch.dtype) -> Float[Tensor, "*shape"]:
        """What a branch is multiplied by: 0, and 256 / (256 - dropped) for what is kept."""
        drawn, dropped = self
        # a comparison that makes booleans, and a product with them, take twice as long
        factors = torch.empty(drawn.shape, dtype=dtype, device=drawn.device)
        return torch.ge(drawn, dropped, out=factors).mul_(256 / (256 - dropped))


def draw_mask(x: Tensor, probability: float) -> Mask | None:
    """Draw which elements of a branch beside x are dropped, by the generator of its device. None: none is."""
    dropped = min(round(256 * probability), 255)
    if dropped == 0:
        return None
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    return Mask(words.view(torch.uint8)[: x.numel()].view(x.shape), dropped)
