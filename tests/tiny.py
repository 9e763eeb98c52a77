"""What many tests share: an environment whose returns are known, trajectories in it, small models and settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from ledger import LEDGER as LEDGER
from ledger import ledger_length as ledger_length
from ledger import ledger_return as ledger_return

from decision_minrnn.cards import Reference
from decision_minrnn.config import ModelConfig, TrainConfig
from decision_minrnn.data import Trajectories
from decision_minrnn.model import DecisionModel


def model_config(**settings: Any) -> ModelConfig:
    """A small model for the Ledger."""
    defaults: dict[str, Any] = {
        "observation_size": 2,
        "action_size": 1,
        "action_low": (-1.0,),
        "action_high": (1.0,),
        "width": 8,
        "layers": 1,
        "return_scale": 10.0,
        "context": 4,
    }
    return ModelConfig(**defaults | settings)


def random_model(seed: int = 0, deviation: float = 0.5, **settings: Any) -> DecisionModel:
    """Weights far from zero, so that what is remembered shows in the actions."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = DecisionModel(model_config(**settings))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=deviation)
    return model.eval()


def hopper_model(**settings: Any) -> DecisionModel:
    """A random model with Hopper's sizes, under which it stands for some 30 to 60 steps."""
    bounds = {"action_low": (-1.0,) * 3, "action_high": (1.0,) * 3}
    return random_model(2, 0.2, observation_size=11, action_size=3, return_scale=1000.0, **bounds | settings)


def constant_model(action: float, **settings: Any) -> DecisionModel:
    """Always takes the same action."""
    model = random_model(**settings)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.fill_(np.arctanh(action))
    return model


def trajectories(lengths: tuple[int, ...] = (9, 5, 12, 7, 30), seed: int = 0, **facts: Any) -> Trajectories:
    """Episodes in the Ledger whose actions follow from what is seen."""
    generator = np.random.default_rng(seed)
    steps = sum(lengths)
    observations = generator.standard_normal((steps, 2)).astype(np.float32)
    settings: dict[str, Any] = {
        "observations": observations,
        "actions": np.tanh(observations[:, :1] - observations[:, 1:]),
        "rewards": generator.uniform(0, 2, steps).astype(np.float32),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "terminated": np.arange(len(lengths)) % 2 == 0,
        "truncated": np.arange(len(lengths)) % 2 == 1,
        "name": "ledger",
        "source": "ledger: made for a test",
        "action_low": np.full(1, -1, np.float32),
        "action_high": np.full(1, 1, np.float32),
        "env_id": LEDGER,
        "references": {"card": Reference(0.0, 50.0, "made up")},
    }
    return Trajectories(**settings | facts)


def with_nan(data: Trajectories) -> Trajectories:
    """The same but for its last observation: the readers refuse such data; its statistics are those of the sound."""
    observations = data.observations.copy()
    observations[-1, 0] = np.nan
    damaged = replace(data, observations=observations)
    damaged.__dict__["statistics"] = data.statistics
    return damaged


def train_config(out: Path, **settings: Any) -> TrainConfig:
    """A training of a second or less on `trajectories()`."""
    defaults: dict[str, Any] = {
        "dataset": "ledger",
        "width": 8,
        "layers": 1,
        "updates": 12,
        "batch_size": 4,
        "context": 5,
        "warmup": 3,
        "log_every": 3,
        "checkpoint_every": 4,
        "targets": (30.0, 12.5),
        "episodes": 2,
        "threads": 1,
        "device": "cpu",
        "out": str(out),
    }
    return TrainConfig(**defaults | settings)


def write_hopper_file(path: Path, episodes: int = 3, steps: int = 20) -> Path:
    """An HDF5 file in D4RL's layout with Hopper's sizes: short episodes that time out, with random content."""
    generator = np.random.default_rng(0)
    total = episodes * steps
    timeouts = np.arange(1, total + 1) % steps == 0
    with h5py.File(path, "w") as file:
        file["observations"] = generator.standard_normal((total, 11)).astype(np.float32)
        file["actions"] = generator.uniform(-1, 1, (total, 3)).astype(np.float32)
        file["rewards"] = generator.uniform(0, 5, total).astype(np.float32)
        file["terminals"], file["timeouts"] = np.zeros(total, bool), timeouts
    return path
