"""Algorithms compared over all datasets of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decision_minrnn.sweep.comparison import ScoreTable
from decision_minrnn.sweep.statistics import (
    Estimate,
    interquartile_mean,
    mean,
    probability_of_improvement,
    stratified_bootstrap,
)


@dataclass(frozen=True)
class Aggregate:
    """One algorithm over all datasets; intervals of 95 %."""

    algorithm: str
    runs: int
    """On each dataset: those whose seeds all datasets have."""
    mean: Estimate
    iqm: Estimate
    improvements: Mapping[str, Estimate]
    """Probability that it scores higher than another algorithm, for each of them."""


def aggregates(table: ScoreTable) -> list[Aggregate]:
    """Every algorithm that has runs on all datasets."""
    found = {algorithm: table.matrix(algorithm) for algorithm in table.algorithms}
    matrices = {algorithm: matrix for algorithm, matrix in found.items() if matrix is not None}
    return [
        Aggregate(
            algorithm=name,
            runs=len(matrix),
            mean=stratified_bootstrap(mean, matrix),
            iqm=stratified_bootstrap(interquartile_mean, matrix),
            improvements={
                other: stratified_bootstrap(probability_of_improvement, matrix, theirs)
                for other, theirs in matrices.items()
                if other != name
            },
        )
        for name, matrix in matrices.items()
    ]
