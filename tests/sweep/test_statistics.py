"""Statistics over runs and tasks: by hand, against scipy, and where the distribution is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, mannwhitneyu, norm

from decision_minrnn import scores
from decision_minrnn.sweep.statistics import (
    interquartile_mean,
    mean,
    probability_of_improvement,
    stratified_bootstrap,
)


def test_interquartile_mean_over_runs_and_tasks_by_hand() -> None:
    # of 0 1 2 3 4 5 60 70 the middle half is 2 3 4 5
    assert interquartile_mean(np.array([[0.0, 5], [60, 1], [2, 70], [4, 3]])) == 3.5


def test_interquartile_mean_of_many_arrays_is_that_of_each() -> None:
    many = np.random.default_rng(0).normal(size=(6, 3, 5))
    np.testing.assert_allclose(interquartile_mean(many), [scores.interquartile_mean(one) for one in many])


def test_probability_of_improvement_by_hand() -> None:
    x = np.array([[1.0, 10], [3, 20]])
    y = np.array([[2.0, 20], [3, 20], [0, 30]])
    # first task: 1 beats 0; 3 beats 2 and 0 and ties with 3: 3.5 of 6. second: 20 ties twice: 1 of 6
    assert probability_of_improvement(x, y) == pytest.approx((3.5 / 6 + 1 / 6) / 2)
    assert probability_of_improvement(y, x) == pytest.approx(1 - (3.5 / 6 + 1 / 6) / 2)


def test_probability_of_improvement_is_the_mean_of_mann_whitney() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.integers(0, 5, (4, 3)).astype(float), generator.integers(0, 5, (6, 3)).astype(float)
    expected = np.mean([mannwhitneyu(x[:, task], y[:, task]).statistic / 24 for task in range(3)])
    assert probability_of_improvement(x, y) == pytest.approx(expected)


def test_the_bootstrap_of_coins_is_binomial() -> None:
    # ten runs, half of them 1, in each of two tasks: the mean of a draw is binomial over its 20 scores
    coins = np.tile([[0.0], [1.0]], (5, 2))
    estimate = stratified_bootstrap(mean, coins, resamples=20_000)
    np.testing.assert_allclose(estimate, [0.5, *(binom.ppf([0.025, 0.975], 20, 0.5) / 20)])


def test_tasks_are_strata() -> None:
    # Tasks differ and runs do not: within each task there is nothing to draw.
    assert stratified_bootstrap(mean, np.tile([0.0, 100.0], (3, 1))) == (50, 50, 50)


def test_tasks_are_drawn_independently() -> None:
    # Runs that are high in one task are low in the other. Drawn as whole rows, their mean would never vary.
    low, high = stratified_bootstrap(mean, np.array([[0.0, 1.0], [1.0, 0.0]]))[1:]
    assert (low, high) == (0, 1)


def test_the_interval_agrees_with_the_normal_one() -> None:
    values = np.random.default_rng(2).normal(10, 3, (200, 2))
    estimate = stratified_bootstrap(mean, values, resamples=4000)
    half = norm.ppf(0.975) * np.sqrt((values.var(axis=0) / 200).mean() / 2)
    np.testing.assert_allclose(estimate, [values.mean(), values.mean() - half, values.mean() + half], atol=0.02)


def test_the_interval_of_an_improvement() -> None:
    x = np.random.default_rng(3).normal(1, 1, (30, 4))
    y = np.random.default_rng(4).normal(0, 1, (30, 4))
    value, low, high = stratified_bootstrap(probability_of_improvement, x, y, resamples=300)
    assert low < norm.cdf(1 / np.sqrt(2)) < high
    assert low < value < high
    assert stratified_bootstrap(probability_of_improvement, x, x - 100) == (1, 1, 1)


def test_the_interval_repeats_and_depends_on_the_seed() -> None:
    values = np.random.default_rng(5).normal(size=(5, 3))
    first, again, other = (stratified_bootstrap(interquartile_mean, values, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first[1:] != other[1:]
