"""What run folders hold, gathered for a report: runs that differ in their seed alone stand together as a group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from decision_minrnn.config import Memory
from decision_minrnn.errors import CheckpointError
from decision_minrnn.evaluation import Evaluation, TargetResult
from decision_minrnn.origin import RunInfo
from decision_minrnn.runs import evaluation_path, read_evaluation, read_run
from decision_minrnn.tracking import read_metrics

NOT_LEARNED_FROM = (
    {"seed", "out", "threads", "device", "log_every", "checkpoint_every", "keep_checkpoints"}
    | {"evaluate_every", "evaluate", "targets", "episodes"}
)  # fmt: skip
"""Settings that do not say what is learned: runs that differ in these are of one group."""


@dataclass(frozen=True)
class ReportedRun:
    """One run folder, as far as it is written."""

    folder: Path
    info: RunInfo
    metrics: Sequence[dict[str, Any]]
    evaluations: dict[Memory, Evaluation]
    """The last with each memory mode that there is one of."""

    @property
    def dataset(self) -> str:
        """Short name of what it was trained on."""
        return self.info.cards.get("dataset") or Path(self.info.train.dataset).stem

    @property
    def settings(self) -> dict[str, Any]:
        """What was learned, and how."""
        return {key: value for key, value in asdict(self.info.train).items() if key not in NOT_LEARNED_FROM}

    def scalars(self, tag: str) -> dict[int, float]:
        """The finite values of one tag of the metrics, by update."""
        return {row["update"]: row[tag] for row in self.metrics if row.get(tag) is not None}


class Spread(NamedTuple):
    """A number for each seed."""

    mean: float
    deviation: float
    """Over the seeds, with 1/n."""
    values: tuple[float, ...]

    @staticmethod
    def of(values: Iterable[float]) -> Spread:
        """Of at least one value."""
        found = tuple(float(value) for value in values)
        return Spread(float(np.mean(found)), float(np.std(found)), found)


@dataclass(frozen=True)
class Group:
    """Runs on one dataset that differ in their seed alone."""

    name: str
    """The encoder, and what tells the group from the others on this dataset."""
    runs: Sequence[ReportedRun]

    def curve(self, tag: str) -> dict[int, Spread]:
        """A tag of the metrics over the updates that every run has logged it at."""
        scalars = [found for run in self.runs if (found := run.scalars(tag))]
        shared = sorted(set.intersection(*(set(found) for found in scalars))) if scalars else []
        return {update: Spread.of(found[update] for found in scalars) for update in shared}

    def results(self, memory: Memory = "carried") -> dict[float, list[TargetResult]]:
        """What the runs came to at each target that they were evaluated at with a memory mode, in rising order."""
        found: dict[float, list[TargetResult]] = {}
        for run in self.runs:
            for result in run.evaluations[memory].targets if memory in run.evaluations else ():
                found.setdefault(result.target_return, []).append(result)
        return dict(sorted(found.items()))


def find_runs(paths: Sequence[Path]) -> tuple[list[ReportedRun], list[str]]:
    """The runs that were named, or that lie in the folders that were named; and why others in these are left out.

    Raises `CheckpointError` for a path that is neither a run nor a folder of runs, or a run that is damaged.
    """
    found, left_out = {}, []
    for path in paths:
        inside = sorted(config.parent for config in path.glob("*/config.json"))
        if (path / "config.json").exists() or not inside:
            found[path.resolve()] = read_reported(path)
            continue
        for folder in inside:
            try:
                found[folder.resolve()] = read_reported(folder)
            except CheckpointError as error:
                left_out.append(str(error))
    return list(found.values()), left_out


def read_reported(folder: Path) -> ReportedRun:
    """One run; raises `CheckpointError` for a folder that is none, or one with a damaged file."""
    memories: tuple[Memory, ...] = get_args(Memory)
    evaluations = {
        memory: read_evaluation(folder, memory) for memory in memories if evaluation_path(folder, memory).exists()
    }
    return ReportedRun(folder, read_run(folder), read_metrics(folder), evaluations)


def by_dataset(runs: Sequence[ReportedRun]) -> dict[str, list[Group]]:
    """The groups on each dataset, both in the order in which the runs came."""
    datasets: dict[str, list[ReportedRun]] = {}
    for run in runs:
        datasets.setdefault(run.dataset, []).append(run)
    return {dataset: list(_groups(members)) for dataset, members in datasets.items()}


def _groups(runs: Sequence[ReportedRun]) -> Iterator[Group]:
    members: dict[str, list[ReportedRun]] = {}
    for run in runs:
        members.setdefault(repr(sorted(run.settings.items())), []).append(run)
    firsts = [group[0].settings for group in members.values()]
    for group in members.values():
        settings = group[0].settings
        # settings that follow the encoder from group to group say no more than its name
        told = [
            key
            for key in settings
            if key not in ("encoder", "dataset")
            and any(other[key] != settings[key] for other in firsts if other["encoder"] == settings["encoder"])
        ]
        name = ", ".join([settings["encoder"], *(f"{key.replace('_', ' ')} {_plain(settings[key])}" for key in told)])
        yield Group(name, sorted(group, key=lambda run: run.info.train.seed))


def _plain(value: Any) -> str:
    """A setting in a few letters."""
    return " ".join(f"{key}={item}" for key, item in value.items()) or "none" if isinstance(value, dict) else str(value)
