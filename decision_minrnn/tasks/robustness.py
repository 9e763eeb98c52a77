"""How much a result depends on its settings: one at a time is varied, the others stay as they are.

Varied are the learning rate, dropout, layers and, of minLSTM, the bias that its forget gate starts with: the larger it
is, the longer a state lasts at first ("Were RNNs All We Needed?", arXiv 2410.01201, varies it for minLSTM).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from decision_minrnn.encoders import encoder_options
from decision_minrnn.tasks.copying import CopyingConfig
from decision_minrnn.tasks.experiment import FinishedRun, PlannedRun


def planned_runs(
    base: CopyingConfig,
    encoders: Sequence[tuple[str, Mapping[str, Any]]],
    values: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> list[PlannedRun[CopyingConfig]]:
    """For each encoder and seed a run with the settings of `base`, and one for each other value of each setting.

    Args:
        base: settings of all runs but for what is varied.
        encoders: names and options.
        values: by setting: a field of the configuration, or an option of the encoder; left out for encoders without it.
        seeds: of weights and sequences.
    """
    runs = []
    for name, options in encoders:
        for seed in seeds:
            config = replace(base, encoder=name, encoder_options=options, seed=seed)
            runs.append(PlannedRun(f"{name}__base__seed-{seed}", config))
            for setting, value in _varied(config, values):
                is_option = not hasattr(config, setting)
                changed: dict[str, Any] = {setting: value}
                varied = replace(config, **{"encoder_options": {**options, **changed}} if is_option else changed)
                runs.append(PlannedRun(f"{name}__{setting}-{value:g}__seed-{seed}", varied, setting, value))
    return runs


def _varied(config: CopyingConfig, values: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, float]]:
    """Settings and values other than the configuration's own."""
    for setting, choices in values.items():
        own = setting_of(config, setting)
        yield from ((setting, value) for value in dict.fromkeys(choices) if own is not None and value != own)


def setting_of(config: CopyingConfig, setting: str) -> float | None:
    """The value of a setting of the configuration or its encoder; None for an option that the encoder does not have."""
    if hasattr(config, setting):
        return float(getattr(config, setting))
    value = config.encoder_options.get(setting, encoder_options(config.encoder).get(setting))
    return None if value is None else float(value)


def accuracies(
    finished: Sequence[FinishedRun[CopyingConfig]], setting: str
) -> dict[str, list[tuple[float, float, float]]]:
    """For each encoder that has a setting: value, mean accuracy and its deviation over seeds, by ascending value."""
    found: dict[str, dict[float, list[float]]] = {}
    for run in finished:
        value = setting_of(run.plan.config, setting)
        if run.plan.setting in ("", setting) and value is not None:
            by_value = found.setdefault(run.outcome.encoder, {})
            by_value.setdefault(value, []).append(run.outcome.scalars["eval/accuracy"])
    return {
        encoder: [(value, float(np.mean(shares)), float(np.std(shares))) for value, shares in sorted(by_value.items())]
        for encoder, by_value in found.items()
    }
