"""The recurrence alone, forward and backward, by length and width: each implementation of `linear_scan`.

torch's GRU stands beside them as a yardstick. It does more: its gates and their matrix products are in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from decision_minrnn.benchmarks.timing import Key, Measurement, Task, Work, measure
from decision_minrnn.config import require
from decision_minrnn.ops import backends, linear_scan

BASELINE = "log_space"
YARDSTICK = "torch GRU"


@dataclass(frozen=True)
class ScanSizes:
    """Of the sequences."""

    lengths: tuple[int, ...] = (20, 64, 256, 1024)
    """Lengths T of a scan."""

    widths: tuple[int, ...] = (128, 512)
    """Widths D of a scan."""

    sequences: int = 16
    """Sequences of a scan."""

    def __post_init__(self) -> None:
        for name in ("lengths", "widths"):
            numbers = getattr(self, name)
            require(self, name, bool(numbers) and min(numbers) >= 1, "whole numbers of at least 1")
        require(self, "sequences", self.sequences >= 1, "a whole number of at least 1")


def measure_scans(sizes: ScanSizes, rounds: int) -> list[Measurement]:
    """Every backend at every length and width, `T=LENGTH D=WIDTH`."""
    works: dict[Key, Work] = {}
    for width in sizes.widths:
        for length in sizes.lengths:
            what, shape = f"T={length} D={width}", (sizes.sequences, length, width)
            for backend in backends(torch.device("cpu")):
                works[backend, what] = Work(_scan(backend, shape))
            works[YARDSTICK, what] = Work(_gru(shape))
    return measure(works, rounds, BASELINE)


def _scan(backend: str, shape: tuple[int, int, int]) -> Task:
    coefficients, values = (torch.rand(shape).requires_grad_() for _ in range(2))
    weights = torch.rand(shape)

    def run() -> object:
        h, _ = linear_scan(coefficients, values, backend=backend)
        return torch.autograd.grad(h, (coefficients, values), weights)

    return run


def _gru(shape: tuple[int, int, int]) -> Task:
    module = nn.GRU(shape[2], shape[2], batch_first=True)
    x, weights = torch.rand(shape).requires_grad_(), torch.rand(shape)

    def run() -> object:
        return torch.autograd.grad(module(x)[0], (x, *module.parameters()), weights)

    return run
