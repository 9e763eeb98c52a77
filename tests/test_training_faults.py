"""Faults in the middle of a training: each ends in a clear message, and what was finished stays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from tiny import train_config, trajectories

from decision_minrnn.checkpoint import checkpoint_folders
from decision_minrnn.errors import TrainingError
from decision_minrnn.training import train

DATA = trajectories()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    observations = DATA.observations.copy()
    observations[-1, 0] = np.nan
    # the readers refuse such data; its statistics are those of the sound part
    data = dataclasses.replace(DATA, observations=observations)
    data.__dict__["statistics"] = DATA.statistics
    with pytest.raises(TrainingError, match=r"update (\d+): the loss is nan") as caught:
        train(train_config(tmp_path / "run", updates=200, batch_size=1, context=2), data)
    update = int(str(caught.value).split(":")[0].removeprefix("update "))
    assert update > 1
    folder = tmp_path / "run" / f"not-finite-{update:07d}"
    assert str(folder) in str(caught.value)
    batch = safetensors.torch.load_file(folder / "batch.safetensors")
    assert batch["observations"].isnan().any()
    assert batch["observations"].shape == (1, 2, 2)
    kept = safetensors.torch.load_file(folder / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())
    assert [path for path in checkpoint_folders(tmp_path / "run") if path.name > f"update-{update - 1:07d}"] == []


def test_a_disk_that_is_full_when_metrics_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from decision_minrnn.tracking import Tracker

    def full(self: Tracker, update: int, values: dict[str, float]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tracker, "scalars", full)
    with pytest.raises(TrainingError, match=r"cannot write to .*No space left on device.*--resume"):
        train(train_config(tmp_path / "run"), DATA)
