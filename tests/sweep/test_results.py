"""Results read from run folders and put side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import make_run

from decision_minrnn.errors import CheckpointError, ConfigError
from decision_minrnn.sweep.results import Comparison, compare, read_results


def compared(folder: Path, **options: Any) -> Comparison:
    return compare(read_results(sorted(folder.iterdir())), **options)


def test_a_table_for_each_target_and_never_the_better_of_two(tmp_path: Path) -> None:
    for seed, scores in enumerate([(10.0, 90.0), (30.0, 20.0)]):
        make_run(tmp_path / f"run-{seed}", scores, targets=(3600.0, 1800.0), seed=seed)
    comparison = compared(tmp_path)
    first, second = (table.cells["hopper-medium", "mingru"] for table in comparison.tables)
    assert [table.targets for table in comparison.tables] == [{"hopper-medium": 3600}, {"hopper-medium": 1800}]
    assert (first.scores, second.scores) == ({0: 10, 1: 30}, {0: 90, 1: 20})
    assert (first.mean, first.deviation) == (20, 10)
    assert comparison.normalised


def test_only_what_is_finished_and_evaluated_counts(tmp_path: Path) -> None:
    make_run(tmp_path / "done")
    make_run(tmp_path / "begun", update=20, seed=1)
    make_run(tmp_path / "not-evaluated", evaluate=False, seed=2)
    (tmp_path / "no-run").mkdir()
    (tmp_path / "file").touch()
    assert [result.folder.name for result in read_results(sorted(tmp_path.iterdir()))] == ["done"]


def test_a_later_evaluation_is_not_looked_at(tmp_path: Path) -> None:
    make_run(tmp_path / "run", (50.0,))
    (tmp_path / "run/evaluation.json").write_text(json.dumps({"targets": [{"normalized_mean": 99.0}]}))
    assert read_results([tmp_path / "run"])[0].scores == (50.0,)


def test_rows_and_columns_in_the_order_asked_for_and_then_as_found(tmp_path: Path) -> None:
    for index, (dataset, encoder) in enumerate([("b", "s4d"), ("a", "mlp"), ("c", "mingru"), ("c", "s4d")]):
        make_run(tmp_path / str(index), dataset=f"{dataset}.hdf5", encoder=encoder)
    table = compared(tmp_path, datasets=("c", "unused"), encoders=("mingru", "mlp")).tables[0]
    assert table.datasets == ("c", "b", "a")
    assert table.algorithms == ("mingru", "mlp", "s4d")


def test_columns_tell_what_differs_and_nothing_else(tmp_path: Path) -> None:
    make_run(tmp_path / "a", width=8, log_every=5)
    make_run(tmp_path / "b", width=16)
    make_run(tmp_path / "c", width=16, encoder_options={"expansion": 2})
    assert compared(tmp_path).tables[0].algorithms == (
        "mingru width=8",
        "mingru width=16",
        "mingru:expansion=2 width=16",
    )


def test_a_matrix_has_the_seeds_that_all_datasets_have(tmp_path: Path) -> None:
    for dataset, seed, score in [("a", 0, 1), ("a", 1, 2), ("a", 2, 3), ("b", 1, 4), ("b", 2, 5)]:
        make_run(tmp_path / f"{dataset}{seed}", (float(score),), dataset=f"{dataset}.hdf5", seed=seed)
    make_run(tmp_path / "other", dataset="a.hdf5", encoder="mlp")
    table = compared(tmp_path).tables[0]
    matrix = table.matrix("mingru")
    assert matrix is not None
    np.testing.assert_array_equal(matrix, [[2, 4], [3, 5]])
    assert table.matrix("mlp") is None


def test_returns_where_a_run_has_no_reference(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (10.0,))
    make_run(tmp_path / "b", (20.0,), seed=1, reference=None)
    comparison = compared(tmp_path)
    assert not comparison.normalised
    assert comparison.tables[0].cells["hopper-medium", "mingru"].scores == {0: 100, 1: 200}


def test_datasets_with_targets_of_their_own(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (1.0, 2.0), targets=(3600.0, 1800.0))
    make_run(tmp_path / "b", (3.0,), targets=(12000.0,), dataset="cheetah.hdf5")
    first, second = compared(tmp_path).tables
    assert first.targets == {"hopper-medium": 3600, "cheetah": 12000}
    assert second.datasets == ("hopper-medium",)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 0}, "there is another run of the same settings and seed 0"),
        ({"seed": 1, "targets": (1800.0,)}, "was evaluated at target 1800, other runs on hopper-medium at 3600"),
    ],
)
def test_runs_that_do_not_belong_in_one_table(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", **other)
    with pytest.raises(ConfigError, match=message):
        compared(tmp_path)


def test_nothing_to_compare() -> None:
    with pytest.raises(ConfigError, match="no finished and evaluated run"):
        compare([])


def test_metrics_without_an_evaluation(tmp_path: Path) -> None:
    make_run(tmp_path / "run", targets=(3600.0,))
    path = tmp_path / "run/metrics.jsonl"
    path.write_text(path.read_text().replace("/3600", "/3601"))
    with pytest.raises(CheckpointError, match=r"has no eval/return/3600\."):
        read_results([tmp_path / "run"])
