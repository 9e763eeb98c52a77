"""The tables of `benchmark speed`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

from decision_minrnn.cli.benchmark.shared import Report

if TYPE_CHECKING:
    from decision_minrnn.benchmarks.contestant import Contestant
    from decision_minrnn.benchmarks.memory import MemoryUse
    from decision_minrnn.benchmarks.products import ProductShare
    from decision_minrnn.benchmarks.score import Training
    from decision_minrnn.benchmarks.timing import Measurement


def time_table(
    report: Report, measurements: Sequence[Measurement], contestants: Mapping[str, Contestant] | None = None
) -> Table:
    """A row for each contestant, a column for each thing that is timed."""
    whats = list(dict.fromkeys(measurement.what for measurement in measurements))
    cells = {(measurement.contestant, measurement.what): _time(measurement) for measurement in measurements}
    table = report.table("", *(["parameters"] if contestants else []), *whats)
    for name in dict.fromkeys(measurement.contestant for measurement in measurements):
        size = [f"{contestants[name].parameters:,}"] if contestants else []
        table.add_row(name, *size, *(cells.get((name, what), "-") for what in whats))
    return table


def _time(measurement: Measurement) -> str:
    faster = "" if measurement.ratio is None else f" ({measurement.ratio:.3g})"
    return f"{measurement.median_ms:.3g} [{measurement.low_ms:.3g}, {measurement.high_ms:.3g}]{faster}"


def memory_table(report: Report, uses: Sequence[MemoryUse]) -> Table:
    """A row for each contestant."""
    table = report.table("", "MB")
    for use in uses:
        table.add_row(use.contestant, "-" if use.megabytes is None else f"{use.megabytes:.0f}")
    return table


def product_table(report: Report, shares: Sequence[ProductShare]) -> Table:
    """A row for each contestant."""
    table = report.table("", "% in matrix products")
    for share in shares:
        table.add_row(share.contestant, f"{share.percent:.0f}")
    return table


def score_table(report: Report, trainings: Sequence[Training]) -> Table:
    """A row for each contestant; where no more than half the seeds reach the level, so does not the median."""
    table = report.table("", "reached", "updates", "seconds", "last score", "last loss")
    for name in dict.fromkeys(training.contestant for training in trainings):
        own = [training for training in trainings if training.contestant == name]
        reached = [training.reached for training in own if training.reached]
        updates, seconds = "-", "-"
        if 2 * len(reached) > len(own):
            missing = [float("inf")] * (len(own) - len(reached))
            updates = f"{median([point.update for point in reached] + missing):.0f}"
            seconds = f"{median([point.seconds for point in reached] + missing):.0f}"
        last = [training.evaluations[-1] for training in own]
        table.add_row(
            name,
            f"{len(reached)} of {len(own)}",
            updates,
            seconds,
            f"{median(point.score for point in last):.1f} ({', '.join(f'{point.score:.1f}' for point in last)})",
            f"{median(point.loss for point in last):.4f}",
        )
    return table
