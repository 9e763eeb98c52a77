"""Batches from `Trajectories`: windows of a fixed number of steps, or rows of packed episodes.

Both start at a step drawn uniformly from all steps, which draws episodes in proportion to their length (Decision
Transformer's protocol). A window ends with its episode and is padded on the right; a packed row goes on with episodes
drawn at random until it is full, marks each start, and holds no padding. Every place of a packed row is equally likely
to hold any of the recorded steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray

from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.types import Batch


class Sampler:
    """An endless source of batches; the same seed gives the same batches."""

    def __init__(self, data: Trajectories, batch_size: int, context: int | None, seed: int) -> None:
        """`context` is the steps of a window; None packs episodes into rows as long as the longest episode."""
        self.data = data
        self.batch_size = batch_size
        self.context = context
        self.row_steps = int(data.lengths.max()) if context is None else context
        self.generator = np.random.default_rng(seed)

    def sample(self) -> Batch:
        """The next batch, of shape [batch_size, row_steps, ...]."""
        starts = self.generator.integers(self.data.steps, size=self.batch_size)
        if self.context is None:
            steps = np.stack([self._packed_row(start) for start in starts])
            return self._gather(steps, np.ones(steps.shape, bool), packed=True)
        ends = self.data.offsets[self.data.episode_of_step[starts] + 1]
        steps = starts[:, None] + np.arange(self.row_steps)
        return self._gather(np.minimum(steps, ends[:, None] - 1), steps < ends[:, None], packed=False)

    def state(self) -> dict[str, Any]:
        """The generator's state, as plain data: a sampler that is given it goes on with the same batches."""
        return dict(self.generator.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        self.generator.bit_generator.state = state

    def _packed_row(self, start: int) -> Int64[ndarray, " time"]:
        """Steps of one row: the rest of the first episode, then whole ones, the last cut where the row is full."""
        offsets = self.data.offsets
        pieces = [np.arange(start, offsets[self.data.episode_of_step[start] + 1])]
        filled = len(pieces[0])
        while filled < self.row_steps:
            episode = self.generator.integers(self.data.episodes)
            pieces.append(np.arange(offsets[episode], offsets[episode + 1]))
            filled += len(pieces[-1])
        return np.concatenate(pieces)[: self.row_steps]

    def _gather(self, steps: ndarray, mask: ndarray, packed: bool) -> Batch:
        data = self.data
        first = steps == data.offsets[data.episode_of_step[steps]]
        previous = data.actions[np.maximum(steps - 1, 0)]
        previous[first] = 0
        return Batch(
            returns_to_go=torch.from_numpy(data.returns_to_go[steps]),
            observations=torch.from_numpy(data.observations[steps]),
            previous_actions=torch.from_numpy(previous),
            actions=torch.from_numpy(data.actions[steps]),
            mask=torch.from_numpy(mask),
            reset=torch.from_numpy(first) if packed else None,
        )
