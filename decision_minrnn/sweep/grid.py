"""The grid of a sweep: every dataset with every encoder, seed and value of what is varied.

A trial's folder is DATASET__ENCODER__SEED, followed by __KEY=VALUE for each setting that is varied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from decision_minrnn.config import OptionValue, TrainConfig
from decision_minrnn.data.resolve import locate
from decision_minrnn.encoders import build_encoder
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.records import record_from_dict
from decision_minrnn.sweep.trial import Trial

_AXES = {"dataset": "--datasets", "encoder": "--encoders", "seed": "--seeds", "out": "--out"}
"""Settings with flags of their own."""


@dataclass(frozen=True)
class EncoderChoice:
    """A sequence layer and its options."""

    name: str
    options: Mapping[str, OptionValue]

    def __str__(self) -> str:
        options = ",".join(f"{key}={shown(value)}" for key, value in self.options.items())
        return f"{self.name}:{options}" if options else self.name


def read_variation(word: str) -> tuple[str, list[Any]]:
    """A setting and its values from KEY=A,B,C, where values are JSON or words.

    Values that hold commas are lists or tables of JSON: targets=[3600],[1800].

    Raises `ConfigError` for what is not of this form or a setting that is no axis of its own, and `UnknownNameError`
    for one that does not exist.
    """
    key, _, text = word.partition("=")
    key = key.strip().replace("-", "_")
    if key in _AXES:
        raise ConfigError(f"--set {word}: {key} has a flag of its own, {_AXES[key]}.")
    names = {field.name for field in fields(TrainConfig)} - set(_AXES)
    if key not in names:
        raise UnknownNameError("setting", key, names, "Expected --set KEY=VALUE,VALUE.")
    try:
        values = json.loads(f"[{text}]")
    except ValueError:
        values = [_value(part.strip()) for part in text.split(",") if part.strip()]
    if not values:
        raise ConfigError(f"--set {word}: expected at least one value, as in {key}=VALUE,VALUE.")
    return key, values


def plan_trials(
    base: TrainConfig,
    folder: str | Path,
    datasets: Sequence[str],
    encoders: Sequence[EncoderChoice],
    seeds: Sequence[int],
    variations: Iterable[tuple[str, Sequence[Any]]] = (),
) -> list[Trial]:
    """The trials of a grid, seeds outermost, so that a table has a number in every cell as early as can be.

    Args:
        base: settings of all trials, but for what the others say.
        folder: where the trials' folders are.
        datasets: names or paths.
        encoders: what is trained.
        seeds: of each.
        variations: settings and their values; all combinations are tried.

    Raises:
        ConfigError: a value of the wrong type, an encoder that cannot be built, or two trials with the same name.
        UnknownNameError: a dataset or encoder that does not exist.
        DataError: the path of a dataset at which there is nothing.
    """
    varied = sorted(variations, key=lambda variation: variation[0])
    places = {dataset: locate(dataset).name for dataset in datasets}
    trials = []
    for seed, dataset, encoder, *values in product(seeds, datasets, encoders, *(values for _, values in varied)):
        axes = {"dataset": dataset, "encoder": encoder.name, "encoder_options": dict(encoder.options), "seed": seed}
        changed = dict(zip((key for key, _ in varied), values, strict=True))
        config = record_from_dict({**asdict(base), **axes, **changed}, TrainConfig, "--set")
        parts = [places[dataset], str(encoder), str(seed), *(f"{key}={shown(getattr(config, key))}" for key in changed)]
        name = "__".join(re.sub(r"[^\w.+=,-]+", "-", part) for part in parts)
        trials.append(Trial(name, replace(config, out=str(Path(folder) / name))))
    _check(trials)
    return trials


def shown(value: Any) -> str:
    """A setting's value in a word."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={shown(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (tuple, list)):
        return ",".join(map(shown, value)) or "none"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word


def _check(trials: Sequence[Trial]) -> None:
    """Refuse what would fail when its turn comes, as far as that can be told without reading data."""
    if not trials:
        raise ConfigError("the grid is empty: expected at least one dataset, one encoder and one seed.")
    names = [trial.name for trial in trials]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"two trials would have the same folder: {', '.join(twice)}. Rename a dataset's file, or ask once."
        )
    built = []
    for config in (trial.config for trial in trials):
        encoder = (config.encoder, config.width, {"dropout": config.dropout, **config.encoder_options})
        if encoder not in built:
            build_encoder(encoder[0], encoder[1], 1, **encoder[2])
            built.append(encoder)
