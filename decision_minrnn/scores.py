"""Scores: returns made comparable, and how sure we are of their mean.

    normalised score = 100 (R - min) / (max - min)

with `min` the return of a random policy and `max` that of an expert (Fu et al. 2020, "D4RL", section 5). A score means
nothing without the name of its reference, its environment's version and its number of episodes.
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from numpy.typing import ArrayLike

from decision_minrnn.cards import Reference


@overload
def normalized_score(returns: float, reference: Reference) -> float: ...
@overload
def normalized_score(returns: ndarray, reference: Reference) -> Float64[ndarray, "..."]: ...
def normalized_score(returns: Any, reference: Reference) -> Any:
    """A return, or an array of them, on the scale of a reference: 0 for its random policy, 100 for its expert."""
    score = 100 * (np.asarray(returns, np.float64) - reference.min) / (reference.max - reference.min)
    return score if isinstance(returns, ndarray) and returns.ndim else float(score)


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half: the lowest and the highest quarter, each rounded down to whole values, are left out.

    Less noisy than the median, less swayed by outliers than the mean (Agarwal et al. 2021, "Deep Reinforcement Learning
    at the Edge of the Statistical Precipice", section 4.3). Raises `ValueError` where there are no values.
    """
    from scipy.stats import trim_mean

    return float(trim_mean(_flat(values), 0.25))


def bootstrap_interval(
    values: ArrayLike, confidence: float = 0.95, seed: int = 0, resamples: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean: (low, high).

    The same seed gives the same interval. One value, or equal values, give that value twice: they say nothing of the
    spread. Raises `ValueError` where there are no values.
    """
    flat = _flat(values)
    if flat.min() == flat.max():
        return float(flat[0]), float(flat[0])
    # scipy.stats.bootstrap does the same, but its seed argument changed its name and its stream between versions.
    means = np.random.default_rng(seed).choice(flat, (resamples, flat.size)).mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _flat(values: ArrayLike) -> Float64[ndarray, " values"]:
    flat = np.asarray(values, np.float64).ravel()
    if flat.size == 0:
        raise ValueError("a mean of no values was asked for.")
    return flat
