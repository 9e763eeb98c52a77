"""SIGINT and SIGTERM, noticed where training can stop without losing anything."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from decision_minrnn.errors import DecisionMinRNNError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(DecisionMinRNNError):
    """Training was asked to stop, and has saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class StopRequested(Exception):
    """Raised inside `Interruption.at_once` by a signal."""


class Interruption:
    """While it is entered, a signal is remembered in `signal_number` instead of ending the process.

    A second signal has its usual effect. Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._raise = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._notice) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()
        if self._raise:
            raise StopRequested

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def at_once(self) -> _AtOnce:
        """A context in which a signal raises `StopRequested` right away: for work that loses nothing when it is cut."""
        return _AtOnce(self)


class _AtOnce:
    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def __enter__(self) -> None:
        self._interruption._raise = True
        if self._interruption.signal_number is not None:
            raise StopRequested

    def __exit__(self, *_: object) -> None:
        self._interruption._raise = False
