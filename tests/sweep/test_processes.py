"""Trials in real processes: one that works, one that cannot, one that is killed."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import h5py
from tiny import train_config, write_hopper_file

from decision_minrnn.sweep.folders import condition
from decision_minrnn.sweep.processes import LocalProcesses
from decision_minrnn.sweep.trial import Trial, run_trial
from decision_minrnn.sweep.workers import Ended


def trial_of(folder: Path, name: str, dataset: Path, **settings: Any) -> Trial:
    small = {"dataset": str(dataset), "env": "hopper", "targets": (100.0,), "episodes": 1}
    return Trial(name, train_config(folder / name, **small | settings))


def spoilt_file(path: Path) -> Path:
    write_hopper_file(path)
    with h5py.File(path, "r+") as file:
        file["rewards"][3] = float("nan")
    return path


def all_of(workers: LocalProcesses, count: int) -> dict[str, str]:
    found: list[Ended] = []
    while len(found) < count:
        found += workers.ended(10)
    return {trial.name: error for trial, error in found}


def test_a_trial_that_cannot_be_trained_keeps_its_log_and_is_trained_when_that_is_mended(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, "bad", spoilt_file(tmp_path / "bad.hdf5"))
    workers = LocalProcesses(1)
    assert workers.has_room()
    workers.start(trial)
    assert not workers.has_room()
    error = all_of(workers, 1)["bad"]
    assert workers.has_room()
    assert "NaN" in error
    assert error in (trial.folder / "log.txt").read_text()
    assert condition(trial) == "missing"
    write_hopper_file(tmp_path / "bad.hdf5")
    assert run_trial(trial) == ""
    assert condition(trial) == "done"
    assert "update 12: return" in (trial.folder / "log.txt").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "bad.hdf5"]


def test_a_process_that_is_killed_is_a_failure(tmp_path: Path) -> None:
    workers = LocalProcesses(1)
    workers.start(trial_of(tmp_path, "killed", write_hopper_file(tmp_path / "hopper.hdf5")))
    (process,) = multiprocessing.active_children()
    process.kill()
    assert all_of(workers, 1) == {"killed": "its process was ended by SIGKILL"}


def test_stopping_ends_every_process(tmp_path: Path) -> None:
    dataset = write_hopper_file(tmp_path / "hopper.hdf5")
    trial = trial_of(tmp_path, "long", dataset, updates=1_000_000, checkpoint_every=1_000_000)
    workers = LocalProcesses(1)
    workers.start(trial)
    metrics = trial.folder / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        assert workers.ended(0) == []
        time.sleep(0.05)
    workers.stop()
    assert multiprocessing.active_children() == []
    assert condition(trial) == "begun"
    assert list((trial.folder / "checkpoints").iterdir()), "it was asked, and saved"
    assert "stopped after update" in (trial.folder / "log.txt").read_text()
