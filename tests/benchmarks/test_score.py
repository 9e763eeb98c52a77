"""How long a training takes until it scores."""

import json

import pytest

from decision_minrnn.benchmarks.score import CONTESTANTS, Scored, first_above, scored_names
from decision_minrnn.cli.benchmark import main


def scores(*values: float) -> list[Scored]:
    return [Scored(100 * i, float(i), 0.1, value) for i, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("values", "update"),
    [((10, 50, 40, 10), 200), ((50, 10, 45, 60), 300), ((10, 50), None), ((50, 10, 50, 10), None), ((), None)],
)
def test_the_first_of_two_in_a_row(values: tuple[float, ...], update: int | None) -> None:
    reached = first_above(scores(*values), 40.0)
    assert (reached.update if reached else None) == update


def test_names_of_other_parts_are_passed_over() -> None:
    assert scored_names(()) == tuple(CONTESTANTS)
    assert scored_names(("gru/merged", "mingru/merged")) == ("mingru/merged",)


SHORT = [
    "--updates",
    "3",
    "--evaluate-every",
    "2",
    "--episodes",
    "1",
    "--level",
    "-100",
    "--threads",
    "1",
    "--json",
    "-",
]


def test_a_short_training_for_each_seed(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--contestants", "mingru/merged", "--seeds", "0", "1"]
    main(["speed", "--parts", "score", *chosen, *SHORT])
    rows = json.loads(capsys.readouterr().out)["score"]
    assert [(row["contestant"], row["seed"]) for row in rows] == [("mingru/merged", 0), ("mingru/merged", 1)]
    for row in rows:
        assert [point["update"] for point in row["evaluations"]] == [2, 3]
        assert row["reached"] == row["evaluations"][0]
        assert 0 < row["evaluations"][0]["seconds"] < row["evaluations"][1]["seconds"]
    assert rows[0]["evaluations"][1]["loss"] != rows[1]["evaluations"][1]["loss"]


@pytest.mark.slow
def test_a_short_training_of_the_transformers(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    main(["speed", "--parts", "score", "--seeds", "0", *SHORT])
    rows = json.loads(capsys.readouterr().out)["score"]
    assert [row["contestant"] for row in rows] == list(CONTESTANTS)
    assert all(row["reached"] for row in rows)
