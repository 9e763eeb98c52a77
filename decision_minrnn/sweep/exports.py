"""Comparisons for programs: CSV, a line a number, and JSON, whose scores rliable takes as they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from decision_minrnn.published import D4RL_COLUMNS, published_d4rl
from decision_minrnn.sweep.aggregates import Aggregate, aggregates
from decision_minrnn.sweep.comparison import Comparison, ScoreTable
from decision_minrnn.sweep.tables import measure, notes, single_target


def csv_text(comparison: Comparison) -> str:
    """One line a number: target, dataset (none: over all), algorithm, what it is, its value and interval."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("target", "dataset", "algorithm", "statistic", "value", "low", "high"))
    for index, table in enumerate(comparison.tables):
        writer.writerows(_csv_rows(table, aggregates(table), index))
    return text.getvalue()


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """Everything, for JSON. `scores` of a table is {algorithm: [runs][tasks]}, the shape in which rliable takes it."""
    return {
        "measure": measure(comparison),
        "notes": notes(comparison),
        "tables": [
            {
                "targets": table.targets,
                "tasks": table.datasets,
                "scores": {
                    algorithm: matrix.tolist()
                    for algorithm in table.algorithms
                    if (matrix := table.matrix(algorithm)) is not None
                },
                "cells": [
                    {
                        "dataset": dataset,
                        "algorithm": algorithm,
                        "mean": cell.mean,
                        "deviation": cell.deviation,
                        "seeds": cell.scores,
                    }
                    for (dataset, algorithm), cell in table.cells.items()
                ],
                "aggregates": [
                    {
                        "algorithm": row.algorithm,
                        "runs": row.runs,
                        "mean": row.mean._asdict(),
                        "iqm": row.iqm._asdict(),
                        "improvement_over": {other: found._asdict() for other, found in row.improvements.items()},
                    }
                    for row in aggregates(table)
                ],
                "published": {
                    dataset: {
                        name: found._asdict() for name in D4RL_COLUMNS if (found := published_d4rl(dataset, name))
                    }
                    for dataset in table.published
                },
            }
            for table in comparison.tables
        ],
        "runs": [str(result.folder) for result in comparison.results],
    }


def _csv_rows(table: ScoreTable, found: Sequence[Aggregate], index: int) -> Iterator[tuple[object, ...]]:
    for (dataset, algorithm), cell in table.cells.items():
        place = (f"{table.targets[dataset]:g}", dataset, algorithm)
        yield (*place, "runs", len(cell.scores), "", "")
        yield (*place, "mean", cell.mean, "", "")
        yield (*place, "deviation", cell.deviation, "", "")
    for dataset in table.published:
        for encoder in D4RL_COLUMNS:
            if published := published_d4rl(dataset, encoder):
                place = (f"{table.targets[dataset]:g}", dataset, encoder)
                yield (*place, "published mean", published.mean, "", "")
                if published.deviation is not None:
                    yield (*place, "published deviation", published.deviation, "", "")
    target = single_target(table) or f"target {index + 1}"
    for row in found:
        yield (target, "", row.algorithm, "runs", row.runs, "", "")
        yield (target, "", row.algorithm, "mean", *row.mean)
        yield (target, "", row.algorithm, "iqm", *row.iqm)
        for other, improvement in row.improvements.items():
            yield (target, "", row.algorithm, f"improvement over {other}", *improvement)
