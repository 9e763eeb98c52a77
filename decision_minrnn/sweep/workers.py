"""Where trials run. Either way each has a process of its own, and one that dies takes none with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from decision_minrnn.sweep.trial import Trial


class Ended(NamedTuple):
    """A trial whose process ended."""

    trial: Trial
    error: str
    """What went wrong, in one line; empty where all went well."""


class Workers(ABC):
    """Processes that run trials."""

    @abstractmethod
    def has_room(self) -> bool:
        """Whether another trial may be started now."""

    @abstractmethod
    def start(self, trial: Trial) -> None:
        """Run a trial."""

    @abstractmethod
    def ended(self, timeout: float) -> list[Ended]:
        """The trials that ended since the last call; waits for the first of them, at most so many seconds."""

    @abstractmethod
    def stop(self) -> None:
        """Have the trials save and end, and wait until they have."""
