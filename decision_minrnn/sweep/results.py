"""Results of finished runs, as they stand in their folders.

A score is that of a run's own evaluation after its last update, at targets that were set before training. What
`decision-minrnn evaluate` may have measured since is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from decision_minrnn.checkpoint import checkpoint_folders
from decision_minrnn.data.resolve import locate
from decision_minrnn.errors import CheckpointError, DecisionMinRNNError
from decision_minrnn.origin import RunInfo
from decision_minrnn.runs import is_finished, read_run
from decision_minrnn.sweep.grid import EncoderChoice
from decision_minrnn.tracking import read_metrics


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
        # other folders have a config.json too: a shared policy, what `data collect` trained
        if checkpoint_folders(folder) and is_finished(folder, info := read_run(folder)) and info.train.evaluate:
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
