"""Results side by side: rows, columns and a table for each target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import make_run

from decision_minrnn.errors import ConfigError
from decision_minrnn.sweep.comparison import Comparison, compare
from decision_minrnn.sweep.results import read_results


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


def test_runs_with_other_targets_stand_in_other_tables(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (1.0,), targets=(3600.0,))
    make_run(tmp_path / "b", (2.0, 3.0), targets=(1800.0, 900.0))
    tables = compared(tmp_path).tables
    assert [table.targets["hopper-medium"] for table in tables] == [3600, 1800, 900]
    assert [table.cells["hopper-medium", "mingru"].scores for table in tables] == [{0: 1}, {0: 2}, {0: 3}]


def test_settings_that_change_no_result_tell_columns_apart_if_they_were_varied(tmp_path: Path) -> None:
    make_run(tmp_path / "a", threads=1)
    make_run(tmp_path / "b", threads=2)
    assert compared(tmp_path, settings=["threads"]).tables[0].algorithms == ("mingru threads=1", "mingru threads=2")
    with pytest.raises(ConfigError, match="there is another run of the same settings and seed 0"):
        compared(tmp_path)


def test_an_environment_that_goes_with_its_dataset_names_no_column(tmp_path: Path) -> None:
    make_run(tmp_path / "a", dataset="a.hdf5", env="hopper")
    make_run(tmp_path / "b", dataset="b.hdf5", env="walker2d")
    assert compared(tmp_path).tables[0].algorithms == ("mingru",)
    make_run(tmp_path / "c", dataset="b.hdf5", env="hopper")
    assert compared(tmp_path).tables[0].algorithms == ("mingru env=hopper", "mingru env=walker2d")


def test_nothing_to_compare() -> None:
    with pytest.raises(ConfigError, match="no finished and evaluated run"):
        compare([])
