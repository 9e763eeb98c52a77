"""Resets for layers whose fast form knows none, such as torch's fused recurrences: a run for each piece between them.

A row's reset cuts the whole batch there; rows that go on carry their state over the cut. For packed episodes, which are
longer than a row of a batch is, few cuts are needed.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from decision_minrnn.encoders.base import Encoder, reset_rows
from decision_minrnn.types import State


class Segmented(Encoder):
    """A layer that is given as `run`, without resets."""

    @abstractmethod
    def run(
        self, x: Float[Tensor, "batch time width"], state: State
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """`forward` without resets."""

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """`run`, cut wherever a row has a reset."""
        initial = self.initial_state(len(x))
        state = initial if state is None else state
        if reset is None or not reset.any():
            return self.run(x, state)
        cuts = reset.any(dim=0).nonzero().flatten().tolist()
        pieces = []
        for start, end in zip([0, *cuts], [*cuts, x.shape[1]], strict=True):
            if start in cuts:
                state = reset_rows(state, initial, reset[:, start])
            if start < end:
                y, state = self.run(x[:, start:end], state)
                pieces.append(y)
        return torch.cat(pieces, dim=1), state

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """`run` over one step."""
        y, state = self.run(x[:, None], state)
        return y[:, 0], state
