"""Stopped anywhere by a crash, a run goes on to the bit and loses nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from events import hparams_of, texts_of
from rich.console import Console
from runs_compared import Killed, after_update, assert_events_are_the_metrics, assert_same_run, kill
from tiny import train_config, trajectories

from decision_minrnn import loop, training
from decision_minrnn.checkpoint import checkpoint_folders, latest_checkpoint
from decision_minrnn.errors import CheckpointError, ConfigError
from decision_minrnn.runs import read_evaluation
from decision_minrnn.tracking import read_metrics
from decision_minrnn.training import resume, train

DATA = trajectories()


WINDOWS = {"sampling": "windows", "context": 5}


STREAMS = {"sampling": "streams", "context": 5}


EPISODES = {"sampling": "streams", "context": "episode"}


@pytest.mark.parametrize(
    ("encoder", "tokens", "settings"),
    [
        *itertools.product(["mingru", "minlstm"], ["merged", "interleaved"], [WINDOWS, STREAMS]),
        ("mingru", "merged", EPISODES),
        ("mlp", "merged", STREAMS),
        ("minlstm", "interleaved", EPISODES),
        ("mingru", "merged", STREAMS | {"precision": "bfloat16"}),
        ("mingru", "merged", WINDOWS | {"previous_action": True, "encoder_options": {"convolution": 4}}),
    ],
)
def test_resuming_is_not_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, tokens: str, settings: dict[str, Any]
) -> None:
    settings = {"encoder": encoder, "tokens": tokens, "dropout": 0.3, "evaluate": False, **settings}
    train(train_config(tmp_path / "whole", **settings), DATA)
    after_update(monkeypatch, 7, kill)
    with pytest.raises(Killed):
        train(train_config(tmp_path / "cut", **settings), DATA)
    assert latest_checkpoint(tmp_path / "cut").name == "update-0000004"
    resume(tmp_path / "cut", DATA)
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


EVALUATED = {"evaluate_every": 4, "dropout": 0.3}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with evaluations that was not stopped."""
    return train(train_config(tmp_path_factory.mktemp("whole") / "run", **EVALUATED), DATA).folder


@pytest.mark.parametrize("update", [1, 4, 6, 12])
def test_killed_after_any_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, update: int) -> None:
    after_update(monkeypatch, update, kill)
    with pytest.raises(Killed):
        train(train_config(tmp_path / "cut", **EVALUATED), DATA)
    run = resume(tmp_path / "cut", DATA)
    assert_same_run(tmp_path / "cut", whole)
    assert len(hparams_of(tmp_path / "cut")) == 1
    assert len(texts_of(tmp_path / "cut")) == 1
    assert run.evaluation is not None
    assert run.evaluation.targets == read_evaluation(whole).targets


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "call"),
    [("save_checkpoint", 1), ("save_checkpoint", 3), ("evaluate", 1), ("evaluate", 3), ("write_json", 1)],
)
def test_killed_around_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, name: str, call: int, when: str
) -> None:
    module = loop if name == "save_checkpoint" else training
    real, calls = getattr(module, name), []

    def deadly(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == call and when == "before":
            kill()
        result = real(*arguments, **named)
        if len(calls) == call:
            kill()
        return result

    monkeypatch.setattr(module, name, deadly)
    with pytest.raises(Killed):
        train(train_config(tmp_path / "cut", **EVALUATED), DATA)
    resume(tmp_path / "cut", DATA)
    assert_same_run(tmp_path / "cut", whole)


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    run = train(train_config(tmp_path / "run"), DATA)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    console = Console(record=True, width=200)
    again = resume(run.folder, console=console)
    assert again.evaluation == run.evaluation
    assert f"{run.folder} is finished." in console.export_text()
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


def test_a_lost_evaluation_is_done_again(tmp_path: Path) -> None:
    run = train(train_config(tmp_path / "run"), DATA)
    assert run.evaluation is not None
    rows = read_metrics(run.folder)
    (run.folder / "evaluation.json").unlink()
    assert resume(run.folder, DATA).evaluation is not None
    assert read_evaluation(run.folder).targets == run.evaluation.targets
    assert read_metrics(run.folder) == rows
    assert_events_are_the_metrics(run.folder)
    assert len(hparams_of(run.folder)) == 1


def test_a_finished_run_that_was_not_to_be_evaluated(tmp_path: Path) -> None:
    train(train_config(tmp_path / "run", evaluate=False), DATA)
    assert resume(tmp_path / "run", DATA).evaluation is None
    assert len(hparams_of(tmp_path / "run")) == 1


def test_other_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_update(monkeypatch, 5, kill)
    with pytest.raises(Killed):
        train(train_config(tmp_path / "run"), DATA)
    changed = dataclasses.replace(DATA, observations=DATA.observations * 2, source="another")
    with pytest.raises(CheckpointError, match=r"was trained on other data: ledger: made for a test.*now: another"):
        resume(tmp_path / "run", changed)


def damage(checkpoint: Path, name: str = "training.safetensors") -> None:
    path = checkpoint / name
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "checkpoint.json"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, name: str
) -> None:
    after_update(monkeypatch, 9, kill)
    with pytest.raises(Killed):
        train(train_config(tmp_path / "cut", **EVALUATED, keep_checkpoints=1, keep_every=4), DATA)
    damage(latest_checkpoint(tmp_path / "cut"), name)
    console = Console(record=True, width=300)
    resume(tmp_path / "cut", DATA, console=console)
    text = console.export_text()
    assert "update-0000008" in text
    assert "is damaged" in text
    assert "It is now called update-0000008.damaged; going on from update-0000004." in text
    assert_same_run(tmp_path / "cut", whole)
    names = sorted(path.name for path in (tmp_path / "cut" / "checkpoints").iterdir())
    assert names == ["update-0000004", "update-0000008", "update-0000008.damaged", "update-0000012"]


def test_a_run_whose_checkpoints_are_all_damaged_is_left_as_it_is(tmp_path: Path) -> None:
    run = train(train_config(tmp_path / "run"), DATA)
    for folder in checkpoint_folders(run.folder):
        damage(folder)
    before = sorted(run.folder.rglob("*"))
    with pytest.raises(CheckpointError, match=r"no checkpoint of .* is whole\. .*update-0000012.* is damaged"):
        resume(run.folder, DATA)
    assert sorted(run.folder.rglob("*")) == before


def test_a_run_that_is_not_there_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        resume(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_that_are_asked_for_are_kept(tmp_path: Path) -> None:
    train(train_config(tmp_path / "run", evaluate=False, keep_checkpoints=1, keep_every=5, checkpoint_every=2), DATA)
    assert [path.name for path in checkpoint_folders(tmp_path / "run")] == [
        "update-0000005",
        "update-0000010",
        "update-0000012",
    ]


def test_two_trainings_of_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, refusals = train_config(tmp_path / "run", evaluate=False), []

    def intrude() -> None:
        for attempt in (lambda: resume(tmp_path / "run", DATA), lambda: train(config, DATA)):
            with pytest.raises(ConfigError) as caught:
                attempt()
            refusals.append(str(caught.value))

    after_update(monkeypatch, 7, intrude)
    train(config, DATA)
    holder = f"{tmp_path / 'run'} is being trained already, by process {os.getpid()} on {socket.gethostname()}."
    assert [refusal.startswith(holder) for refusal in refusals] == [True, True]
    resume(tmp_path / "run", DATA)
    assert not list((tmp_path / "run").glob(".*"))


def test_a_training_state_of_another_model(tmp_path: Path) -> None:
    train(train_config(tmp_path / "run"), DATA)
    path = latest_checkpoint(tmp_path / "run")
    state = safetensors.torch.load_file(path / "training.safetensors")
    del state["optimizer/head.bias/exp_avg"]
    content = safetensors.torch.save(state)
    (path / "training.safetensors").write_bytes(content)
    about = json.loads((path / "checkpoint.json").read_text())
    about["sha256"]["training.safetensors"] = hashlib.sha256(content).hexdigest()
    (path / "checkpoint.json").write_text(json.dumps(about))
    (tmp_path / "run" / "evaluation.json").unlink()
    with pytest.raises(CheckpointError, match=r"update 12 does not fit this model.*head\.bias/exp_avg"):
        resume(tmp_path / "run", DATA)
