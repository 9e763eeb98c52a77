"""Timing several things against each other on a machine that is never quite quiet.

All take their turns in one process, round after round, so that whatever else the machine does meets all of them; of
each, the quartiles over the rounds count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Task = Callable[[], object]

WARM_UP = 2
"""Rounds that do not count."""

Key = tuple[str, str]
"""A contestant, and what it does."""


@dataclass(frozen=True)
class Work:
    """Something to be timed."""

    task: Task
    repeats: int = 1
    """Calls that are timed as one, for what takes less than the clock and the caches forgive.

    As many come before that are not timed: between two of its turns others have thrown its weights out of the cache.
    """


@dataclass(frozen=True)
class Measurement:
    """One cell of a table of times."""

    contestant: str
    what: str
    median_ms: float
    low_ms: float
    """First quartile."""
    high_ms: float
    """Third quartile."""
    ratio: float | None
    """The baseline's median by this one: how many times faster than it. None where the baseline is not there."""
    rounds: int


def measure(
    works: Mapping[Key, Work], rounds: int, baseline: str | None = None, wait: Task = lambda: None
) -> list[Measurement]:
    """Time everything in turn.

    Args:
        works: by contestant and what it does.
        rounds: how often each is timed, after `WARM_UP` rounds that do not count.
        baseline: the contestant that the others are held against.
        wait: for what a device was told and has not done; within what is timed.
    """
    _forget_a_dataset()
    times: dict[Key, list[float]] = {key: [] for key in works}
    for _ in range(WARM_UP + rounds):
        for key, work in works.items():
            times[key].append(_milliseconds(work, wait))
    return summarise({key: values[WARM_UP:] for key, values in times.items()}, baseline)


def summarise(times: Mapping[Key, list[float]], baseline: str | None = None) -> list[Measurement]:
    """Quartiles of times, and ratios of medians to the baseline's of the same kind."""
    medians = {key: float(np.median(values)) for key, values in times.items()}
    measurements = []
    for (name, what), values in times.items():
        low, high = (float(quartile) for quartile in np.percentile(values, (25, 75)))
        median, reference = medians[name, what], medians.get((baseline or "", what))
        ratio = None if reference is None else reference / median
        measurements.append(Measurement(name, what, median, low, high, ratio, len(values)))
    return measurements


def _forget_a_dataset() -> None:
    """Leave the allocator as the reading of a dataset leaves it, which a training begins with.

    The C library of Linux, once it has seen a block of up to 32 MB freed, no longer gives such blocks back to the
    system; until then every update asks for its memory anew, which takes a fifth of a fast one.
    """
    np.ones(31 * 2**20, dtype=np.uint8)


def _milliseconds(work: Work, wait: Task) -> float:
    """Of one call, averaged over the repeats."""
    if work.repeats > 1:
        for _ in range(work.repeats):
            work.task()
    wait()
    began = time.perf_counter()
    for _ in range(work.repeats):
        work.task()
    wait()
    return 1000 * (time.perf_counter() - began) / work.repeats
