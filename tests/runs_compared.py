"""What tests of runs that stop and go on share: the same run to the bit, and ways to end one."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from events import scalars_of

from decision_minrnn.checkpoint import latest_checkpoint, load_model
from decision_minrnn.learner import Learner, Step
from decision_minrnn.tracking import read_metrics


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_model(latest_checkpoint(run)).state_dict()


def assert_same_run(run: Path, other: Path) -> None:
    """The same weights to the bit, and the same numbers in metrics and events, each once."""
    for name, tensor in weights(other).items():
        assert torch.equal(weights(run)[name], tensor), name
    rows = [
        [{key: value for key, value in row.items() if "per_second" not in key} for row in read_metrics(folder)]
        for folder in (run, other)
    ]
    assert rows[0] == rows[1]
    assert_events_are_the_metrics(run)


def assert_close_metrics(run: Path, other: Path) -> None:
    """The same lines of metrics, within a thousandth."""
    rows, expected = read_metrics(run), read_metrics(other)
    assert [row.keys() for row in rows] == [row.keys() for row in expected]
    for row, wanted in zip(rows, expected, strict=True):
        for name in wanted.keys() - {"charts/updates_per_second"}:
            assert row[name] == pytest.approx(wanted[name], rel=1e-3), (run, row["update"], name)


def assert_events_are_the_metrics(run: Path) -> None:
    expected: dict[str, list[tuple[int, float]]] = {}
    for row in read_metrics(run):
        for tag, value in row.items():
            if tag != "update":
                expected.setdefault(tag, []).append((row["update"], value))
    found = scalars_of(run)
    assert found.keys() == expected.keys()
    for tag, points in expected.items():
        assert [step for step, _ in found[tag]] == [step for step, _ in points]
        np.testing.assert_allclose([value for _, value in found[tag]], [value for _, value in points], rtol=1e-6)


def wait_for_a_line(run: Path, is_running: Callable[[], bool]) -> None:
    """Until metrics are written."""
    before = len(read_metrics(run))
    while is_running() and len(read_metrics(run)) <= before:
        time.sleep(0.01)


needs_forkserver = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)


def start(target: Callable[..., object], *arguments: object) -> BaseProcess:
    """A function in a process of its own, forked from one that has imported everything."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["decision_minrnn.training", "decision_minrnn.cli.train", "torch.utils.tensorboard"])
    process = server.Process(target=target, args=arguments)
    process.start()
    return process


def after_update(monkeypatch: pytest.MonkeyPatch, update: int, act: Callable[[], object]) -> None:
    """Do something once, at the end of an update."""
    learn = Learner.learn

    def spy(self: Learner) -> Step:
        step = learn(self)
        if self.update == update:
            monkeypatch.setattr(Learner, "learn", learn)
            act()
        return step

    monkeypatch.setattr(Learner, "learn", spy)


class Killed(BaseException):
    """Stands for a process that ends at once: nothing after it runs but the closing of files."""


def kill() -> None:
    raise Killed
