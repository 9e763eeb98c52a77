"""Trials in processes on this machine, so many at a time.

A trial ends with its sweep, however that ends: a sweep that is asked to stop asks its trials, and a trial whose sweep
was killed notices and stops by itself. Either way it saves first.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from decision_minrnn.sweep.trial import Trial, run_trial
from decision_minrnn.sweep.workers import Ended, Workers


class LocalProcesses(Workers):
    """As many processes as asked for, each with one trial."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._running: dict[int, tuple[Trial, SpawnProcess, Connection]] = {}
        """By what the system tells of the process's end."""

    def has_room(self) -> bool:
        """Whether fewer run than may."""
        return len(self._running) < self.jobs

    def start(self, trial: Trial) -> None:
        """Run a trial in a new process."""
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(trial, sender), name=trial.name, daemon=True)
        process.start()
        sender.close()
        self._running[process.sentinel] = trial, process, receiver

    def ended(self, timeout: float) -> list[Ended]:
        """The trials whose processes ended."""
        return [self._end(sentinel) for sentinel in wait(list(self._running), timeout) if isinstance(sentinel, int)]

    def stop(self) -> None:
        """As a signal to each would."""
        for _, process, _ in self._running.values():
            process.terminate()
        for sentinel in list(self._running):
            self._end(sentinel)

    def _end(self, sentinel: int) -> Ended:
        trial, process, receiver = self._running.pop(sentinel)
        process.join()
        with receiver:
            try:
                error: str = receiver.recv()
            except EOFError:
                error = _words(process.exitcode)
        process.close()
        return Ended(trial, error)


def _words(exit_code: int | None) -> str:
    """How a process ended that did not say."""
    if exit_code is not None and exit_code < 0:
        return f"its process was ended by {signal.Signals(-exit_code).name}"
    return f"its process ended with exit code {exit_code}"


def _work(trial: Trial, sender: Connection) -> None:
    """What a process does."""
    if hasattr(os, "setpgrp"):
        # Ctrl-C in a terminal reaches all of a group: the sweep alone is to act on it, and to ask its trials once
        os.setpgrp()
    threading.Thread(target=_end_with_sweep, daemon=True).start()
    error = run_trial(trial)
    sender.send(error)
    sys.exit(1 if error else 0)


def _end_with_sweep() -> None:
    """Stop this process, as by a signal, when the one that started it is gone."""
    sweep = multiprocessing.parent_process()
    assert sweep is not None
    sweep.join()
    os.kill(os.getpid(), signal.SIGTERM)
