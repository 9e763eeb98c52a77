"""What is written survives: weights are loaded to the bit, and a training that is resumed ends in the same weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from decision_minrnn.checkpoint import TrainingState, latest_checkpoint, load_model, save_checkpoint
from decision_minrnn.config import TrainConfig
from decision_minrnn.selftest.base import Finding, register_check
from decision_minrnn.selftest.ledger import recordings
from decision_minrnn.selftest.rollouts import small_model
from decision_minrnn.training import resume, train

UPDATES = 12


@register_check("checkpoints")
def checkpoints(device: torch.device) -> Iterator[Finding]:
    """Saved and loaded; trained, and trained with the second half done again from the checkpoint in the middle."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        model = small_model(device)
        saved = save_checkpoint(folder / "saved", model, TrainingState(1, {}, {}), 1)
        yield Finding("weights saved and loaded", weights_apart(load_model(saved), model.cpu()), 0)
        whole = train_small(folder / "whole", device)
        shutil.copytree(folder / "whole", folder / "stopped")
        shutil.rmtree(latest_checkpoint(folder / "stopped"))
        (folder / "stopped" / "evaluation.json").unlink(missing_ok=True)
        resume(folder / "stopped", recordings())
        resumed = load_model(latest_checkpoint(folder / "stopped"))
        yield Finding("weights of a training that was resumed", weights_apart(resumed, whole), 0)


def train_small(folder: Path, device: torch.device, **settings: Any) -> torch.nn.Module:
    """A training of a second: its last weights.

    Every source of randomness is in it: initial weights, sampling, dropout. `settings` are those of `TrainConfig`.
    """
    defaults: dict[str, Any] = {
        "width": 16,
        "layers": 2,
        "dropout": 0.2,
        "batch_size": 8,
        "context": 8,
        "sampling": "streams",
        "updates": UPDATES,
        "warmup": 4,
        "log_every": 4,
        "checkpoint_every": UPDATES // 2,
        "evaluate": False,
        "device": str(device),
    }
    train(TrainConfig("ledger", out=str(folder), **defaults | settings), recordings())
    return load_model(latest_checkpoint(folder))


def weights_apart(model: torch.nn.Module, other: torch.nn.Module) -> float:
    """The largest difference of two models' weights; 0 where they are equal to the bit, infinity for other names."""
    one, two = model.state_dict(), other.state_dict()
    if one.keys() != two.keys():
        return float("inf")
    return max(float((one[name].double() - two[name].double()).abs().max()) for name in one)
