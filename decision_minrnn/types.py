"""The words of the project: its axes and the records that cross module borders.

Axes, used in every docstring and annotation:

| letter | axis                                   | letter | axis                         |
|--------|----------------------------------------|--------|------------------------------|
| B      | batch: sequences or environments       | O      | observation dimension        |
| T      | time: environment steps in a sequence  | A      | action dimension             |
| D      | width of the model                     | N, E   | steps, episodes in a dataset |

Units: observations and actions are the environment's own; rewards and returns are sums of the environment's rewards,
never scaled outside `DecisionModel`. The return-to-go of step t is R_t = sum of r_k for k >= t, undiscounted
(Chen et al. 2021, "Decision Transformer", section 3).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

State = tuple[Tensor, ...]
"""What a recurrent module carries from step to step: tensors of fixed size, batch first in each."""


class Episode(NamedTuple):
    """One trajectory, from the first observation to the last action."""

    observations: Float[ndarray, "time observation"]
    actions: Float[ndarray, "time action"]
    rewards: Float[ndarray, " time"]
    terminated: bool
    """The environment ended it: the agent fell, or reached its goal."""
    truncated: bool
    """It was cut off: a time limit, or the end of the recording."""


class Batch(NamedTuple):
    """What one update is computed from, in the environment's own units."""

    returns_to_go: Float[Tensor, "batch time"]
    observations: Float[Tensor, "batch time observation"]
    previous_actions: Float[Tensor, "batch time action"]
    """The action before each step; zeros at the first step of an episode. Of a choice, a one among zeros."""
    actions: Float[Tensor, "batch time action"]
    """The actions to predict."""
    mask: Bool[Tensor, "batch time"]
    """True at real steps. Padding stands on the right and never enters a loss."""
    reset: Bool[Tensor, "batch time"] | None = None
    """True where an episode starts inside a row; None when every row is one piece of one episode."""

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch._make(None if field is None else field.to(device, non_blocking=True) for field in self)


class ObservationStatistics(NamedTuple):
    """Mean and standard deviation of each observation dimension, over the steps trained on."""

    mean: Float[ndarray, " observation"]
    std: Float[ndarray, " observation"]

    @staticmethod
    def of(observations: Float[ndarray, "steps observation"]) -> ObservationStatistics:
        """Computed in float64; 1e-6 is added to the deviation, as in Decision Transformer's code."""
        mean = observations.mean(axis=0, dtype=np.float64)
        # in blocks, since the deviations of all steps would be a copy of twice the size of a mapped file
        blocks = (observations[start : start + 2**16] for start in range(0, len(observations), 2**16))
        squares = sum(np.square(block - mean).sum(axis=0) for block in blocks)
        std = np.sqrt(squares / len(observations)) + 1e-6
        return ObservationStatistics(mean.astype(np.float32), std.astype(np.float32))
