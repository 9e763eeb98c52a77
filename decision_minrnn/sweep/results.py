"""What the runs of a folder came to: scores by dataset, algorithm and seed, one table for each target.

A score is that of a run's own evaluation after its last update, at targets that were set before training. What
`decision-minrnn evaluate` may have measured since is not looked at, and no target is chosen for its score: of runs that
were evaluated at two targets there are two tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from decision_minrnn.config import TrainConfig
from decision_minrnn.data.resolve import locate
from decision_minrnn.errors import CheckpointError, ConfigError, DecisionMinRNNError
from decision_minrnn.origin import RunInfo
from decision_minrnn.published import D4RL_DATASETS
from decision_minrnn.runs import is_finished, read_run
from decision_minrnn.sweep.folders import WITHOUT_EFFECT
from decision_minrnn.sweep.grid import EncoderChoice, shown
from decision_minrnn.tracking import read_metrics

_AXES = frozenset({"dataset", "env", "encoder", "encoder_options", "seed", "targets", "episodes", "evaluate"})
"""Settings that do not tell algorithms apart: what is trained on, what names one anyway, and how it is measured."""


@dataclass(frozen=True)
class Result:
    """A finished run and its evaluation."""

    folder: Path
    info: RunInfo
    dataset: str
    """Name of the dataset."""
    returns: tuple[float, ...]
    """Mean return, for each target."""
    scores: tuple[float, ...] | None
    """The same, normalised; None where there is no reference."""

    @property
    def encoder(self) -> EncoderChoice:
        """What was trained."""
        return EncoderChoice(self.info.train.encoder, self.info.train.encoder_options)


def read_results(folders: Iterable[Path]) -> list[Result]:
    """The finished and evaluated runs among folders; those that hold no run or an unfinished one are left out."""
    results, names = [], dict[str, str]()
    for folder in folders:
        if (folder / "config.json").exists() and is_finished(folder, info := read_run(folder)) and info.train.evaluate:
            dataset = info.train.dataset
            names[dataset] = names.get(dataset) or _name(dataset)
            results.append(_read(folder, info, names[dataset]))
    return results


def _name(dataset: str) -> str:
    """Of the dataset of a run that may have been made elsewhere."""
    try:
        return locate(dataset).name
    except DecisionMinRNNError:
        return Path(dataset).stem


def _read(folder: Path, info: RunInfo, dataset: str) -> Result:
    rows = [row for row in read_metrics(folder) if row["update"] == info.train.updates]
    scalars = {tag: value for row in rows for tag, value in row.items()}
    targets = [f"{target:g}" for target in info.task.targets]
    try:
        returns = tuple(scalars[f"eval/return/{target}"] for target in targets)
        scored = info.task.reference is not None
        scores = tuple(scalars[f"eval/normalized_score/{target}"] for target in targets) if scored else None
    except KeyError as error:
        raise CheckpointError(f"{folder / 'metrics.jsonl'} is damaged: it has no {error.args[0]}.") from error
    return Result(folder, info, dataset, returns, scores)


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
    results: Sequence[Result], datasets: Sequence[str] = (), encoders: Sequence[str] = (), unfinished: int = 0
) -> Comparison:
    """Put results into tables, whose columns are encoders, told apart by the settings in which the runs differ.

    Args:
        results: at least one.
        datasets: order of the rows; those that are not named follow in the order of the results.
        encoders: order of the columns, likewise.
        unfinished: runs that were planned, and are not among the results.

    Raises `ConfigError` where there are no results, or two of the same settings and seed.
    """
    if not results:
        raise ConfigError("there is no finished and evaluated run to make a table of.")
    normalised = all(result.scores is not None for result in results)
    varied = _varied(results)
    names = {result.folder: _algorithm(result, varied) for result in results}
    rows = _ordered((result.dataset for result in results), datasets)
    ranked = sorted(results, key=lambda result: _rank(str(result.encoder), encoders))
    cards = {result.dataset for result in results if result.info.cards.get("dataset") == result.dataset}
    columns = tuple(dict.fromkeys(names[result.folder] for result in ranked))
    tables = []
    for index in range(max(len(result.returns) for result in results)):
        scores: dict[tuple[str, str], dict[int, float]] = {}
        targets: dict[str, float] = {}
        for result in (result for result in results if index < len(result.returns)):
            place, seed = (result.dataset, names[result.folder]), result.info.train.seed
            if seed in scores.setdefault(place, {}):
                raise ConfigError(f"{result.folder}: there is another run of the same settings and seed {seed}.")
            target = result.info.task.targets[index]
            if targets.setdefault(result.dataset, target) != target:
                raise ConfigError(
                    f"{result.folder} was evaluated at target {target:g}, other runs on {result.dataset} at "
                    f"{targets[result.dataset]:g}. Make a table of each."
                )
            scores[place][seed] = (result.scores if normalised and result.scores else result.returns)[index]
        tables.append(
            ScoreTable(
                targets=targets,
                datasets=tuple(row for row in rows if row in targets),
                algorithms=columns,
                published=tuple(row for row in rows if row in cards and row in D4RL_DATASETS),
                seeds=tuple(sorted({seed for cell in scores.values() for seed in cell})),
                cells={place: Cell(cell) for place, cell in scores.items()},
            )
        )
    return Comparison(results, normalised, tuple(tables), unfinished)


def _varied(results: Sequence[Result]) -> list[str]:
    """The settings beside encoder and seed in which runs differ."""
    names = [field.name for field in fields(TrainConfig) if field.name not in _AXES | WITHOUT_EFFECT]
    return [name for name in names if len({shown(getattr(result.info.train, name)) for result in results}) > 1]


def _algorithm(result: Result, varied: Sequence[str]) -> str:
    return " ".join([str(result.encoder), *(f"{name}={shown(getattr(result.info.train, name))}" for name in varied)])


def _ordered(names: Iterable[str], first: Sequence[str]) -> list[str]:
    """Each name once, those that are asked for first."""
    return sorted(dict.fromkeys(names), key=lambda name: _rank(name, first))


def _rank(name: str, first: Sequence[str]) -> int:
    return first.index(name) if name in first else len(first)
