"""Which kernels a device computes with, for records."""

from __future__ import annotations

import torch

from decision_minrnn.ops import native, triton


def kernels_on(device: torch.device) -> str:
    """`triton` on a GPU and `compiled` on a CPU, where there are such, else `torch`. For a GPU nothing is compiled."""
    if triton.takes(torch.empty(0, device=device)):
        return "triton"
    return "compiled" if device.type == "cpu" and native.runs_here() else "torch"
