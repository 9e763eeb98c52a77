"""Results side by side: scores by dataset, algorithm and seed, one table for each target.

No target is chosen for its score: of runs that were evaluated at two targets there are two tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from decision_minrnn.config import TrainConfig
from decision_minrnn.errors import ConfigError
from decision_minrnn.published import D4RL_DATASETS
from decision_minrnn.sweep.folders import WITHOUT_EFFECT
from decision_minrnn.sweep.grid import shown
from decision_minrnn.sweep.results import Result

_AXES = frozenset({"dataset", "encoder", "encoder_options", "seed", "targets"})
"""Settings that rows, columns or tables stand for anyway."""


@dataclass(frozen=True)
class Cell:
    """An algorithm on a dataset."""

    scores: Mapping[int, float]
    """By seed."""

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(list(self.scores.values())))

    @property
    def deviation(self) -> float:
        """Over seeds, with 1/n."""
        return float(np.std(list(self.scores.values())))


@dataclass(frozen=True)
class ScoreTable:
    """Scores at one target."""

    targets: Mapping[str, float]
    """Target return by dataset, in the units of its environment."""
    datasets: tuple[str, ...]
    algorithms: tuple[str, ...]
    published: tuple[str, ...]
    """The datasets that are D4RL's own, for which there are published scores."""
    seeds: tuple[int, ...]
    cells: Mapping[tuple[str, str], Cell]
    """By dataset and algorithm, where there is a run."""

    def matrix(self, algorithm: str) -> Float64[ndarray, "runs tasks"] | None:
        """An algorithm's scores on all datasets, for the seeds that all have; None where there are none."""
        cells = [self.cells.get((dataset, algorithm), Cell({})) for dataset in self.datasets]
        seeds = [seed for seed in self.seeds if all(seed in cell.scores for cell in cells)]
        return np.array([[cell.scores[seed] for cell in cells] for seed in seeds]) if seeds else None


@dataclass(frozen=True)
class Comparison:
    """The results of several runs, side by side."""

    results: Sequence[Result]
    normalised: bool
    """Whether scores are normalised; else they are returns."""
    tables: tuple[ScoreTable, ...]
    """One for the first target of each dataset, one for the second, and so on."""
    unfinished: int
    """Runs that were planned and are not in the tables."""


def compare(
    results: Sequence[Result],
    datasets: Sequence[str] = (),
    encoders: Sequence[str] = (),
    settings: Sequence[str] = (),
    unfinished: int = 0,
) -> Comparison:
    """Put results into tables, whose columns are encoders, told apart by the settings in which the runs differ.

    Args:
        results: at least one.
        datasets: order of the rows; those that are not named follow in the order of the results.
        encoders: order of the columns, likewise.
        settings: that tell columns apart in any case.
        unfinished: runs that were planned, and are not among the results.

    Raises `ConfigError` where there are no results, or two of the same settings and seed.
    """
    if not results:
        raise ConfigError("there is no finished and evaluated run to make a table of.")
    named = [name for name in dict.fromkeys([*settings, *_varied(results)]) if name not in _AXES]
    columns = {result.folder: _column(result, named) for result in results}
    rows = sorted(dict.fromkeys(result.dataset for result in results), key=lambda name: _rank(name, datasets))
    ranked = sorted(results, key=lambda result: _rank(str(result.encoder), encoders))
    algorithms = tuple(dict.fromkeys(columns[result.folder] for result in ranked))
    targets = {row: _targets(result for result in results if result.dataset == row) for row in rows}
    normalised = all(result.scores is not None for result in results)
    tables = []
    for index in range(max(map(len, targets.values()))):
        measured_at = {row: targets[row][index] for row in rows if index < len(targets[row])}
        cells = _cells(results, columns, measured_at, normalised)
        tables.append(
            ScoreTable(
                targets=measured_at,
                datasets=tuple(measured_at),
                algorithms=algorithms,
                published=tuple(row for row in measured_at if row in D4RL_DATASETS and _is_published(row, results)),
                seeds=tuple(sorted({seed for cell in cells.values() for seed in cell.scores})),
                cells=cells,
            )
        )
    return Comparison(results, normalised, tuple(tables), unfinished)


def _targets(results: Iterable[Result]) -> list[float]:
    """The targets that runs on one dataset were evaluated at, each once."""
    return list(dict.fromkeys(target for result in results for target in result.info.task.targets))


def _cells(
    results: Sequence[Result], columns: Mapping[Path, str], targets: Mapping[str, float], normalised: bool
) -> dict[tuple[str, str], Cell]:
    """Scores at one target for each dataset, by dataset and column."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for result in results:
        measured, seed = result.info.task.targets, result.info.train.seed
        if targets.get(result.dataset) not in measured:
            continue
        cell = found.setdefault((result.dataset, columns[result.folder]), {})
        if seed in cell:
            raise ConfigError(f"{result.folder}: there is another run of the same settings and seed {seed}.")
        scores = result.scores if normalised and result.scores else result.returns
        cell[seed] = scores[measured.index(targets[result.dataset])]
    return {place: Cell(cell) for place, cell in found.items()}


def _is_published(dataset: str, results: Sequence[Result]) -> bool:
    """Whether a dataset is the one of that name that the runs know by its card."""
    return all(result.info.cards.get("dataset") == dataset for result in results if result.dataset == dataset)


def _varied(results: Sequence[Result]) -> list[str]:
    """The settings beside encoder and seed in which runs differ."""
    names = [field.name for field in fields(TrainConfig) if field.name not in WITHOUT_EFFECT]
    varied = [name for name in names if len({shown(getattr(result.info.train, name)) for result in results}) > 1]
    each = {(result.dataset, result.info.train.env) for result in results}
    # an environment that goes with its dataset tells nothing apart
    return [name for name in varied if name != "env" or len(each) > len({dataset for dataset, _ in each})]


def _column(result: Result, settings: Sequence[str]) -> str:
    return " ".join([str(result.encoder), *(f"{name}={shown(getattr(result.info.train, name))}" for name in settings)])


def _rank(name: str, first: Sequence[str]) -> int:
    """Those that are asked for first, the others after them as they come."""
    return first.index(name) if name in first else len(first)
