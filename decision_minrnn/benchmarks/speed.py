"""How long an update and a step of a rollout take, beside public implementations of the same sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from decision_minrnn.benchmarks.contestant import Contestant
from decision_minrnn.benchmarks.contestants import BASELINE
from decision_minrnn.benchmarks.sizes import Sizes, random_batch
from decision_minrnn.benchmarks.timing import Key, Measurement, Work, measure
from decision_minrnn.config import Precision
from decision_minrnn.errors import ConfigError

ENVIRONMENTS = (1, 10, 100)

STEPS = 10
"""Steps of a rollout that are timed as one."""


def check_counts(rounds: int, environments: Sequence[int] = ENVIRONMENTS) -> None:
    """Raise `ConfigError` for numbers that cannot be measured with."""
    if rounds < 1:
        raise ConfigError(f"--rounds expects a whole number of at least 1, got {rounds}.")
    if not environments or min(environments) < 1:
        raise ConfigError(f"--environments expects whole numbers of at least 1, got {list(environments)}.")


def measure_updates(
    contestants: Mapping[str, Contestant], sizes: Sizes, precisions: Sequence[Precision], rounds: int
) -> list[Measurement]:
    """One update of each contestant in each precision, `update/PRECISION`."""
    batch = random_batch(sizes.batch_size, sizes.context)
    works: dict[Key, Work] = {}
    for precision in precisions:
        for name, contestant in contestants.items():
            task = contestant.update(batch, precision)
            if task is not None:
                works[name, f"update/{precision}"] = Work(task)
    return measure(works, rounds, BASELINE)


def measure_steps(contestants: Mapping[str, Contestant], environments: Sequence[int], rounds: int) -> list[Measurement]:
    """One step of a rollout of each contestant in each number of environments, `step/NUMBER`."""
    works: dict[Key, Work] = {}
    for count in environments:
        for name, contestant in contestants.items():
            task = contestant.step(count)
            if task is not None:
                works[name, f"step/{count}"] = Work(task, STEPS)
    return measure(works, rounds, BASELINE)
