"""What training computes on a CPU, compiled: a branch of a block at a time, matrix products and what lies between them.

In float32; matrix products may be in bfloat16. PyTorch's own operations, which this package composes the same of, take
longer, and the kernels' place where there is no compiler, with `DECISION_MINRNN_KERNELS=off` in the environment, and
for other types and devices. `library` compiles and calls the kernels, the other modules are their gradients.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from decision_minrnn.ops.native.library import TYPES, kernels, multiplies, run
from decision_minrnn.ops.precision import product_precision

SWITCH = "DECISION_MINRNN_KERNELS"


def runs_here() -> bool:
    """Whether the kernels are not switched off, and compile on this machine."""
    return os.environ.get(SWITCH) != "off" and kernels() is not None


@contextmanager
def switched_off() -> Iterator[None]:
    """Compute with PyTorch's operations inside, as with the variable in the environment."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "off"
    try:
        yield
    finally:
        os.environ.pop(SWITCH)
        if before is not None:
            os.environ[SWITCH] = before


def takes(x: Tensor) -> bool:
    """Whether the kernels compute on such a tensor here."""
    if x.dtype is not torch.float32 or x.device.type != "cpu":
        return False
    if product_precision(x) not in TYPES:
        return False
    # what torch traces has no memory to be computed in
    return not torch.compiler.is_compiling() and runs_here()


def takes_branch(x: Tensor, *sizes: int) -> bool:
    """Whether there are kernels here for a branch beside x, with matrices of such sizes."""
    if not x.numel() or not takes(x):
        return False
    precision = product_precision(x)
    # two numbers of bfloat16 are taken at a time
    even = precision is torch.float32 or not any(size % 2 for size in sizes)
    return even and multiplies(precision) and bool(torch.backends.mkldnn.enabled)


@contextmanager
def counted_products() -> Iterator[Callable[[], float]]:
    """Count the seconds that the kernels spend in matrix products inside, of all threads together; ask afterwards."""
    nanoseconds = torch.zeros((), dtype=torch.int64)
    if not runs_here():
        yield lambda: 0.0
        return
    run("count_products", None, True, nanoseconds)
    try:
        yield lambda: nanoseconds.item() / 1e9
    finally:
        run("count_products", None, False, nanoseconds)
