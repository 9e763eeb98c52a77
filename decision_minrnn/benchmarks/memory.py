"""How much memory an update takes: the peak of a fresh process for each contestant.

Counted is what one update of the whole batch adds to the peak that the process had after an update of one row of two
steps. Libraries, weights, gradients and moments are in that; activations and what is computed on the way are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch

from decision_minrnn.benchmarks.contestants import build
from decision_minrnn.benchmarks.sizes import Sizes, random_batch
from decision_minrnn.devices import peak_bytes


@dataclass(frozen=True)
class MemoryUse:
    """One row of the table."""

    contestant: str
    megabytes: float | None
    """None where the system does not tell."""


def measure_memory(names: Sequence[str], sizes: Sizes, threads: int | None = None) -> list[MemoryUse]:
    """The peak of each contestant's update, in float32."""
    rows = []
    for name in names:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows.append(MemoryUse(name, process.submit(peak_of_update, name, sizes, threads).result()))
    return rows


def peak_of_update(name: str, sizes: Sizes, threads: int | None) -> float | None:
    """Megabytes that an update of this contestant adds, in this process."""
    torch.set_num_threads(threads or torch.get_num_threads())
    contestant = build([name], sizes)[0][name]
    device = torch.device("cpu")
    peaks = []
    for shape in ((1, 2), (sizes.batch_size, sizes.context)):
        task = contestant.update(random_batch(*shape), "float32")
        assert task is not None
        task()
        peaks.append(peak_bytes(device))
    before, after = peaks
    return None if before is None or after is None else (after - before) / 1e6
