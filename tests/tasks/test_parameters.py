"""Exact parameter counts, by formula and against the paper's percentages."""

from __future__ import annotations

import pytest

from decision_minrnn.errors import ConfigError
from decision_minrnn.tasks.parameters import count_parameters


def test_counts_by_hand() -> None:
    # width 10, state 20: minGRU two matrices 10 x 20, GRU three of (10 + 20) x 20
    mingru, minlstm = count_parameters(10, (2,))
    assert (mingru.weights, mingru.counterpart_weights) == (400, 1800)
    assert (minlstm.weights, minlstm.counterpart_weights) == (600, 2400)
    # with a bias for each row, minGRU's initial state, torch's two biases for each gate, and 20 x 10 + 10 back
    assert (mingru.layer, mingru.counterpart_layer) == (400 + 40 + 20 + 210, 1800 + 2 * 60 + 210)
    assert (minlstm.layer, minlstm.counterpart_layer) == (600 + 60 + 20 + 210, 2400 + 2 * 80 + 210)


@pytest.mark.parametrize("width", [8, 64, 100])
def test_percentages_are_the_published_ones(width: int) -> None:
    rows = count_parameters(width)
    assert [round(row.percent) for row in rows] == [33, 22, 17, 13, 38, 25, 19, 15]
    assert [row.published_percent for row in rows] == [round(row.percent) for row in rows]


def test_beyond_the_paper_there_is_nothing_published() -> None:
    assert [row.published_percent for row in count_parameters(8, (5,))] == [None, None]


@pytest.mark.parametrize(("width", "expansions"), [(0, (1,)), (8, (0,)), (8, ())])
def test_sizes_that_are_none(width: int, expansions: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        count_parameters(width, expansions)
