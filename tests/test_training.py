"""Training: it learns, repeats to the bit, and refuses what it cannot do before anything is written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from events import hparams_of, scalars_of, texts_of
from rich.console import Console
from runs_compared import assert_events_are_the_metrics, assert_same_run, weights
from tiny import train_config, trajectories

from decision_minrnn.checkpoint import checkpoint_folders
from decision_minrnn.data import load_dataset
from decision_minrnn.errors import ConfigError, DataError, UnknownNameError
from decision_minrnn.runs import read_evaluation, read_run
from decision_minrnn.tracking import read_metrics
from decision_minrnn.training import resume, train

DATA = trajectories()


def test_the_loss_falls_on_the_embedded_data(tmp_path: Path) -> None:
    config = train_config(
        tmp_path / "run",
        dataset="hopper-medium",
        updates=150,
        batch_size=16,
        width=16,
        context=20,
        log_every=15,
        checkpoint_every=150,
        evaluate=False,
    )
    run = train(config, load_dataset("hopper-medium"))
    losses = [row["losses/action"] for row in read_metrics(run.folder)]
    assert losses[-1] < 0.6 * losses[0]
    assert run.evaluation is None
    assert not (run.folder / "evaluation.json").exists()


def test_a_run_leaves_what_was_promised(tmp_path: Path) -> None:
    run = train(train_config(tmp_path / "run", evaluate_every=8), DATA)
    names = {path.name for path in run.folder.iterdir() if not path.name.startswith("events.")}
    assert names == {"config.json", "metrics.jsonl", "evaluation.json", "checkpoints"}
    assert [path.name for path in checkpoint_folders(run.folder)] == [
        "update-0000004",
        "update-0000008",
        "update-0000012",
    ]
    assert run.evaluation == read_evaluation(run.folder)
    assert run.evaluation is not None
    assert [result.target_return for result in run.evaluation.targets] == [30.0, 12.5]
    assert run.evaluation.checkpoint == "last, update 12 of 12"
    rows = read_metrics(run.folder)
    assert [row["update"] for row in rows] == [3, 4, 6, 8, 8, 9, 12, 12]
    assert rows[-1]["eval/return/12.5"] == run.evaluation.targets[1].return_mean
    tags = {"losses/action", "charts/learning_rate", "charts/gradient_norm", "charts/updates_per_second"}
    tags |= {f"eval/{what}/{target}" for what in ("return", "length", "normalized_score") for target in ("30", "12.5")}
    assert set(scalars_of(run.folder)) == tags
    assert_events_are_the_metrics(run.folder)
    (settings,) = hparams_of(run.folder)
    assert (settings["width"], settings["encoder"], settings["targets"]) == (8, "mingru", "(30.0, 12.5)")
    assert "| learning_rate | 0.001 |" in texts_of(run.folder)["configuration"]
    run.policy.reset(1, 30.0)
    assert run.policy.act(np.zeros((1, 2))).shape == (1, 1)


def test_a_seed_is_a_run(tmp_path: Path) -> None:
    drawn = torch.get_rng_state()
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        train(train_config(tmp_path / name, seed=seed, dropout=0.5), DATA)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert not torch.equal(weights(tmp_path / "one")["head.weight"], weights(tmp_path / "other")["head.weight"])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"encoder": "mingrou"}, UnknownNameError, "Did you mean mingru"),
        ({"encoder_options": {"expandsion": 2}}, ConfigError, "no option 'expandsion'"),
        ({"device": "cuda:99"}, ConfigError, "--device cuda:99 cannot be used on this machine"),
        ({"device": "abacus"}, ConfigError, "--device abacus cannot be used"),
        ({"device": "mps"}, ConfigError, "--device expects auto, cpu, cuda or cuda:N, got mps"),
        ({"device": "meta"}, ConfigError, "--device expects auto, cpu, cuda or cuda:N, got meta"),
    ],
)
def test_what_is_refused_beforehand_writes_nothing(
    tmp_path: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(train_config(tmp_path / "run", **settings), DATA)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"env_id": None}, "no environment to evaluate in. Name one with --env"),
        ({"env_id": "Leger-v0"}, "unknown environment 'Leger-v0'"),
        (
            {"env_id": "Hopper-v5"},
            "size 11 and actions of size 3, but the policy is trained for .*size 2",
        ),
    ],
)
def test_an_environment_that_does_not_fit_writes_nothing(tmp_path: Path, facts: dict[str, Any], message: str) -> None:
    data = dataclasses.replace(DATA, **facts)
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        train(train_config(tmp_path / "run"), data)
    assert list(tmp_path.iterdir()) == []
    train(train_config(tmp_path / "run", evaluate=False), data)


def test_unknown_data_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises((DataError, UnknownNameError), match="Did you mean hopper-medium"):
        train(train_config(tmp_path / "run", dataset="hopper-mediun"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_left_as_it_is(tmp_path: Path) -> None:
    train(train_config(tmp_path / "run"), DATA)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="holds a run already"):
        train(train_config(tmp_path / "run", seed=9), DATA)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_far_target_is_warned_of_before_training(tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    train(train_config(tmp_path / "run", targets=(12.5, 4000.0)), DATA, console=console)
    text = console.export_text()
    assert "warning: target 4000 is far outside the returns of the data" in text
    assert "target 12.5 is far" not in text
    assert text.index("warning") < text.index("update 3/12")


def test_what_is_shown_away_from_a_terminal(tmp_path: Path) -> None:
    console = Console(record=True, width=40, force_terminal=False)
    train(train_config(tmp_path / "a folder with a long name"), DATA, console=console)
    lines = console.export_text().splitlines()
    assert lines[0] == "data      ledger: made for a test"
    assert lines[1].startswith("model     mingru, merged tokens, width 8, 1 layers: ")
    assert lines[2] == f"run       {tmp_path / 'a folder with a long name'}"
    assert lines[3].startswith("update 3/12  loss 0.")
    assert lines[3].endswith("s left")
    assert lines[-1].startswith("update 12: return ")
    assert lines[-1].endswith("at target 12.5")


def test_behaviour_cloning_sees_no_return_and_trains_on_the_best_alone(tmp_path: Path) -> None:
    settings = {"encoder": "mlp", "return_conditioning": False, "top_percent": 40.0, "targets": (1.0, 1000.0)}
    run = train(train_config(tmp_path / "run", **settings), DATA)
    assert run.evaluation is not None
    low, high = run.evaluation.targets
    assert low.returns == high.returns, "the target changes nothing"
    assert "of which the best 40 %" in read_run(tmp_path / "run").dataset
    resume(tmp_path / "run", DATA)
    conditioned = train(train_config(tmp_path / "other", encoder="mlp", targets=(1.0, 1000.0)), DATA)
    assert conditioned.evaluation is not None
    assert conditioned.evaluation.targets[0].returns != conditioned.evaluation.targets[1].returns
    with pytest.raises(ConfigError, match="--top-percent expects a percentage above 0 and up to 100, got 0"):
        train_config(tmp_path / "x", top_percent=0.0)
