"""Which kernels a device computes with, for records."""

from __future__ import annotations

import torch

from decision_minrnn.ops import native, triton


def kernels_on(device: torch.device) -> str:
    """`triton` on a GPU and `compiled` on a CPU, where there are such, else `torch`. For a GPU nothing is compiled.

    `compiled in part` where this build of torch exports no product for them, or none for this processor.
    """
    if triton.takes(torch.empty(0, device=device)):
        return "triton"
    if device.type != "cpu" or not native.runs_here():
        return "torch"
    return "compiled" if native.multiplies(torch.float32) else "compiled in part"
