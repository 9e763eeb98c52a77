"""Several seeds at once: each is the run that it would be alone."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from runs_compared import assert_close_metrics
from tiny import train_config, trajectories, with_nan

from decision_minrnn.checkpoint import checkpoint_folders, latest_checkpoint, load_model
from decision_minrnn.cli import main
from decision_minrnn.errors import ConfigError, TrainingError
from decision_minrnn.interruption import TrainingInterrupted
from decision_minrnn.learner import PolicyLearner, build_model
from decision_minrnn.model import DecisionModel
from decision_minrnn.runs import read_run
from decision_minrnn.seeds import train_seeds
from decision_minrnn.seeds.learner import SeedsLearner
from decision_minrnn.seeds.stacking import stack
from decision_minrnn.tracking import read_metrics
from decision_minrnn.training import resume, train

DATA = trajectories()
SEEDS = (3, 0, 8)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def models(count: int = 3, **settings: Any) -> list[DecisionModel]:
    torch.manual_seed(0)
    config = train_config(Path(), dropout=0.0, **settings)
    result = [build_model(config, DATA) for _ in range(count)]
    for model in result:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return result


@pytest.mark.parametrize("tokens", ["merged", "interleaved"])
@pytest.mark.parametrize("encoder", ["mingru", "minlstm"])
def test_a_stacked_model_is_its_members(encoder: str, tokens: str) -> None:
    members = models(encoder=encoder, tokens=tokens, layers=2, encoder_options={"expansion": 2.0})
    batches = [PolicyLearner(model, DATA, train_config(Path(), context=7)).sampler.sample() for model in members]
    inputs = [torch.cat(column) for column in zip(*(batch[:3] for batch in batches), strict=True)]
    reset = torch.rand(12, 7) < 0.3
    each = list(zip(members, batches, reset.split(4), strict=True))
    alone = [model(*batch[:3], None, marks) for model, batch, marks in each]
    stacked = stack(members)
    predicted, state = stacked(*inputs, None, reset)
    torch.testing.assert_close(predicted, torch.cat([actions for actions, _ in alone]))
    for tensor, parts in zip(state, zip(*(own for _, own in alone), strict=True), strict=True):
        torch.testing.assert_close(tensor, torch.cat(parts))
    # the members are views: what is learnt is theirs
    with torch.no_grad():
        for parameter in stacked.parameters():
            parameter.mul_(2)
    after = [model(*batch[:3])[0] for model, batch, _ in each]
    torch.testing.assert_close(stacked(*inputs)[0], torch.cat(after))
    assert not torch.allclose(after[0], alone[0][0])


@pytest.mark.parametrize("settings", [{}, {"encoder": "minlstm", "sampling": "streams"}], ids=str)
def test_all_learn_in_one_update(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Which a GPU records."""

    def members() -> list[PolicyLearner]:
        result = []
        for seed in SEEDS:
            config = train_config(tmp_path, seed=seed, dropout=0.0, **settings)
            torch.manual_seed(seed)
            result.append(PolicyLearner(build_model(config, DATA).to(DEVICE), DATA, config))
        return result

    learner = SeedsLearner(members())
    # on a GPU, sums are taken in another order
    tolerance = 1e-3 if DEVICE.type == "cpu" else 1e-2
    for steps, alone in zip(learner.learn_on(8), members(), strict=True):
        np.testing.assert_allclose([alone.learn() for _ in steps], steps, rtol=tolerance)
    assert (learner.updates.update.graph is None) == (DEVICE.type == "cpu")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"encoder": "minlstm", "tokens": "interleaved", "previous_action": False, "layers": 2},
        {"sampling": "streams", "gradient_clip": 0.01},
        {"encoder": "minlstm", "context": "episode", "weight_decay": 0.5, "top_percent": 60.0},
    ],
    ids=str,
)
def test_without_dropout_each_is_its_single_run(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings = {"dropout": 0.0, **settings}
    runs = train_seeds(train_config(tmp_path / "all", **settings), SEEDS, DATA, together=True)
    assert [run.folder.name for run in runs] == ["seed-3", "seed-0", "seed-8"]
    for seed, run in zip(SEEDS, runs, strict=True):
        alone = train(train_config(tmp_path / f"alone-{seed}", seed=seed, **settings), DATA)
        assert_close_metrics(run.folder, alone.folder)
        found, wanted_weights = (load_model(latest_checkpoint(r.folder)).state_dict() for r in (run, alone))
        for name, tensor in wanted_weights.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)
        assert read_run(run.folder).train.seed == seed
        assert read_run(run.folder).dataset_sha256 == read_run(alone.folder).dataset_sha256
    assert read_metrics(runs[0].folder)[0]["losses/action"] != read_metrics(runs[1].folder)[0]["losses/action"]


def test_each_goes_on_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"dropout": 0.0, "sampling": "streams", "evaluate": False}
    whole = train(train_config(tmp_path / "whole", seed=0, **settings), DATA)
    learn_on = SeedsLearner.learn_on

    def interrupted(self: SeedsLearner, limit: int) -> Any:
        if self.members[0].update == 6:
            signal.raise_signal(signal.SIGTERM)
        return learn_on(self, limit)

    monkeypatch.setattr(SeedsLearner, "learn_on", interrupted)
    with pytest.raises(TrainingInterrupted, match="stopped after update 8 of 12, and saved") as caught:
        train_seeds(train_config(tmp_path / "cut", **settings), SEEDS, DATA, together=True)
    for seed in SEEDS:
        assert latest_checkpoint(tmp_path / "cut" / f"seed-{seed}").name == "update-0000008"
        assert f"train --resume {tmp_path / 'cut' / f'seed-{seed}'}" in str(caught.value)
    resumed = resume(tmp_path / "cut" / "seed-0", DATA)
    for (name, tensor), wanted in zip(
        load_model(latest_checkpoint(resumed.folder)).state_dict().items(),
        load_model(latest_checkpoint(whole.folder)).state_dict().values(),
        strict=True,
    ):
        torch.testing.assert_close(tensor, wanted, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")  # type: ignore[misc]


def test_one_that_fails_stops_all_where_they_are(tmp_path: Path) -> None:
    data = with_nan(DATA)
    settings = {"updates": 200, "batch_size": 1, "context": 2, "checkpoint_every": 2, "evaluate": False}
    with pytest.raises(TrainingError, match=r"update (\d+): the loss is nan") as caught:
        train_seeds(train_config(tmp_path / "all", dropout=0.0, **settings), SEEDS, data, together=True)
    update = int(str(caught.value).split(":")[0].removeprefix("update "))
    (folder,) = tmp_path.glob(f"all/seed-*/not-finite-{update:07d}")
    assert safetensors.torch.load_file(folder / "batch.safetensors")["observations"].isnan().any()
    seed = int(folder.parent.name.removeprefix("seed-"))
    with pytest.raises(TrainingError, match=f"update {update}: the loss is nan"):
        train(train_config(tmp_path / "alone", seed=seed, dropout=0.0, **settings), data)
    kept = safetensors.torch.load_file(folder / "model.safetensors")
    alone = safetensors.torch.load_file(tmp_path / "alone" / folder.name / "model.safetensors")
    for name, tensor in alone.items():
        torch.testing.assert_close(kept[name], tensor, rtol=1e-3, atol=1e-5)


def test_evaluations_on_the_way_and_dropout(tmp_path: Path) -> None:
    config = train_config(tmp_path / "all", dropout=0.5, evaluate_every=5)
    runs = train_seeds(config, (1, 2), DATA, together=True)
    for run in runs:
        assert [row["update"] for row in read_metrics(run.folder) if "eval/return/30" in row] == [5, 10, 12]
        assert run.evaluation is not None
        assert resume(run.folder, DATA).evaluation == run.evaluation


def test_one_after_another_on_a_cpu(tmp_path: Path) -> None:
    """Where each is its single run to the bit, dropout included, with any encoder."""
    settings = {"dropout": 0.3, "encoder": "gru", "evaluate": False}
    runs = train_seeds(train_config(tmp_path / "all", **settings), (1, 2), DATA)
    for seed, run in zip((1, 2), runs, strict=True):
        alone = train(train_config(tmp_path / f"alone-{seed}", seed=seed, **settings), DATA)
        for name, tensor in load_model(latest_checkpoint(alone.folder)).state_dict().items():
            assert tensor.equal(load_model(latest_checkpoint(run.folder)).state_dict()[name])


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = train_config(tmp_path / "all")
    with pytest.raises(ConfigError, match=r"--seeds expects one or more different numbers, got \[1, 1\]"):
        train_seeds(config, (1, 1), DATA)
    with pytest.raises(ConfigError, match="different numbers"):
        train_seeds(config, (), DATA)
    for settings in ({"encoder": "gru"}, {"encoder_options": {"convolution": 4}}, {"accumulate": 2}):
        with pytest.raises(ConfigError, match="train these one after another"):
            train_seeds(dataclasses.replace(config, **settings), (1, 2), DATA, together=True)
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ConfigError, match="without torchrun"):
            train_seeds(config, (1, 2), DATA)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "all" / "seed-2").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"seed-2 exists. Choose another --out, or continue with --resume"):
        train_seeds(config, (1, 2), DATA, together=True)
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["seed-2"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = "--width 8 --layers 1 --batch-size 4 --updates 4 --log-every 2 --threads 1 --device cpu --no-evaluate"
    assert main(["train", "hopper-medium", *flags.split(), "--seeds", "5", "6", "--out", str(tmp_path / "all")]) == 0
    printed = capsys.readouterr().out
    for seed in (5, 6):
        assert len(checkpoint_folders(tmp_path / "all" / f"seed-{seed}")) == 1
        assert f"run folder: {tmp_path / 'all' / f'seed-{seed}'}" in printed
