"""Asked to stop by a signal, a run saves, says how to go on, and loses nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs_compared import after_update, assert_events_are_the_metrics, weights
from tiny import train_config, trajectories

from decision_minrnn import training
from decision_minrnn.checkpoint import latest_checkpoint
from decision_minrnn.interruption import TrainingInterrupted
from decision_minrnn.runs import read_evaluation
from decision_minrnn.tracking import read_metrics
from decision_minrnn.training import resume, train

DATA = trajectories()


def send(number: int) -> Callable[[], object]:
    return lambda: signal.raise_signal(number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("update", [1, 7])
def test_a_signal_saves_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int, update: int
) -> None:
    before = signal.getsignal(number)
    train(train_config(tmp_path / "whole", dropout=0.3), DATA)
    after_update(monkeypatch, update, send(number))
    with pytest.raises(TrainingInterrupted, match=f"stopped after update {update} of 12, and saved") as caught:
        train(train_config(tmp_path / "cut", dropout=0.3), DATA)
    assert caught.value.exit_code == code
    assert f"decision-minrnn train --resume {tmp_path / 'cut'}" in str(caught.value)
    assert signal.getsignal(number) is before
    assert latest_checkpoint(tmp_path / "cut").name == f"update-{update:07d}"
    resume(tmp_path / "cut", DATA)
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(weights(tmp_path / "cut")[name], tensor)
    updates = [row["update"] for row in read_metrics(tmp_path / "cut")]
    assert updates == sorted([3, 4, 6, 8, 9, 12, 12, update])
    assert_events_are_the_metrics(tmp_path / "cut")


def test_a_signal_between_two_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = training._Training.log

    def interrupted(self: Any) -> None:
        log(self)
        if self.update == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training._Training, "log", interrupted)
    with pytest.raises(TrainingInterrupted) as caught:
        train(train_config(tmp_path / "run", checkpoint_every=100), DATA)
    update = int(latest_checkpoint(tmp_path / "run").name.removeprefix("update-"))
    assert f"stopped after update {update} of 12" in str(caught.value)


def test_a_signal_before_the_first_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce = training._Training.announce

    def interrupted(self: Any) -> None:
        announce(self)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training._Training, "announce", interrupted)
    with pytest.raises(TrainingInterrupted, match="stopped after update 1 of 12, and saved"):
        train(train_config(tmp_path / "run"), DATA)
    monkeypatch.setattr(training._Training, "announce", announce)
    assert resume(tmp_path / "run", DATA).evaluation is not None


@pytest.mark.parametrize(("evaluation", "update"), [(1, 5), (2, 10), (3, 12)])
def test_a_signal_in_an_evaluation_cuts_it_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluation: int, update: int
) -> None:
    settings = {"evaluate_every": 5, "log_every": 12, "checkpoint_every": 12}
    train(train_config(tmp_path / "whole", **settings), DATA)
    real, calls = training.evaluate, []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        calls.append(named)
        if len(calls) == evaluation:
            return real(*arguments, **named | {"on_episode": lambda _: signal.raise_signal(signal.SIGINT)})
        return real(*arguments, **named)

    monkeypatch.setattr(training, "evaluate", interrupted)
    with pytest.raises(TrainingInterrupted, match=f"stopped after update {update} of 12") as caught:
        train(train_config(tmp_path / "cut", **settings), DATA)
    assert caught.value.exit_code == 130
    assert len(calls) == evaluation
    assert latest_checkpoint(tmp_path / "cut").name == f"update-{update:07d}"
    run = resume(tmp_path / "cut", DATA)
    assert run.evaluation == read_evaluation(tmp_path / "cut")
    evaluated = [row["update"] for row in read_metrics(tmp_path / "cut") if "eval/return/30" in row]
    assert evaluated == [5, 10, 12]
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(weights(tmp_path / "cut")[name], tensor)
    assert_events_are_the_metrics(tmp_path / "cut")
