"""Tables by hand in each form, and aggregates over datasets."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from made_runs import make_run

from decision_minrnn.errors import UnknownNameError
from decision_minrnn.sweep.aggregates import aggregates
from decision_minrnn.sweep.comparison import Comparison, compare
from decision_minrnn.sweep.exports import csv_text, to_dict
from decision_minrnn.sweep.results import read_results
from decision_minrnn.sweep.sheets import Sheet, latex_sheet, markdown_sheet
from decision_minrnn.sweep.tables import latex, markdown

SCORES = {
    ("a", "mingru", 0): 10.0,
    ("a", "mingru", 1): 14.0,
    ("b", "mingru", 0): 40.0,
    ("b", "mingru", 1): 48.0,
    ("a", "mlp", 0): 12.0,
    ("b", "mlp", 0): 20.0,
    ("a", "gru", 1): 7.0,
}


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    for (dataset, encoder, seed), score in SCORES.items():
        folder = tmp_path / f"{dataset}__{encoder}__{seed}"
        make_run(folder, (score,), dataset=f"{dataset}.hdf5", encoder=encoder, seed=seed)
    return compare(read_results(sorted(tmp_path.iterdir())), ("a", "b"), ("mingru", "mlp"), unfinished=5)


def test_markdown_by_hand(comparison: Comparison) -> None:
    assert (
        markdown(comparison)
        == """\
**Normalised score, target return 3600**

|  | mingru | mlp | gru |
| --- | --: | --: | --: |
| a | 12.0 ± 2.0 | 12.0 (1) | 7.0 (1) |
| b | 44.0 ± 4.0 | 20.0 (1) | - |
| average | 28.0 | 16.0 | - |

**Over all datasets and runs, target return 3600**

|  | runs | mean | IQM | P(> mingru) |
| --- | --: | --: | --: | --: |
| mingru | 2 | 28.0 | 27.0 [25.0, 31.0] | - |
| mlp | 1 | 16.0 | 16.0 | 0.25 [0.00, 0.50] |

- Hopper-v5; 20 episodes for each run and target, which was set before training; weights after the last of 100 updates; state carried; normalised with d4rl.
- Mean ± deviation over seeds 0, 1; in brackets over how many, where not all; -: none.
- IQM: mean of the middle half of all scores. P(>): probability of a higher score on a dataset drawn at random. In brackets: 95 %, stratified bootstrap over runs; too narrow where these are few.
- decision-minrnn 0.1.0.
- 5 of 12 runs are not finished, and not in the tables.
"""  # noqa: E501
    )


def test_against_another_column(comparison: Comparison) -> None:
    assert "| mingru | 2 | 28.0 | 27.0 [25.0, 31.0] | 0.75 [0.50, 1.00] |" in markdown(comparison, "mlp")
    with pytest.raises(UnknownNameError, match=r"unknown algorithm 'gru'\..* Known: mingru, mlp\."):
        markdown(comparison, "gru")


def test_aggregates_by_hand(comparison: Comparison) -> None:
    mingru, mlp = aggregates(comparison.tables[0])
    assert (mingru.runs, mlp.runs) == (2, 1)
    assert mingru.mean.value == 28
    assert mingru.iqm.value == (14 + 40) / 2
    # on a, one run of two is better than 12; on b both are better than 20
    assert mingru.improvements["mlp"].value == 0.75
    assert mlp.improvements["mingru"].value == 0.25


def test_latex_by_hand() -> None:
    sheet = Sheet("100 % of a_b", ("", "x & y"), [["hopper_{m}", "1.0 ± 2.0"], ["P(> y)", "-"]])
    assert latex_sheet(sheet) == (
        "\\begin{table}\n\\centering\n\\caption{100 \\% of a\\_b}\n\\begin{tabular}{lr}\n\\toprule\n"
        " & x \\& y \\\\\n\\midrule\nhopper\\_\\{m\\} & 1.0 $\\pm$ 2.0 \\\\\nP($>$ y) & - \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def test_latex_has_the_rows_and_notes(comparison: Comparison) -> None:
    text = latex(comparison)
    assert "a & 12.0 $\\pm$ 2.0 & 12.0 (1) & 7.0 (1) \\\\" in text
    assert text.count("\\begin{table}") == text.count("\\end{table}") == 2
    assert text.startswith("% Hopper-v5; 20 episodes")


def test_a_bar_does_not_break_a_markdown_table() -> None:
    assert "a\\|b" in markdown_sheet(Sheet("title", ("", "x"), [["a|b", "1"]]))


def test_csv_has_a_line_for_each_number(comparison: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(comparison))))
    found = {(row["dataset"], row["algorithm"], row["statistic"]): row for row in rows}
    assert len(found) == len(rows)
    assert {row["target"] for row in rows} == {"3600"}
    assert float(found["a", "mingru", "mean"]["value"]) == 12
    assert float(found["b", "mingru", "deviation"]["value"]) == 4
    assert found["a", "gru", "runs"]["value"] == "1"
    improvement = found["", "mlp", "improvement over mingru"]
    assert [float(improvement[key]) for key in ("value", "low", "high")] == [0.25, 0, 0.5]
    assert ("", "gru", "iqm") not in found


def test_json_holds_runs_by_tasks(comparison: Comparison) -> None:
    (table,) = json.loads(json.dumps(to_dict(comparison), allow_nan=False))["tables"]
    scores = {algorithm: np.array(rows) for algorithm, rows in table["scores"].items()}
    assert table["tasks"] == ["a", "b"]
    np.testing.assert_array_equal(scores["mingru"], [[10, 40], [14, 48]])
    np.testing.assert_array_equal(scores["mlp"], [[12, 20]])
    assert set(scores) == {"mingru", "mlp"}
    assert table["published"] == {}


def test_published_scores_stand_beside_those_on_the_same_data(tmp_path: Path) -> None:
    for dataset in ("hopper-medium-v2", "walker2d-medium-v2"):
        make_run(tmp_path / dataset, dataset=dataset, card=dataset)
    comparison = compare(read_results(sorted(tmp_path.iterdir())))
    text = markdown(comparison)
    header, _, hopper, walker, average = text.splitlines()[2:7]
    assert header.startswith("|  | mingru | published Decision Transformer | published Decision S4 |")
    assert hopper.startswith("| hopper-medium-v2 | 50.0 | 68.4 | 54.2 |")
    assert hopper.endswith("| 85.0 ± 4.4 | 79.4 ± 8.2 |")
    assert walker.startswith("| walker2d-medium-v2 | 50.0 | 75.5 |")
    assert average.endswith("| 78.5 | 76.3 |")  # (85.0 + 72.0) / 2 and (79.4 + 73.3) / 2
    assert "arXiv 2410.01201" in text
    assert to_dict(comparison)["tables"][0]["published"]["hopper-medium-v2"]["mingru"]["mean"] == 79.4
    assert "3600,walker2d-medium-v2,s4d,published mean,78.0,," in csv_text(comparison)


def test_a_file_that_is_called_like_a_dataset_of_d4rl_is_not_compared(tmp_path: Path) -> None:
    make_run(tmp_path / "run", dataset="mine/hopper-medium-v2.hdf5")
    assert "published" not in markdown(compare(read_results([tmp_path / "run"]))).lower()


def test_targets_that_differ_are_named(tmp_path: Path) -> None:
    make_run(tmp_path / "a", dataset="hop.hdf5")
    make_run(tmp_path / "b", dataset="run.hdf5", targets=(12000.0,))
    text = markdown(compare(read_results(sorted(tmp_path.iterdir()))))
    assert text.startswith("**Normalised score, target returns 3600 (hop), 12000 (run)**")
