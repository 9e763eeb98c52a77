"""How sure a comparison over tasks and runs is (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", arXiv 2108.13264, section 4).

Scores of one algorithm are an array x[n, m] of N runs and M tasks.

    interquartile mean      mean of the middle half of all N M scores
    stratified bootstrap    runs are drawn anew with replacement, N in each task on its own; the interval holds the
                            middle share of the statistic's values on such draws
    P(X > Y)                1/M sum_m 1/(N K) sum_nk S(x[n, m], y[k, m]),  S = 1 if x > y, 1/2 if x = y, 0 if x < y

P(X > Y) is the probability of improvement: that a run of X scores higher than one of Y on a task drawn at random. In
each task it is the statistic U of Mann and Whitney, divided by N K.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

Scores = Float64[ndarray, "*resamples runs tasks"]
Statistic = Callable[..., Float64[ndarray, "*resamples"]]
"""Of the scores of one algorithm or more, whose leading axes it keeps."""


class Estimate(NamedTuple):
    """A number and the interval around it."""

    value: float
    low: float
    high: float


def mean(scores: Scores) -> Float64[ndarray, "*resamples"]:
    """Mean over runs and tasks."""
    return scores.mean(axis=(-2, -1))


def interquartile_mean(scores: Scores) -> Float64[ndarray, "*resamples"]:
    """Mean of the middle half over runs and tasks; as `scores.interquartile_mean`, for many arrays at once."""
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(scores.reshape(*scores.shape[:-2], -1), 0.25, axis=-1))


def probability_of_improvement(x: Scores, y: Scores) -> Float64[ndarray, "*resamples"]:
    """P(X > Y), from the scores of two algorithms on the same tasks; their numbers of runs may differ."""
    difference = np.sign(x[..., :, None, :] - y[..., None, :, :])
    return ((1 + difference) / 2).mean(axis=(-3, -2, -1))


def stratified_bootstrap(
    statistic: Statistic, *scores: Scores, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """A statistic of the scores of one algorithm or more, with its percentile interval.

    The same seed gives the same interval. A single run is drawn again and again: its interval says nothing, and is as
    narrow as can be.

    Args:
        statistic: one of the above.
        scores: [runs, tasks] of each algorithm that the statistic takes.
        confidence: share of the draws that lie in the interval.
        resamples: draws.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    values = statistic(*(_redrawn(array, resamples, generator) for array in scores))
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(statistic(*scores)), float(low), float(high))


def _redrawn(scores: Scores, resamples: int, generator: np.random.Generator) -> Scores:
    """Runs drawn with replacement, in each task on its own."""
    rows = generator.integers(scores.shape[0], size=(resamples, *scores.shape))
    return np.take_along_axis(scores[None], rows, axis=1)
