"""`Subject`: the recording under examination, with what several checks derive from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from decision_minrnn.cards import EnvCard, Reference
from decision_minrnn.data.raw import RawRecording


@dataclass(frozen=True, eq=False)
class Subject:
    """One recording and the environment that it is held against."""

    raw: RawRecording
    env: EnvCard | None
    env_id: str | None
    action_low: Float32[ndarray, " action"]
    action_high: Float32[ndarray, " action"]
    references: Mapping[str, Reference]
    env_notes: tuple[str, ...] = ()
    """What was assumed of the environment."""
    misfit: str = ""
    """Why the recording does not fit the environment that was named; empty where it does."""

    @cached_property
    def actions(self) -> Float32[ndarray, "steps action"]:
        """Actions as numbers that say how alike they are: of choices, a column for each, 1 where it was taken."""
        choices = self.raw.choices
        return self.raw.actions if choices is None else (self.raw.actions == np.arange(choices)).astype(np.float32)

    @property
    def steps(self) -> int:
        """N, the unfinished piece at the end included."""
        return len(self.raw.rewards)

    @property
    def episodes(self) -> int:
        """E, finished episodes."""
        return len(self.raw.ends)

    @cached_property
    def starts(self) -> Int64[ndarray, " episodes"]:
        """First row of each finished episode."""
        return np.concatenate([[0], self.raw.ends[:-1] + 1]).astype(np.int64)[: self.episodes]

    @cached_property
    def lengths(self) -> Int64[ndarray, " episodes"]:
        """Steps of each finished episode."""
        return self.raw.ends + 1 - self.starts

    @property
    def unfinished(self) -> int:
        """Steps after the last end."""
        return self.steps - (int(self.raw.ends[-1]) + 1 if self.episodes else 0)

    @cached_property
    def finite(self) -> Bool[ndarray, " steps"]:
        """Rows without NaN and infinity."""
        raw = self.raw
        finite: Bool[ndarray, " steps"] = np.isfinite(raw.rewards)
        finite &= np.isfinite(raw.observations).all(axis=1) & np.isfinite(raw.actions).all(axis=1)
        return finite

    @cached_property
    def finite_episodes(self) -> Bool[ndarray, " episodes"]:
        """Finished episodes without NaN and infinity."""
        result: Bool[ndarray, " episodes"] = np.logical_and.reduceat(self.finite, self.starts)
        # reduceat runs the last one to the end of the array, into the unfinished piece
        if self.episodes:
            result[-1] = self.finite[self.starts[-1] : self.raw.ends[-1] + 1].all()
        return result

    @cached_property
    def returns(self) -> Float64[ndarray, " episodes"]:
        """Undiscounted return of each finished episode; NaN where a value in it is not finite."""
        rewards = np.where(self.finite, self.raw.rewards, 0).astype(np.float64)
        total = np.concatenate([[0.0], np.cumsum(rewards)])
        return np.where(self.finite_episodes, total[self.raw.ends + 1] - total[self.starts], np.nan)

    @cached_property
    def inside(self) -> Bool[ndarray, " steps-1"]:
        """Rows t that are followed by the next step of the same episode, both of finite values."""
        inside = self.finite[:-1] & self.finite[1:]
        ends = self.raw.ends
        inside[ends[ends < self.steps - 1]] = False
        return inside

    @cached_property
    def mean(self) -> Float32[ndarray, " observation"]:
        """Mean of each observation dimension over finite rows."""
        return np.asarray(self.raw.observations[self.finite].mean(axis=0, dtype=np.float64), np.float32)

    @cached_property
    def scale(self) -> Float32[ndarray, " observation"]:
        """Standard deviation of each observation dimension over finite rows, never zero."""
        return np.asarray(self.raw.observations[self.finite].std(axis=0, dtype=np.float64) + 1e-6, np.float32)
