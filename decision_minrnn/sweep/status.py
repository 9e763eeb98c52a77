"""How far the trials of a sweep are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from decision_minrnn.sweep.folders import Progress, condition, progress
from decision_minrnn.sweep.trial import Trial

State = Literal["running", "failed", "waiting", "done"]


@dataclass
class Status:
    """One trial, and how far it is."""

    trial: Trial
    state: State
    progress: Progress = field(default_factory=Progress)
    attempts: int = 0
    """How often it was started by this sweep."""
    error: str = ""
    """What went wrong the last time."""

    def look(self) -> None:
        """Read how far it is."""
        self.progress = progress(self.trial.folder)


def statuses(trials: Sequence[Trial]) -> list[Status]:
    """What is done and what is waiting; raises as `condition` does."""
    found = [Status(trial, "done" if condition(trial) == "done" else "waiting") for trial in trials]
    for status in found:
        status.look()
    return found


def count(found: Sequence[Status]) -> Counter[State]:
    """How many trials are in each state."""
    return Counter(status.state for status in found)
