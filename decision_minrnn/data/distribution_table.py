"""Distributions as one table in long form, a number to a row, as other plotting programs want it.

| panel         | series                          | dimension | x, x_end  | value                       |
|---------------|---------------------------------|-----------|-----------|-----------------------------|
| returns       | terminated, truncated, …        |           | a bin     | episodes that ended so      |
| returns       | score REFERENCE                 |           | a return  | normalised score: 0 and 100 |
| returns       | mean                            |           |           | mean return                 |
| lengths       | terminated, truncated, …        |           | a bin     | episodes that ended so      |
| lengths       | mean, limit                     |           |           | steps                       |
| returns-to-go | quantile 0.05, …, quantile 0.95 |           | a step    | return-to-go                |
| returns-to-go | episodes                        |           | a step    | episodes that reach it      |
| actions       | steps                           | from 0    | a bin     | steps                       |
| observations  | steps                           | from 0    | a bin     | steps                       |
| observations  | mean, std                       | from 0    |           | of that dimension           |

The first and the last bin of each dimension reach to infinity: for actions they hold what lies outside of the bounds,
for observations what lies further than four deviations from the mean. All x are in the environment's own units.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from typing import NamedTuple

from decision_minrnn.data.distributions import (
    DEVIATIONS,
    ENDS,
    QUANTILES,
    DimensionHistograms,
    Distributions,
    EpisodeHistogram,
)


class Row(NamedTuple):
    """One number; None where a column does not apply."""

    panel: str
    series: str
    dimension: int | None
    x: float | None
    x_end: float | None
    value: float


def distribution_rows(found: Distributions) -> Iterator[Row]:
    """Every number of the distributions, panel by panel."""
    yield from _episode_rows("returns", found.returns)
    if found.reference is not None:
        for x, score in ((found.reference.min, 0.0), (found.reference.max, 100.0)):
            yield Row("returns", f"score {found.reference_name}", None, x, None, score)
    yield from _episode_rows("lengths", found.lengths)
    if found.episode_limit is not None:
        yield Row("lengths", "limit", None, None, None, found.episode_limit)
    names = [*(f"quantile {quantile}" for quantile in QUANTILES), "episodes"]
    for name, values in zip(names, [*found.returns_to_go.quantiles, found.returns_to_go.episodes], strict=True):
        for step, value in zip(found.returns_to_go.steps.tolist(), values.tolist(), strict=True):
            yield Row("returns-to-go", name, None, step, None, value)
    yield from _dimension_rows("actions", found.actions)
    yield from _dimension_rows("observations", found.observations)
    mean = (found.observations.low + found.observations.high) / 2
    std = (found.observations.high - found.observations.low) / (2 * DEVIATIONS)
    for name, values in (("mean", mean), ("std", std)):
        for dimension, value in enumerate(values.tolist()):
            yield Row("observations", name, dimension, None, None, value)


def distribution_csv(found: Distributions) -> str:
    """The rows as comma-separated text under the names of their columns."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(distribution_rows(found))
    return text.getvalue()


def _episode_rows(panel: str, histogram: EpisodeHistogram) -> Iterator[Row]:
    edges = histogram.edges.tolist()
    for end, counts in zip(ENDS, histogram.counts, strict=True):
        if counts.any():
            for x, x_end, count in zip(edges, edges[1:], counts.tolist(), strict=False):
                yield Row(panel, end, None, x, x_end, count)
    yield Row(panel, "mean", None, None, None, histogram.mean)


def _dimension_rows(panel: str, histograms: DimensionHistograms) -> Iterator[Row]:
    for dimension, (edges, counts) in enumerate(zip(histograms.edges, histograms.counts, strict=True)):
        for x, x_end, count in zip(edges, edges[1:], counts, strict=False):
            yield Row(panel, "steps", dimension, float(x), float(x_end), int(count))
