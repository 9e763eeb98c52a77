"""The distributions in a dataset, as numbers: what a figure of it shows, without the drawing.

Returns, lengths and returns-to-go are those of the finished episodes (of all, if none has an end mark); episodes that
were cut short of the time limit are among them, and are counted apart. Actions and observations are those of all steps.
Everything is counted exactly, step arrays in blocks of rows, so that they may be larger than memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy import ndarray

from decision_minrnn.cards import Reference
from decision_minrnn.data.base import row_blocks
from decision_minrnn.data.trajectories import Trajectories

ENDS = ("terminated", "truncated", "cut short", "unfinished")
"""How an episode ends: by the environment, at the time limit, at something else before it, or not at all."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the returns-to-go."""

DEVIATIONS = 4.0
"""Observations are counted up to so many standard deviations from their mean, and beyond as a whole."""

_ACTION_BINS = 40
_OBSERVATION_BINS = 41  # odd, so that the mean lies in the middle of a bin
_RETURN_TO_GO_STEPS = 200


class EpisodeHistogram(NamedTuple):
    """Counts of episodes by a number that each has, and by how it ended."""

    edges: Float64[ndarray, " bins+1"]
    counts: Int64[ndarray, "ends bins"]
    """One row for each of `ENDS`."""
    mean: float


class ReturnsToGo(NamedTuple):
    """How the returns-to-go are spread at each of some steps, over the episodes that last so long."""

    steps: Int64[ndarray, " points"]
    quantiles: Float64[ndarray, "quantiles points"]
    """One row for each of `QUANTILES`."""
    episodes: Int64[ndarray, " points"]
    """How many episodes last so long."""


class DimensionHistograms(NamedTuple):
    """Counts of steps by the value of each dimension: equal bins from `low` to `high`, and one on either side."""

    low: Float64[ndarray, " dimensions"]
    high: Float64[ndarray, " dimensions"]
    counts: Int64[ndarray, "dimensions bins+2"]

    @property
    def edges(self) -> Float64[ndarray, "dimensions bins+3"]:
        """Where the bins begin and end; the first is minus and the last plus infinity."""
        inner = np.linspace(self.low, self.high, self.counts.shape[1] - 1, axis=1)
        return np.pad(inner, ((0, 0), (1, 1)), constant_values=((0, 0), (-np.inf, np.inf)))

    @property
    def shares(self) -> Float64[ndarray, "dimensions bins+2"]:
        """Counts as shares of all steps."""
        return self.counts / self.counts.sum(axis=1, keepdims=True)


class Distributions(NamedTuple):
    """What a dataset holds."""

    name: str
    env: str | None
    """gymnasium id, or the name of the environment's card; None where neither is known."""
    steps: int
    episodes: int
    """Those whose returns, lengths and returns-to-go are counted."""
    left_out: int
    """Unfinished episodes, which are not among them."""
    returns: EpisodeHistogram
    reference_name: str | None
    reference: Reference | None
    """The first of the score references that are known."""
    lengths: EpisodeHistogram
    episode_limit: int | None
    """Of the environment's card."""
    returns_to_go: ReturnsToGo
    actions: DimensionHistograms
    """Between the action bounds; where one is infinite, from the lowest to the highest value recorded."""
    bounded: bool
    """Whether all action bounds are finite."""
    observations: DimensionHistograms
    """Within `DEVIATIONS` standard deviations of the mean."""


def distributions(data: Trajectories) -> Distributions:
    """Count what a dataset holds; deterministic, in one pass over its actions and a few over its observations."""
    counted = data.finished if data.finished.any() else ~data.finished
    ends = np.select([data.terminated, data.cut_short, data.truncated], [0, 2, 1], 3)[counted]
    lengths, returns = data.lengths[counted], data.returns[counted]
    bins = int(np.clip(2 * np.sqrt(len(lengths)), 10, 50))
    reference_name = next(iter(data.references), None)
    mean, deviation = (values.astype(np.float64) for values in data.statistics)
    return Distributions(
        name=data.name,
        env=data.env_id or (data.env.name if data.env else None),
        steps=data.steps,
        episodes=len(lengths),
        left_out=data.episodes - len(lengths),
        returns=_by_end(returns, np.histogram_bin_edges(returns.astype(np.float64), bins), ends),
        reference_name=reference_name,
        reference=data.references[reference_name] if reference_name else None,
        lengths=_by_end(lengths, whole_number_edges(lengths, bins), ends),
        episode_limit=data.env.episode_limit if data.env else None,
        returns_to_go=_returns_to_go(data.returns_to_go, data.offsets[:-1][counted], lengths),
        actions=dimension_histograms(data.actions, *_action_range(data), _ACTION_BINS),
        bounded=bool(np.isfinite([data.action_low, data.action_high]).all()),
        observations=dimension_histograms(
            data.observations, mean - DEVIATIONS * deviation, mean + DEVIATIONS * deviation, _OBSERVATION_BINS
        ),
    )


def whole_number_edges(values: Int64[ndarray, " values"], most: int) -> Float64[ndarray, " bins+1"]:
    """Edges of at most so many bins that each hold equally many whole numbers, from the lowest to the highest value."""
    low, high = int(values.min()), int(values.max())
    width = -(-(high - low + 1) // most)
    return np.arange(low, high + width + 1, width) - 0.5


def dimension_histograms(
    rows: Float[ndarray, "steps dimensions"],
    low: Float64[ndarray, " dimensions"],
    high: Float64[ndarray, " dimensions"],
    bins: int,
) -> DimensionHistograms:
    """Count the values of each dimension in equal bins from `low` to `high`, which must be above it.

    A bin holds its lower edge; the last one before `high` holds both.
    """
    bins_per_unit = bins / (high - low)
    first = np.arange(len(low)) * (bins + 2)
    counts = np.zeros(len(low) * (bins + 2), np.int64)
    for block in row_blocks(len(rows), 8 * len(low)):
        values = rows[block].astype(np.float64)
        places = np.clip((values - low) * bins_per_unit, 0, bins - 1).astype(np.int64)
        places[values < low] = -1
        places[values > high] = bins
        counts += np.bincount((places + 1 + first).ravel(), minlength=len(counts))
    return DimensionHistograms(low, high, counts.reshape(len(low), bins + 2))


def _by_end(values: ndarray, edges: Float64[ndarray, " bins+1"], ends: Int64[ndarray, " episodes"]) -> EpisodeHistogram:
    counts = np.stack([np.histogram(values[ends == end], edges)[0] for end in range(len(ENDS))])
    return EpisodeHistogram(edges, counts, float(values.mean(dtype=np.float64)))


def _returns_to_go(
    values: Float[ndarray, " steps"], starts: Int64[ndarray, " episodes"], lengths: Int64[ndarray, " episodes"]
) -> ReturnsToGo:
    longest = int(lengths.max())
    steps = np.linspace(0, longest - 1, min(longest, _RETURN_TO_GO_STEPS)).round().astype(np.int64)
    running = [values[starts[lengths > step] + step].astype(np.float64) for step in steps]
    quantiles = np.stack([np.quantile(found, QUANTILES) for found in running], axis=1)
    return ReturnsToGo(steps, quantiles, np.array([len(found) for found in running]))


def _action_range(data: Trajectories) -> tuple[Float64[ndarray, " action"], Float64[ndarray, " action"]]:
    low, high = data.action_low.astype(np.float64), data.action_high.astype(np.float64)
    low = np.where(np.isfinite(low), low, data.actions.min(axis=0))
    high = np.where(np.isfinite(high), high, data.actions.max(axis=0))
    return low, np.where(high > low, high, low + 1)
