"""Scores by hand: normalisation, the interquartile mean and the interval."""

from __future__ import annotations

import numpy as np
import pytest

from decision_minrnn.cards import Reference
from decision_minrnn.scores import bootstrap_interval, interquartile_mean, normalized_score

REFERENCE = Reference(min=-100.0, max=300.0, source="by hand")


def test_normalized_score_by_hand() -> None:
    assert normalized_score(-100.0, REFERENCE) == 0
    assert normalized_score(300.0, REFERENCE) == 100
    assert normalized_score(0.0, REFERENCE) == 25
    assert isinstance(normalized_score(0.0, REFERENCE), float)
    np.testing.assert_array_equal(normalized_score(np.array([-100, 100, 500.0]), REFERENCE), [0, 50, 150])


def test_normalized_score_is_computed_in_float64() -> None:
    returns = np.array([3234.3], np.float32)
    hopper = Reference(min=-20.272305, max=3234.3, source="by hand")
    np.testing.assert_allclose(normalized_score(returns, hopper), 100, atol=1e-5)
    assert normalized_score(returns, hopper).dtype == np.float64


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean([1, 2, 3, 4, 5, 6, 7, 1000]) == (3 + 4 + 5 + 6) / 4
    assert interquartile_mean([5]) == 5
    assert interquartile_mean([1, 3]) == 2


def test_bootstrap_of_two_values_by_hand() -> None:
    # Resamples of {0, 1} have the means 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4.
    assert bootstrap_interval([0, 1], confidence=0.95) == (0, 1)
    assert bootstrap_interval([0, 1], confidence=0.2) == (0.5, 0.5)


def test_bootstrap_interval_agrees_with_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(10, 3, 400)
    low, high = bootstrap_interval(values, resamples=4000)
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.05)


def test_bootstrap_interval_repeats_and_depends_on_the_seed() -> None:
    values = np.random.default_rng(2).normal(size=10)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


@pytest.mark.parametrize("values", [[7.0], [7.0] * 5])
def test_bootstrap_interval_without_spread(values: list[float]) -> None:
    assert bootstrap_interval(values) == (7, 7)


def test_no_values() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="no values"):
        interquartile_mean([])
