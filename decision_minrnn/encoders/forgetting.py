"""What a layer with a bounded cache says, once, when it is given more tokens than it can look back on."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


class Forgetting:
    """Told of every sequence and of what leaves the cache; speaks up the first time that something is forgotten."""

    def __init__(self, layer: str, context: int) -> None:
        self.layer, self.context = layer, context
        self.told = False

    def sequence(self, tokens: int) -> None:
        """A sequence in one piece."""
        if not self.told and tokens > self.context:
            self._tell(f"a sequence of {tokens} tokens is longer than the context of the encoder {self.layer}")

    def leaves(self, oldest: Tensor) -> None:
        """The oldest entries of the cache, which make room for a step; zeros where there are none yet.

        Looked at in acting alone: it would cost a training the time, and break one that is compiled.
        """
        if self.told or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return
        if oldest.any():
            self._tell(f"more tokens were stepped through than the context of the encoder {self.layer} holds")

    def _tell(self, what: str) -> None:
        self.told = True
        warnings.warn(
            f"{what}, {self.context}: a token sees itself and the {self.context - 1} before it, and what lies further "
            "back is forgotten, in training as in acting. --encoder-options context=TOKENS sets it; interleaved tokens "
            "are three a step.",
            stacklevel=2,
        )
