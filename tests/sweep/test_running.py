"""The order of things in a sweep: what is started, tried again, given up and stopped."""

from __future__ import annotations

import os
import signal
from io import StringIO
from pathlib import Path

import pytest
from made_runs import make_run
from rich.console import Console

from decision_minrnn.config import TrainConfig
from decision_minrnn.interruption import TrainingInterrupted
from decision_minrnn.sweep.display import Display, status_table
from decision_minrnn.sweep.running import run_waiting
from decision_minrnn.sweep.status import Status, statuses
from decision_minrnn.sweep.trial import Trial
from decision_minrnn.sweep.workers import Ended, Workers


class ScriptedWorkers(Workers):
    """Runs two at a time. The first that was started ends first, with the next error written down for it, if any."""

    def __init__(self, **errors: list[str]) -> None:
        self.errors = errors
        self.running: list[Trial] = []
        self.started: list[str] = []
        self.stopped: list[str] = []

    def has_room(self) -> bool:
        return len(self.running) < 2

    def start(self, trial: Trial) -> None:
        self.running.append(trial)
        self.started.append(trial.name)

    def ended(self, timeout: float) -> list[Ended]:
        trial = self.running.pop(0)
        errors = self.errors.get(trial.name)
        return [Ended(trial, errors.pop(0) if errors else "")]

    def stop(self) -> None:
        self.stopped = [trial.name for trial in self.running]
        self.running = []


def sweep_of(folder: Path, *names: str) -> list[Status]:
    return statuses([Trial(name, TrainConfig("hopper-medium", updates=100, out=str(folder / name))) for name in names])


def run(sweep: list[Status], workers: Workers, retries: int = 0) -> list[str]:
    output = StringIO()
    run_waiting(sweep, workers, Display(Console(file=output, width=200), sweep), retries)
    return output.getvalue().splitlines()


def states(sweep: list[Status]) -> list[str]:
    return [status.state for status in sweep]


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    make_run(tmp_path / "b")
    sweep = sweep_of(tmp_path, "a", "b", "c")
    assert states(sweep) == ["waiting", "done", "waiting"]
    workers = ScriptedWorkers()
    run(sweep, workers)
    assert workers.started == ["a", "c"]
    assert states(sweep) == ["done"] * 3


def test_no_more_at_once_than_there_is_room_for(tmp_path: Path) -> None:
    lines = run(sweep_of(tmp_path, "a", "b", "c"), ScriptedWorkers())
    runs, done = "runs, from update 0", "done, score not measured"
    assert lines == [f"a: {runs}", f"b: {runs}", f"a: {done}", f"c: {runs}", f"b: {done}", f"c: {done}"]


def test_a_failure_does_not_end_the_rest(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "a", "b", "c")
    lines = run(sweep, ScriptedWorkers(a=["out of memory"]))
    assert states(sweep) == ["failed", "done", "done"]
    assert f"a: failed: out of memory (see {tmp_path / 'a' / 'log.txt'})" in lines


def test_a_failure_is_tried_again_as_often_as_asked(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "a", "b")
    workers = ScriptedWorkers(a=["first", "second"], b=["first"])
    assert "a: goes on later, after: first" in run(sweep, workers, retries=1)
    assert states(sweep) == ["failed", "done"]
    assert sweep[0].error == "second"
    assert sorted(workers.started) == ["a", "a", "b", "b"]


def test_a_signal_stops_the_trials_and_starts_no_others(tmp_path: Path) -> None:
    class Interrupted(ScriptedWorkers):
        def ended(self, timeout: float) -> list[Ended]:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().ended(timeout)

    sweep, workers = sweep_of(tmp_path, "a", "b", "c", "d"), Interrupted()
    with pytest.raises(TrainingInterrupted, match="stopped with 1 of 4 trials done") as raised:
        run(sweep, workers)
    assert raised.value.exit_code == 143
    assert workers.started == ["a", "b"]
    assert workers.stopped == ["b"]


def test_an_error_of_our_own_stops_the_trials(tmp_path: Path) -> None:
    class Broken(ScriptedWorkers):
        def ended(self, timeout: float) -> list[Ended]:
            raise RuntimeError("no")

    workers = Broken()
    with pytest.raises(RuntimeError):
        run(sweep_of(tmp_path, "a"), workers)
    assert workers.stopped == ["a"]


def test_the_table_of_a_terminal(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (42.0, 17.0), targets=(3600.0, 1800.0))
    make_run(tmp_path / "b", update=40)
    output = StringIO()
    Console(file=output, width=80).print(status_table(sweep_of(tmp_path, "a", "b", "c")))
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert rows[1:] == [
        ["a", "done", "100/100", "0.2500", "42.0,", "17.0"],
        ["b", "waiting", "40/100", "0.2500"],
        ["c", "waiting", "0/100"],
        ["1", "done,", "2", "waiting", "of", "3"],
    ]


def test_a_live_table_shows_what_runs_first(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, *(f"trial-{index}" for index in range(50)))
    sweep[40].state = "running"
    output = StringIO()
    console = Console(file=output, width=80, height=10, force_terminal=True)
    with Display(console, sweep) as display:
        display.refresh()
    shown = output.getvalue()
    assert "trial-40" in shown
    assert "1 running" in shown.replace("49 waiting, ", "")
    assert "trial-30" not in shown
