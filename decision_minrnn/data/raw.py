"""`RawRecording`: what a file or folder holds before anything is refused, for `data check`.

Readers stop at the first fault, so that nobody trains on it; to list all faults, the arrays are needed as they are
stored: with NaN, with rows that may be shifted, with the unfinished piece at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from decision_minrnn.cards import Reference


class LayoutFault(NamedTuple):
    """Why the rows cannot be read as steps."""

    message: str
    remedy: str
    values: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class RawRecording:
    """N rows, one a step; row t holds what was seen, what was done and what it paid, if the recording is right."""

    observations: Float32[ndarray, "steps observation"]
    actions: Float32[ndarray, "steps action"]
    rewards: Float32[ndarray, " steps"]
    terminals: Bool[ndarray, " steps"]
    """The environment ended the episode here."""
    timeouts: Bool[ndarray, " steps"]
    """The episode was cut here."""
    ends: Int64[ndarray, " episodes"]
    """Last row of each finished episode, ascending; rows after the last are an episode without an end."""
    next_observations: Float32[ndarray, "steps observation"] | None = None
    """What each step led to, where it is stored."""
    positions: Float32[ndarray, "steps position"] | None = None
    """The simulator's `qpos` before the step, where it is stored."""
    velocities: Float32[ndarray, "steps velocity"] | None = None
    """The simulator's `qvel` before the step, where it is stored."""
    env_id: str | None = None
    """gymnasium id, where the format stores one."""
    choices: int | None = None
    """How many actions there are to choose from, where actions are indices."""
    action_low: Float32[ndarray, " action"] | None = None
    action_high: Float32[ndarray, " action"] | None = None
    references: Mapping[str, Reference] = field(default_factory=dict)
    """Score references stored beside the data, by name."""
    fault: LayoutFault | None = None
    """Set where the rows cannot be read as steps; there are none then."""

    @classmethod
    def without_steps(cls, fault: LayoutFault, env_id: str | None) -> RawRecording:
        """A recording of which only its fault is known."""
        table, row, flags = np.zeros((0, 1), np.float32), np.zeros(0, np.float32), np.zeros(0, bool)
        return cls(table, table, row, flags, flags, np.zeros(0, np.int64), env_id=env_id, fault=fault)
