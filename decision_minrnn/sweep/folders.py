"""What is in a trial's folder: nothing, a run that was begun, one that is done, or a run with other settings."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from decision_minrnn.config import TrainConfig
from decision_minrnn.data import load_dataset
from decision_minrnn.errors import ConfigError, DecisionMinRNNError
from decision_minrnn.origin import RunInfo
from decision_minrnn.runs import dataset_digest, is_finished, read_run
from decision_minrnn.sweep.grid import shown
from decision_minrnn.sweep.trial import Trial
from decision_minrnn.tracking import read_metrics

Condition = Literal["missing", "begun", "done"]

WITHOUT_EFFECT = frozenset(
    {"out", "device", "threads", "log_every", "checkpoint_every", "keep_checkpoints", "evaluate_every"}
)
"""Settings of where a run is computed and what is written when: but for rounding, its result is the same."""


def condition(trial: Trial) -> Condition:
    """How far a trial is.

    Raises `ConfigError` where the folder holds a run with other settings or other data, and `CheckpointError` where it
    holds one that cannot be read.
    """
    if not (trial.folder / "config.json").exists():
        return "missing"
    info = read_run(trial.folder)
    if found := differences(info, trial.config):
        raise ConfigError(
            f"{trial.folder} holds a run with other settings: {'; '.join(found)}. Ask for the same, choose another "
            "folder with --out, or move that one away."
        )
    return "done" if is_finished(trial.folder, info) else "begun"


def differences(info: RunInfo, config: TrainConfig) -> list[str]:
    """In words, where a run's settings and the given ones differ in what its result depends on."""
    found = []
    for name in (field.name for field in fields(TrainConfig) if field.name not in WITHOUT_EFFECT):
        there, asked = getattr(info.train, name), getattr(config, name)
        if there != asked and not (name == "dataset" and _digest_of(config) == info.dataset_sha256):
            found.append(f"{name} is {shown(there)} there and {shown(asked)} here")
    return found


class Progress(NamedTuple):
    """How far a run is, from its metrics."""

    update: int = 0
    loss: float | None = None
    scores: tuple[float, ...] = ()
    """Normalised scores, or returns where there is no reference, of the last evaluation, one for each target."""


def progress(folder: Path) -> Progress:
    """What the metrics of a run say, as far as they are written."""
    found = Progress()
    for row in read_metrics(folder):
        found = Progress(row["update"], row.get("losses/action", found.loss), _evaluated(row) or found.scores)
    return found


def _evaluated(row: dict[str, float]) -> tuple[float, ...]:
    for measure in ("normalized_score", "return"):
        if found := tuple(value for tag, value in row.items() if tag.startswith(f"eval/{measure}/")):
            return found
    return ()


def _digest_of(config: TrainConfig) -> str | None:
    """Digest of the data that a configuration asks for; None where they cannot be read."""
    try:
        return _digest(config.dataset, config.env, config.unfinished_episode, config.top_percent)
    except DecisionMinRNNError:
        return None


@lru_cache
def _digest(dataset: str, env: str | None, unfinished_episode: bool, top_percent: float) -> str:
    data = load_dataset(dataset, env=env, keep_unfinished=unfinished_episode)
    return dataset_digest(data if top_percent == 100 else data.best(top_percent))
