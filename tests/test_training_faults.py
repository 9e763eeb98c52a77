"""Faults in the middle of a training: each ends in a clear message, and what was finished stays."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
from runs_compared import Killed, after_update, assert_same_run, kill
from tiny import LEDGER, train_config, trajectories, with_nan

from decision_minrnn.checkpoint import latest_checkpoint, load_model
from decision_minrnn.config import TrainConfig
from decision_minrnn.data import load_dataset
from decision_minrnn.data.base import Recording
from decision_minrnn.data.d4rl import write_d4rl
from decision_minrnn.data.minari.writing import write_minari
from decision_minrnn.data.npz import write_npz
from decision_minrnn.errors import CheckpointError, TrainingError
from decision_minrnn.tracking import read_metrics
from decision_minrnn.training import resume, train

DATA = trajectories()
SETTINGS = {"dropout": 0.3, "evaluate": False}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which nothing went wrong."""
    return train(train_config(tmp_path_factory.mktemp("whole") / "run", **SETTINGS), DATA).folder


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    data = with_nan(DATA)
    settings = {"updates": 200, "batch_size": 1, "context": 2, "checkpoint_every": 1}
    with pytest.raises(TrainingError, match=r"update (\d+): the loss is nan") as caught:
        train(train_config(tmp_path / "run", **settings), data)
    update = int(str(caught.value).split(":")[0].removeprefix("update "))
    assert update > 1
    folder = tmp_path / "run" / f"not-finite-{update:07d}"
    assert str(folder) in str(caught.value)
    batch = safetensors.torch.load_file(folder / "batch.safetensors")
    assert batch["observations"].isnan().any()
    assert batch["observations"].shape == (1, 2, 2)
    kept = safetensors.torch.load_file(folder / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())
    assert latest_checkpoint(tmp_path / "run").name == f"update-{update - 1:07d}"
    assert all(tensor.isfinite().all() for tensor in load_model(latest_checkpoint(tmp_path / "run")).parameters())


def test_a_disk_that_is_full_when_metrics_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from decision_minrnn.tracking import Tracker

    def full(self: Tracker, update: int, values: dict[str, float]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tracker, "scalars", full)
    with pytest.raises(TrainingError, match=r"cannot write to .*No space left on device.*--resume"):
        train(train_config(tmp_path / "run"), DATA)


def test_a_disk_that_fills_up(small_disk: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    def fill() -> None:
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        (small_disk / "other").write_bytes(bytes(free))

    after_update(monkeypatch, 6, fill)
    with pytest.raises((CheckpointError, TrainingError), match=r"No space left on device.*--resume") as caught:
        train(train_config(small_disk / "run", **SETTINGS), DATA)
    assert str(small_disk / "run") in str(caught.value)
    assert latest_checkpoint(small_disk / "run").name == "update-0000004"
    (small_disk / "other").unlink()
    resume(small_disk / "run", DATA)
    assert_same_run(small_disk / "run", whole)


def test_a_folder_that_becomes_read_only(small_disk: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """Made immutable, since permissions stop no root, who mounted the disk."""

    def immutable(sign: str) -> int:
        command = ["chattr", f"{sign}i", str(small_disk / "run" / "checkpoints")]
        return subprocess.run(command, capture_output=True, check=False).returncode

    refused: list[int] = []
    after_update(monkeypatch, 6, lambda: refused.append(immutable("+")))
    try:
        with pytest.raises(CheckpointError, match=r"Operation not permitted.*update-0000004, is intact.*--resume"):
            train(train_config(small_disk / "run", **SETTINGS), DATA)
    except pytest.fail.Exception:
        if refused == [0]:
            raise
        pytest.skip("this file system has no immutable folders")
    immutable("-")
    resume(small_disk / "run", DATA)
    assert_same_run(small_disk / "run", whole)


# the thread in which TensorBoard writes ends with an error of its own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_folder_that_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_update(monkeypatch, 6, lambda: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(TrainingError, match=r"cannot write to .*run: No such file"):
        train(train_config(tmp_path / "run", **SETTINGS), DATA)


def test_events_that_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """TensorBoard has lost them; the same numbers stay in metrics.jsonl, and the training does not notice."""

    def delete() -> None:
        for path in (tmp_path / "run").glob("events.*"):
            path.unlink()

    after_update(monkeypatch, 6, delete)
    train(train_config(tmp_path / "run", **SETTINGS), DATA)
    assert [row["update"] for row in read_metrics(tmp_path / "run")] == [row["update"] for row in read_metrics(whole)]
    one, two = (load_model(latest_checkpoint(run)).state_dict() for run in (tmp_path / "run", whole))
    assert all(one[name].equal(two[name]) for name in two)


def recorded(path: Path) -> Path:
    known = {
        field.name: getattr(DATA, field.name)
        for field in dataclasses.fields(Recording)
        if field.name not in ("env_id", "references")
    }
    recording = Recording(**known, env_id=LEDGER)
    if path.suffix == ".hdf5":
        write_d4rl(recording, path)
    elif path.suffix == ".npz":
        write_npz(recording, path)
    else:
        write_minari(recording, path, "test/ledger-v0")
    return path


def truncate(path: Path) -> None:
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        os.truncate(file, file.stat().st_size // 2)


def replace(path: Path) -> None:
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        file.unlink()
        file.write_bytes(b"something else")


@pytest.mark.parametrize(
    ("name", "damage", "cache"),
    [
        ("a.hdf5", truncate, "here"),
        ("a.hdf5", replace, "off"),
        ("a.npz", truncate, "here"),
        ("a", replace, "here"),
        ("a", truncate, "off"),
    ],
)
def test_a_dataset_that_is_damaged_while_it_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: Callable[[Path], None], cache: str
) -> None:
    if cache == "off":
        monkeypatch.setenv("DECISION_MINRNN_CACHE", "off")
    path = recorded(tmp_path / name)
    sound = load_dataset(path)

    def config(out: str) -> TrainConfig:
        return dataclasses.replace(train_config(tmp_path / out, **SETTINGS), dataset=str(path))

    train(config("whole"), sound)
    after_update(monkeypatch, 6, lambda: damage(path))
    train(config("run"))
    assert_same_run(tmp_path / "run", tmp_path / "whole")

    shutil.rmtree(path) if path.is_dir() else path.unlink()
    recorded(path)

    def damage_and_die() -> None:
        damage(path)
        kill()

    after_update(monkeypatch, 6, damage_and_die)
    with pytest.raises(Killed):
        train(config("cut"))
    with pytest.raises(Exception, match=r"damaged|cannot read|other data") as caught:
        resume(tmp_path / "cut")
    assert type(caught.value).__module__.startswith("decision_minrnn")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    recorded(path)
    resume(tmp_path / "cut")
    assert_same_run(tmp_path / "cut", tmp_path / "whole")
