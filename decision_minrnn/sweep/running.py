"""Running the trials of a sweep that are waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from decision_minrnn.interruption import Interruption, TrainingInterrupted
from decision_minrnn.sweep.display import Display
from decision_minrnn.sweep.status import Status
from decision_minrnn.sweep.workers import Workers

SECONDS_BETWEEN_LOOKS = 0.5


def run_waiting(sweep: Sequence[Status], workers: Workers, display: Display, retries: int = 0) -> None:
    """Run every trial that is waiting until it is done or failed; one that fails does not end the others.

    Args:
        sweep: all trials, whose states are kept up to date.
        workers: where they run.
        display: what is told of it.
        retries: how often a trial that failed goes on from its last checkpoint.

    Raises `TrainingInterrupted` on SIGINT or SIGTERM, when all trials have saved and ended.
    """
    waiting = deque(status for status in sweep if status.state == "waiting")
    running: dict[str, Status] = {}
    with Interruption() as interruption, display:
        try:
            while (waiting or running) and interruption.signal_number is None:
                while waiting and workers.has_room():
                    status = waiting.popleft()
                    workers.start(status.trial)
                    status.state, status.attempts = "running", status.attempts + 1
                    running[status.trial.name] = status
                    display.changed(status)
                for trial, error in workers.ended(SECONDS_BETWEEN_LOOKS):
                    status = running.pop(trial.name)
                    status.error = error
                    status.state = "done" if not error else "waiting" if status.attempts <= retries else "failed"
                    if status.state == "waiting":
                        waiting.append(status)
                    status.look()
                    display.changed(status)
                for status in running.values():
                    status.look()
                display.refresh()
        finally:
            workers.stop()
        if interruption.signal_number is not None and (waiting or running):
            done = sum(status.state == "done" for status in sweep)
            raise TrainingInterrupted(
                f"stopped with {done} of {len(sweep)} trials done, and saved the others. "
                "Continue with the same command.",
                interruption.signal_number,
            )
