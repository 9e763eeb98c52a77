"""Batches from `Trajectories`: independent windows, or streams of packed episodes.

A **window** starts at a step drawn uniformly from all steps, which draws episodes in proportion to their length, and
ends with its episode, padded on the right: Decision Transformer's protocol.

A **stream** is one row of every batch, and goes on where it was in the batch before. It starts at such a step too;
where an episode ends it goes on with another, drawn at random, and marks its start. There is no padding, every recorded
step is equally likely at every place of a row, and a model that carries its state from batch to batch learns at every
age of an episode (truncated backpropagation through time).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy import ndarray

from decision_minrnn.config import Sampling
from decision_minrnn.data.gathering import StepTable
from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.types import Batch


class Sampler:
    """An endless source of batches; the same seed gives the same batches."""

    valid_steps: int
    """In all rows of the last batch."""

    def __init__(
        self,
        data: Trajectories,
        batch_size: int,
        context: int,
        seed: int,
        sampling: Sampling,
        rows: slice = slice(None),
        device: torch.device | None = None,
    ) -> None:
        """A batch has `batch_size` rows of `context` steps, of which only `rows` are read and returned.

        It is gathered on `device` if one is given, to which the dataset is copied, and is the same on all.
        """
        self.data = data
        self.table = StepTable(data, device)
        self.context = context
        self.sampling = sampling
        self.generator = np.random.default_rng(seed)
        self._batch_size = batch_size
        self._rows = rows
        self._next = self.generator.integers(data.steps, size=batch_size)
        """The step with which each stream goes on."""

    def sample(self) -> Batch:
        """The next batch, of shape [rows, context, ...]."""
        steps, mask = map(self.table.placed, self.draw())
        return self.table.gather(steps, mask, self.marked)

    @property
    def marked(self) -> bool:
        """Whether episodes start inside a row, and are marked."""
        return self.sampling == "streams"

    def draw(self) -> tuple[Int64[ndarray, "rows time"], Bool[ndarray, "rows time"]]:
        """The steps of the next batch, and which of them are no padding, for those who gather it themselves."""
        steps, mask = self._draw()
        self.valid_steps = int(mask.sum())
        return steps[self._rows], mask[self._rows]

    def _draw(self) -> tuple[Int64[ndarray, "batch time"], Bool[ndarray, "batch time"]]:
        if self.sampling == "streams":
            steps = self._stream_steps()
            return steps, np.ones(steps.shape, bool)
        starts = self.generator.integers(self.data.steps, size=self._batch_size)
        steps = starts[:, None] + np.arange(self.context)
        ends = self._ends(starts)[:, None]
        return np.minimum(steps, ends - 1), steps < ends

    def state(self) -> dict[str, Any]:
        """Where it is, as plain data: a sampler that is given it goes on with the same batches."""
        return {"generator": dict(self.generator.bit_generator.state), "next": self._next.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        self.generator.bit_generator.state = state["generator"]
        self._next = np.array(state["next"], np.int64)

    def _stream_steps(self) -> Int64[ndarray, "batch time"]:
        place = np.arange(self.context)
        steps = self._next[:, None] + place
        ends = self._ends(self._next)
        while (over := np.flatnonzero(steps[:, -1] >= ends)).size:
            # such a row has run past its episode's end, from the place `first` on: there another episode starts
            first = place[-1] - (steps[over, -1] - ends[over])
            starts, ends[over] = self._draw_episodes(over.size)
            fresh = starts[:, None] + place - first[:, None]
            steps[over] = np.where(place < first[:, None], steps[over], fresh)
        self._next = steps[:, -1] + 1
        finished = np.flatnonzero(self._next == ends)
        self._next[finished], _ = self._draw_episodes(finished.size)
        return steps

    def _draw_episodes(self, count: int) -> tuple[Int64[ndarray, " n"], Int64[ndarray, " n"]]:
        """First steps of episodes drawn uniformly, and the steps after their last."""
        drawn = self.generator.integers(self.data.episodes, size=count)
        return self.data.offsets[drawn], self.data.offsets[drawn + 1]

    def _ends(self, steps: Int64[ndarray, " n"]) -> Int64[ndarray, " n"]:
        """The step after the last of each step's episode."""
        return self.data.offsets[self.data.episode_of(steps) + 1]
