"""Ranks and parts of a batch: however a batch is divided, it is the same update."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from tiny import train_config, trajectories

from decision_minrnn.checkpoint import checkpoint_folders, latest_checkpoint, load_model
from decision_minrnn.config import TrainConfig
from decision_minrnn.distributed import Ranks
from decision_minrnn.errors import ConfigError
from decision_minrnn.learner import PolicyLearner, build_model
from decision_minrnn.runs import read_evaluation
from decision_minrnn.tracking import read_metrics
from decision_minrnn.training import resume, train

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SETTINGS: dict[str, Any] = {
    "dataset": "hopper-medium", "width": 16, "layers": 1, "dropout": 0.0, "batch_size": 8, "context": 20,
    "log_every": 1, "episodes": 2, "targets": (1800.0,), "threads": 1,
}  # fmt: skip


def command(out: Path, **settings: object) -> list[str]:
    named = {name: value for name, value in {**SETTINGS, **settings}.items() if name != "dataset"}
    words = [word for name, value in named.items() for word in (f"--{name.replace('_', '-')}", *flatten(value))]
    return [*TORCHRUN, "-m", "decision_minrnn", "train", SETTINGS["dataset"], "--out", str(out), *words]


def flatten(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]


def assert_near(run: Path, other: Path) -> None:
    """The same losses and weights, but for the rounding of sums in another order."""
    losses = [
        [row["losses/action"] for row in read_metrics(folder) if "losses/action" in row] for folder in (run, other)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    expected = load_model(latest_checkpoint(other)).state_dict()
    for name, tensor in load_model(latest_checkpoint(run)).state_dict().items():
        # AdamW divides by the gradient's size, and makes a small difference of a small gradient a whole step of it
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sampling", ["windows", "streams"])
def test_the_parts_of_a_batch_make_its_update(sampling: str) -> None:
    data, losses = trajectories(), []
    for accumulate in (1, 2, 8):
        config = train_config(
            Path("unused"), batch_size=8, context=4, dropout=0.0, sampling=sampling, accumulate=accumulate
        )
        torch.manual_seed(0)
        learner = PolicyLearner(build_model(config, data), data, config)
        losses.append([learner.learn().loss for _ in range(5)])
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-5)


def test_the_state_of_a_training_is_that_of_the_whole_batch() -> None:
    data, states = trajectories(), []
    for accumulate in (1, 4):
        config = train_config(
            Path("unused"), batch_size=8, context=4, dropout=0.0, sampling="streams", accumulate=accumulate
        )
        torch.manual_seed(0)
        learner = PolicyLearner(build_model(config, data), data, config)
        learner.learn()
        states.append(learner.state())
        learner.restore(states[-1])
    assert states[0].tensors["carried/0"].shape[0] == 8
    torch.testing.assert_close(states[1].tensors["carried/0"], states[0].tensors["carried/0"])


def test_ranks_read_their_own_rows() -> None:
    data, config = trajectories(), train_config(Path("unused"), batch_size=8, context=4)
    torch.manual_seed(0)
    whole = PolicyLearner(build_model(config, data), data, config).sampler
    batch = whole.sample()
    for rank in range(2):
        sampler = type(whole)(data, 8, 4, config.seed, "windows", Ranks(rank, 2).share(8))
        part = sampler.sample()
        assert torch.equal(part.observations, batch.observations[4 * rank : 4 * rank + 4])
        assert sampler.valid_steps == whole.valid_steps == batch.mask.sum()


def test_a_batch_that_cannot_be_divided() -> None:
    with pytest.raises(ConfigError, match="--accumulate expects a divisor of the batch size 20, got 3"):
        train_config(Path("unused"), batch_size=20, accumulate=3)
    config = train_config(Path("unused"), batch_size=10, accumulate=2)
    with pytest.raises(ConfigError, match="a multiple of the 2 ranks times --accumulate 2, got 10"):
        PolicyLearner(build_model(config, trajectories()), trajectories(), config, Ranks(0, 2))


def test_two_ranks_are_one(tmp_path: Path) -> None:
    out = tmp_path / "two"
    done = subprocess.run(command(out, updates=5), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run folder:") == 1
    one = train(TrainConfig(**SETTINGS, updates=5, out=str(tmp_path / "one")))
    assert_near(out, one.folder)
    assert len(read_evaluation(out).targets) == 1


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"updates": 400, "sampling": "streams", "accumulate": 2, "episodes": 1}
    one = train(TrainConfig(**{**SETTINGS, **settings}, out=str(tmp_path / "one")))
    out = tmp_path / "two"
    ranks = subprocess.Popen(command(out, **settings), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while len(read_metrics(out)) < 20 and ranks.poll() is None:
        time.sleep(0.05)
    os.kill(ranks.pid, signal.SIGTERM)
    output, _ = ranks.communicate(timeout=200)
    assert checkpoint_folders(out), output
    assert len(read_metrics(out)) < 400
    state = safetensors.torch.load_file(latest_checkpoint(out) / "training.safetensors")
    assert {"generator/cpu", "generator/cpu/1"} <= state.keys()
    resume(out)
    assert_near(out, one.folder)
    assert [row["update"] for row in read_metrics(out) if "losses/action" in row] == list(range(1, 401))
