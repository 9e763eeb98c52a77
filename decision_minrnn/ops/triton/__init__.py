"""The recurrences as Triton kernels, for GPUs: one launch for all steps of all rows.

`linear` is the plain recurrence, `gated` that of minGRU and minLSTM with their gates; `tiles` is what both do with a
tile of time and channels. They import triton, which PyTorch for CUDA brings along; this module does not, so that
machines without it work. With TRITON_INTERPRET=1 in the environment before triton is first imported, the kernels run on
the CPU, slowly, which is how they are tested without a GPU.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

OLDEST = (7, 0)
"""The lowest compute capability that Triton compiles for."""


def runs_here() -> bool:
    """Whether this machine has a GPU that the kernels run on."""
    return torch.cuda.is_available() and _compiles_for(torch.cuda.current_device())


def takes(x: Tensor) -> bool:
    """Whether a tensor is on such a GPU."""
    return x.is_cuda and _compiles_for(x.device.index)


def interpreted() -> bool:
    """Whether the kernels are interpreted, and so take tensors on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1" and _installed()


@cache
def _compiles_for(device: int) -> bool:
    return _installed() and torch.cuda.get_device_capability(device) >= OLDEST


@cache
def _installed() -> bool:
    return find_spec("triton") is not None
