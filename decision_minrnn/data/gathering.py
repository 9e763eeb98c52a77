"""The recorded steps as numpy's arrays or a device's tensors, and batches gathered from them where they are.

Both kinds are indexed and multiplied alike. On a CPU it is numpy that gathers: it needs no threads for so little, and
reads files that are mapped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy import ndarray
from torch import Tensor

from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.types import Batch

Array = Any
"""`ndarray` or `Tensor`."""


class StepTable:
    """What batches show of each step of a dataset: the dataset's own arrays, or tensors that are copies of them."""

    def __init__(self, data: Trajectories, device: torch.device | None = None) -> None:
        """The tensors' device; None leaves the arrays where they are."""
        self.device = device
        is_first = np.zeros(data.steps, bool)
        is_first[data.offsets[:-1]] = True
        self.returns_to_go = self.placed(data.returns_to_go)
        self.observations = self.placed(data.observations)
        self.actions = self.placed(data.actions)
        self.is_first = self.placed(is_first)
        self.choices = None if data.choices is None else self.placed(np.arange(data.choices))

    def placed(self, array: ndarray) -> Array:
        """An array of the table's kind, on its device."""
        return array if self.device is None else torch.tensor(array, device=self.device)

    def gather(self, steps: Int64[Array, "batch time"], mask: Bool[Array, "batch time"], marked: bool) -> Batch:
        """The batch of these steps.

        Args:
            steps: in an array as `placed` gives it.
            mask: which of them are no padding.
            marked: whether to mark the starts of episodes.
        """
        first = self.is_first[steps]
        before = (steps > 0) * (steps - 1)
        return Batch(
            returns_to_go=_tensor(self.returns_to_go[steps]),
            observations=_tensor(self.observations[steps]),
            previous_actions=_tensor(self._actions(before) * ~first[..., None]),
            actions=_tensor(self._actions(steps)),
            mask=_tensor(mask),
            reset=_tensor(first) if marked else None,
        )

    def _actions(self, steps: Array) -> Array:
        """The actions of steps; a choice among A becomes a one among A - 1 zeros."""
        actions = self.actions[steps]
        return actions if self.choices is None else (actions == self.choices) * np.float32(1)


def fits_on(data: Trajectories, device: torch.device) -> bool:
    """Whether a dataset's steps are to be copied to a device: a GPU of whose free memory they take less than half."""
    if device.type != "cuda":
        return False
    numbers = data.steps * (data.observations.shape[1] + data.actions.shape[1] + 1)
    free, _ = torch.cuda.mem_get_info(device)
    return 4 * numbers + data.steps < free / 2


def _tensor(array: Array) -> Tensor:
    """The same memory."""
    return array if isinstance(array, Tensor) else torch.from_numpy(array)
