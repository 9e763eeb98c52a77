"""`GraphedLearner` beside `PolicyLearner`: the same updates, many at a time. Without a GPU nothing is recorded."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from runs_compared import assert_close_metrics, assert_same_run
from test_training import DATA
from tiny import train_config, trajectories, with_nan

from decision_minrnn import graphed, replay
from decision_minrnn.checkpoint import checkpoint_folders
from decision_minrnn.config import TrainConfig
from decision_minrnn.data import Trajectories
from decision_minrnn.errors import TrainingError
from decision_minrnn.graphed import GraphedLearner, build_learner, can_be_graphed
from decision_minrnn.interruption import TrainingInterrupted
from decision_minrnn.learner import NotFiniteError, PolicyLearner, Step, build_model
from decision_minrnn.training import resume, train

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SETTINGS: list[dict[str, Any]] = [
    {},
    {"encoder": "minlstm", "tokens": "interleaved", "precision": "bfloat16"},
    {"sampling": "streams"},
    {"context": "episode", "tokens": "interleaved"},
    {"previous_action": True, "encoder_options": {"convolution": 4}, "dropout": 0.0},
]


def learner_of(kind: type[PolicyLearner], config: TrainConfig, data: Trajectories = DATA) -> PolicyLearner:
    torch.manual_seed(config.seed)
    return kind(build_model(config, data).to(DEVICE), data, config)


def learnt(learner: PolicyLearner, updates: int) -> list[Step]:
    steps: list[Step] = []
    while learner.update < updates:
        steps += learner.learn_on(updates - learner.update)
    return steps


def assert_close(learner: PolicyLearner, other: PolicyLearner) -> None:
    for (name, tensor), wanted in zip(
        learner.model.state_dict().items(), other.model.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(tensor, wanted, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")  # type: ignore[misc]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_same_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    monkeypatch.setattr(replay, "STRIDE", 5)
    config = train_config(tmp_path, **{"dropout": 0.3} | settings)
    plain = learner_of(PolicyLearner, config)
    expected = learnt(plain, 12)
    learner = learner_of(GraphedLearner, config)
    found = learnt(learner, 12)
    # on a GPU, sums are taken in another order
    tolerance = {"rtol": 1e-4} if DEVICE.type == "cpu" else {"rtol": 1e-2}
    np.testing.assert_allclose(found, expected, **tolerance)
    assert found[0].loss != found[5].loss
    if DEVICE.type == "cpu":
        assert_close(learner, plain)
    assert learner.sampler.state() == plain.sampler.state()


def test_as_many_updates_as_wait_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "STRIDE", 5)
    learner = learner_of(GraphedLearner, train_config(tmp_path))
    assert [len(learner.learn_on(limit)) for limit in (2, 5, 9)] == [2, 5, 5]
    assert learner.update == 12
    monkeypatch.setattr(replay, "MOST_STEPS", 3 * 4 * 5)
    assert len(learner_of(GraphedLearner, train_config(tmp_path)).learn_on(9)) == 3
    monkeypatch.setattr(replay, "MOST_STEPS", 1)
    assert len(learner_of(GraphedLearner, train_config(tmp_path)).learn_on(9)) == 1


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is graphed."""
    monkeypatch.setattr(graphed, "can_be_graphed", lambda *_: True)


def cut_after(monkeypatch: pytest.MonkeyPatch, update: int) -> None:
    """The process ends in the first stretch of updates that reaches beyond this one."""
    learn_on = GraphedLearner.learn_on

    def cut(self: GraphedLearner, limit: int) -> list[Step]:
        if self.update >= update:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return learn_on(self, limit)

    monkeypatch.setattr(GraphedLearner, "learn_on", cut)


@pytest.mark.parametrize("settings", SETTINGS[:3], ids=str)
def test_resuming_is_not_stopping(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings = {"dropout": 0.3, "evaluate": False, **settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphed, "can_be_graphed", lambda *_: True)
        train(train_config(tmp_path / "whole", **settings), DATA)
        with pytest.MonkeyPatch.context() as inner:
            cut_after(inner, 6)
            with pytest.raises(KeyboardInterrupt):
                train(train_config(tmp_path / "cut", **settings), DATA)
        assert [path.name for path in checkpoint_folders(tmp_path / "cut")] == ["update-0000004"]
        resume(tmp_path / "cut", DATA)
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


def test_a_run_is_logged_saved_and_evaluated_when_it_should_be(tmp_path: Path, always: None) -> None:
    graphed_run = train(train_config(tmp_path / "graphed", evaluate_every=5), DATA)
    plain_run = train(train_config(tmp_path / "plain", evaluate_every=5, cuda_graph=False), DATA)
    assert_close_metrics(graphed_run.folder, plain_run.folder)


def test_a_signal_stops_after_the_updates_under_way(
    tmp_path: Path, always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_on = GraphedLearner.learn_on

    def interrupted(self: GraphedLearner, limit: int) -> list[Step]:
        if self.update == 4:
            signal.raise_signal(signal.SIGTERM)
        return learn_on(self, limit)

    monkeypatch.setattr(GraphedLearner, "learn_on", interrupted)
    with pytest.raises(TrainingInterrupted, match="stopped after update 6 of 12, and saved"):
        train(train_config(tmp_path / "run"), DATA)


NOT_FINITE = {"updates": 200, "batch_size": 1, "context": 2, "log_every": 50, "checkpoint_every": 50}


def test_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    """Weights and moments stay as they were before the update, whose batch is given."""
    config = train_config(tmp_path, dropout=0.3, **NOT_FINITE)
    plain, learner = (learner_of(kind, config, with_nan(DATA)) for kind in (PolicyLearner, GraphedLearner))
    torch.manual_seed(1)
    with pytest.raises(NotFiniteError) as expected:
        learnt(plain, 200)
    torch.manual_seed(1)
    with pytest.raises(NotFiniteError) as found:
        learnt(learner, 200)
    assert learner.update == plain.update > 1
    assert learner.update % 50 != 0, "the failure lies among updates that follow each other"
    assert_close(learner, plain)
    for name, tensor in learner.tensors().items():
        if name.startswith("optimizer"):
            torch.testing.assert_close(tensor, plain.tensors()[name], rtol=1e-3, atol=1e-6)
    for name, tensor in found.value.batch._asdict().items():
        wanted = expected.value.batch._asdict()[name]
        assert wanted is tensor is None or torch.allclose(tensor, wanted, rtol=0, atol=0, equal_nan=True), name


def test_a_run_that_fails_says_where_its_batch_is(tmp_path: Path, always: None) -> None:
    with pytest.raises(TrainingError, match=r"update (\d+): the loss is nan") as caught:
        train(train_config(tmp_path / "run", **NOT_FINITE), with_nan(DATA))
    update = int(str(caught.value).split(":")[0].removeprefix("update "))
    folder = tmp_path / "run" / f"not-finite-{update:07d}"
    assert safetensors.torch.load_file(folder / "batch.safetensors")["observations"].isnan().any()
    kept = safetensors.torch.load_file(folder / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())


def test_what_is_graphed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU with room for the data, a minGRU or minLSTM whose update is one."""
    config = train_config(tmp_path)
    assert not can_be_graphed(config, DATA, torch.device("cpu"))
    monkeypatch.setattr(graphed.triton, "takes", lambda x: True)
    monkeypatch.setattr(graphed, "fits_on", lambda data, device: data is DATA)
    assert can_be_graphed(config, DATA, DEVICE)
    assert not can_be_graphed(config, trajectories(), DEVICE)
    for settings in ({"encoder": "gru"}, {"encoder_options": {"scan": "sequential"}}, {"accumulate": 2}):
        assert not can_be_graphed(train_config(tmp_path, **settings), DATA, DEVICE)
    for cuda_graph, kind in ((True, GraphedLearner), (False, PolicyLearner)):
        config = train_config(tmp_path, cuda_graph=cuda_graph)
        assert type(build_learner(build_model(config, DATA).to(DEVICE), DATA, config)) is kind


@pytest.mark.skipif(DEVICE.type == "cpu", reason="needs a GPU")
def test_updates_are_recorded(tmp_path: Path) -> None:
    learner = learner_of(GraphedLearner, train_config(tmp_path))
    assert isinstance(learner, GraphedLearner)
    learnt(learner, 3)
    assert learner.updates.update.graph is None
    learnt(learner, 5)
    assert learner.updates.update.graph is not None
    with pytest.raises(RuntimeError, match="before the first update"):
        learner.restore_tensors({})


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_another_than_the_current_gpu_records(tmp_path: Path) -> None:
    losses = []
    for place in range(2):
        config = train_config(tmp_path)
        torch.manual_seed(config.seed)
        learner = GraphedLearner(build_model(config, DATA).to(f"cuda:{place}"), DATA, config)
        losses.append([step.loss for step in learnt(learner, 8)])
    np.testing.assert_allclose(*losses, rtol=1e-4)
