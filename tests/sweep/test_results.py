"""Results as they stand in run folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_runs import make_run
from tiny import random_model

from decision_minrnn.errors import CheckpointError
from decision_minrnn.policy import Policy
from decision_minrnn.sweep.results import read_results


def test_only_what_is_finished_and_evaluated_counts(tmp_path: Path) -> None:
    make_run(tmp_path / "done")
    make_run(tmp_path / "begun", update=20, seed=1)
    make_run(tmp_path / "not-evaluated", evaluate=False, seed=2)
    (tmp_path / "no-run").mkdir()
    Policy(random_model()).save_pretrained(tmp_path / "shared")
    (tmp_path / "file").touch()
    assert [result.folder.name for result in read_results(sorted(tmp_path.iterdir()))] == ["done"]


def test_a_later_evaluation_is_not_looked_at(tmp_path: Path) -> None:
    make_run(tmp_path / "run", (50.0,))
    (tmp_path / "run/evaluation.json").write_text(json.dumps({"targets": [{"normalized_mean": 99.0}]}))
    assert read_results([tmp_path / "run"])[0].scores == (50.0,)


def test_metrics_without_an_evaluation(tmp_path: Path) -> None:
    make_run(tmp_path / "run", targets=(3600.0,))
    path = tmp_path / "run/metrics.jsonl"
    path.write_text(path.read_text().replace("/3600", "/3601"))
    with pytest.raises(CheckpointError, match=r"has no eval/return/3600\."):
        read_results([tmp_path / "run"])
