"""Runs are grouped by what they learned, with their metrics and evaluations as they stand in the folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import train_config, trajectories

from decision_minrnn.errors import CheckpointError
from decision_minrnn.report.gathering import Spread, by_dataset, find_runs
from decision_minrnn.training import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mingru-0"
    train(train_config(folder), trajectories())
    return folder


def another(run: Path, name: str, **settings: Any) -> Path:
    """A copy of a run whose config says something else."""
    folder = run.with_name(name)
    shutil.copytree(run, folder)
    content = json.loads((folder / "config.json").read_text())
    content["train"] |= settings
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    first = shutil.copytree(trained, folder / "mingru-0")
    another(first, "mingru-1", seed=1, out="elsewhere", threads=3, targets=[1.0])
    another(first, "wide", width=16)
    another(first, "minlstm", encoder="minlstm", encoder_options={"forget_bias": 2.0})
    another(first, "data", dataset="other/data.hdf5")
    return folder


def test_groups(runs: Path) -> None:
    found, left_out = find_runs([runs])
    assert left_out == []
    groups = {
        dataset: {group.name: [run.folder.name for run in group.runs] for group in members}
        for dataset, members in by_dataset(found).items()
    }
    assert groups == {
        "ledger": {"mingru, width 8": ["mingru-0", "mingru-1"], "mingru, width 16": ["wide"], "minlstm": ["minlstm"]},
        "data": {"mingru": ["data"]},
    }


def test_a_run_that_is_named_twice_counts_once(runs: Path) -> None:
    found, _ = find_runs([runs / "wide", runs, runs / "wide"])
    assert [run.folder.name for run in found] == ["wide", "data", "mingru-0", "mingru-1", "minlstm"]


def test_curves_and_results_over_seeds(runs: Path) -> None:
    rows = [{"update": update, "losses/action": float(update)} for update in (3, 6)]
    (runs / "mingru-0" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    other = [{"update": update, "losses/action": update + 2.0} for update in (6, 9)]
    (runs / "mingru-1" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in other))
    (group,) = by_dataset(find_runs([runs / "mingru-0", runs / "mingru-1"])[0])["ledger"]
    assert group.curve("losses/action") == {6: Spread(7.0, 1.0, (6.0, 8.0))}
    assert group.curve("nothing") == {}
    assert {target: len(results) for target, results in group.results().items()} == {12.5: 2, 30.0: 2}
    assert group.results("window") == {}


def test_folders_that_are_no_runs(runs: Path, tmp_path: Path) -> None:
    (runs / "wide" / "config.json").write_text("{")
    (runs / "notes").mkdir()
    found, (reason,) = find_runs([runs])
    assert len(found) == 4
    assert "wide/config.json is damaged" in reason
    for path in (runs / "wide", tmp_path / "nowhere", runs / "notes"):
        with pytest.raises(CheckpointError):
            find_runs([path])
