"""Which share of an update is spent inside matrix products, as torch's profiler and our kernels tell.

What torch fuses with products counts whole: attention, and torch's own GRU and LSTM. Of our compiled kernels only the
products in them do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from decision_minrnn.benchmarks.contestant import Contestant
from decision_minrnn.benchmarks.sizes import Sizes, random_batch
from decision_minrnn.ops import native

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear", "attention", "rnn_layer")
"""How the names of such operations end, or, of the fused ones, what is in them."""

WARM_UP, UPDATES = 2, 3


@dataclass(frozen=True)
class ProductShare:
    """One row of the table."""

    contestant: str
    percent: float
    """Of the time inside torch's operations."""


def measure_products(contestants: Mapping[str, Contestant], sizes: Sizes) -> list[ProductShare]:
    """The share of each contestant's updates, in float32."""
    batch = random_batch(sizes.batch_size, sizes.context)
    rows = []
    for name, contestant in contestants.items():
        task = contestant.update(batch, "float32")
        assert task is not None
        for _ in range(WARM_UP):
            task()
        with native.counted_products() as seconds, profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(UPDATES):
                task()
        times = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
        inside = sum(time for key, time in times.items() if is_product(key))
        inside += 1e6 * seconds() / torch.get_num_threads()
        rows.append(ProductShare(name, 100 * inside / sum(times.values())))
    return rows


def is_product(operation: str) -> bool:
    """Whether an operation of the profiler multiplies matrices."""
    name = operation.rpartition("::")[2]
    return name in PRODUCTS[:5] or any(fused in name for fused in PRODUCTS[5:])
