"""The long table of a dataset's distributions, read back and held against numbers worked out by hand."""

from __future__ import annotations

import csv
from collections import Counter
from io import StringIO

import numpy as np
import pytest
from tiny import trajectories

from decision_minrnn.cards import env_card
from decision_minrnn.data.distribution_table import distribution_csv
from decision_minrnn.data.distributions import distributions

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Of three episodes of 3, 1 and 2 steps with the returns 7, 8 and 48, the second of them cut short."""
    data = trajectories(
        (3, 1, 2),
        rewards=np.array([1, 2, 4, 8, 16, 32], np.float32),
        actions=np.array([[-2], [-1], [0], [0.5], [1], [1.5]], np.float32),
        observations=np.array([[-1, 7], [1, 7]] * 3, np.float32),
        env=env_card("hopper"),
    )
    return list(csv.DictReader(StringIO(distribution_csv(distributions(data)))))


def chosen(rows: Rows, panel: str, series: str, dimension: int | None = None) -> list[tuple[str, str, float]]:
    wanted = (panel, series, "" if dimension is None else str(dimension))
    found = [row for row in rows if (row["panel"], row["series"], row["dimension"]) == wanted]
    return [(row["x"], row["x_end"], float(row["value"])) for row in found]


def test_the_series_are_those_that_its_description_names(rows: Rows) -> None:
    assert list(rows[0]) == ["panel", "series", "dimension", "x", "x_end", "value"]
    quantiles = {("returns-to-go", f"quantile {q}"): 3 for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
    assert Counter((row["panel"], row["series"]) for row in rows) == {
        ("returns", "terminated"): 10, ("returns", "cut short"): 10, ("returns", "mean"): 1,
        ("returns", "score card"): 2,
        ("lengths", "terminated"): 3, ("lengths", "cut short"): 3, ("lengths", "mean"): 1, ("lengths", "limit"): 1,
        **quantiles, ("returns-to-go", "episodes"): 3,
        ("actions", "steps"): 42, ("observations", "steps"): 2 * 43,
        ("observations", "mean"): 2, ("observations", "std"): 2,
    }  # fmt: skip


def test_episodes_by_hand(rows: Rows) -> None:
    assert chosen(rows, "lengths", "terminated") == [("0.5", "1.5", 0), ("1.5", "2.5", 1), ("2.5", "3.5", 1)]
    assert chosen(rows, "lengths", "cut short") == [("0.5", "1.5", 1), ("1.5", "2.5", 0), ("2.5", "3.5", 0)]
    assert chosen(rows, "lengths", "mean") == [("", "", 2)]
    assert chosen(rows, "lengths", "limit") == [("", "", 1000)]
    assert chosen(rows, "returns", "score card") == [("0.0", "", 0), ("50.0", "", 100)]
    assert chosen(rows, "returns", "terminated")[0] == ("7.0", "11.1", 1)
    assert chosen(rows, "returns-to-go", "quantile 0.5") == [("0", "", 8), ("1", "", 19), ("2", "", 4)]
    assert chosen(rows, "returns-to-go", "episodes") == [("0", "", 3), ("1", "", 2), ("2", "", 1)]


def test_steps_by_hand(rows: Rows) -> None:
    actions = chosen(rows, "actions", "steps", 0)
    assert [actions[0], actions[1], actions[-1]] == [("-inf", "-1.0", 1), ("-1.0", "-0.95", 1), ("1.0", "inf", 1)]
    observations = chosen(rows, "observations", "steps", 0)
    (holds_one,) = (value for x, x_end, value in observations if float(x) <= 1 < float(x_end))
    assert (holds_one, sum(value for _, _, value in observations)) == (3, 6)
    assert chosen(rows, "observations", "mean", 1) == [("", "", pytest.approx(7))]
    assert chosen(rows, "observations", "std", 0) == [("", "", pytest.approx(1, abs=1e-5))]
