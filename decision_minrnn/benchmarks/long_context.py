"""What a step of training costs in rows of few and of many steps.

Every update sees as many steps of the embedded dataset: short rows are many, long rows are few. Rows are streams of
packed episodes that carry their state, as with `train --sampling streams`, so that nothing but their length differs.
The updates are taken in turn, in one process; the memory of each is measured in a process of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch

from decision_minrnn.benchmarks.timing import Work, measure
from decision_minrnn.config import TrainConfig
from decision_minrnn.data.resolve import load_dataset
from decision_minrnn.devices import peak_bytes
from decision_minrnn.errors import ConfigError
from decision_minrnn.learner import PolicyLearner, build_model

DATASET = "hopper-medium"


@dataclass(frozen=True)
class ContextMeasurement:
    """One row of the table."""

    context: int
    """Steps in a row of a batch."""
    rows: int
    microseconds: float
    """Median of an update, divided by the steps that it saw."""
    relative: float
    """By how much that is more than with the first context."""
    megabytes: float | None
    """What two updates need at most, above what the process held before; None where the system does not tell."""


def measure_contexts(
    contexts: Sequence[int], steps: int = 16384, encoder: str = "mingru", rounds: int = 5
) -> list[ContextMeasurement]:
    """Measure one update of each context.

    Args:
        contexts: steps in a row.
        steps: in an update, or a little fewer, where a context does not divide them.
        encoder: of the model.
        rounds: how often each is timed.

    Raises:
        ConfigError: no context, or one that is not between 1 and `steps`.
        UnknownNameError: an encoder that is none.
    """
    if not contexts or min(contexts) < 1 or max(contexts) > steps:
        raise ConfigError(f"--contexts expects numbers from 1 to --steps {steps}, got {list(contexts)}.")
    configs = {
        context: TrainConfig(DATASET, encoder=encoder, sampling="streams", context=context, batch_size=steps // context)
        for context in contexts
    }
    works = {(str(context), "update"): Work(_learner(config).learn) for context, config in configs.items()}
    microseconds = {
        context: 1e3 * row.median_ms / (config.batch_size * context)
        for (context, config), row in zip(configs.items(), measure(works, rounds), strict=True)
    }
    return [
        ContextMeasurement(
            context,
            config.batch_size,
            microseconds[context],
            microseconds[context] / microseconds[contexts[0]],
            _memory_elsewhere(config),
        )
        for context, config in configs.items()
    ]


def update_memory(config: TrainConfig, threads: int) -> float | None:
    """Megabytes that this process comes to hold with the first two updates."""
    torch.set_num_threads(threads)
    learner, device = _learner(config), torch.device("cpu")
    before = peak_bytes(device)
    for _ in range(2):
        learner.learn()
    after = peak_bytes(device)
    return None if before is None or after is None else (after - before) / 1e6


def _memory_elsewhere(config: TrainConfig) -> float | None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(update_memory, config, torch.get_num_threads()).result()


def _learner(config: TrainConfig) -> PolicyLearner:
    data = load_dataset(config.dataset)
    return PolicyLearner(build_model(config, data), data, config)
