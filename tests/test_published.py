"""Published figures: those of the D4RL table against the averages that are printed under it."""

from __future__ import annotations

import numpy as np
import pytest

from decision_minrnn.published import D4RL_COLUMNS, D4RL_DATASETS, Published, published_d4rl


@pytest.mark.parametrize(
    ("encoder", "average"),
    [("transformer", 76.4), ("s4d", 68.6), ("aaren", 75.0), ("mamba", 78.8), ("minlstm", 78.1), ("mingru", 78.2)],
)
def test_the_printed_averages_follow_from_the_rows(encoder: str, average: float) -> None:
    row = [published_d4rl(dataset, encoder) for dataset in D4RL_DATASETS]
    assert np.mean([cell.mean for cell in row if cell]) == pytest.approx(average, abs=0.051)
    assert len(row) == 9
    assert encoder in D4RL_COLUMNS


def test_a_cell() -> None:
    assert published_d4rl("hopper-medium-replay-v2", "mingru") == Published(90.5, 0.9)
    assert str(published_d4rl("hopper-medium-v2", "transformer")) == "68.4"


@pytest.mark.parametrize(("dataset", "encoder"), [("hopper-medium", "mingru"), ("hopper-medium-v2", "hyena")])
def test_what_was_not_published(dataset: str, encoder: str) -> None:
    assert published_d4rl(dataset, encoder) is None
