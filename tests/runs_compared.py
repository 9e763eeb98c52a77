"""What tests of runs that stop and go on share: the same run to the bit, and ways to end one."""

from __future__ import annotations

from collections.abc import Callable
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
