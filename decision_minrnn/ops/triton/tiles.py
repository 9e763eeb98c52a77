"""What the kernels do with a tile: TIME steps, one a row, of CHANNELS channels.

A program goes through the tiles of one batch row and one block of channels in turn. Within a tile the recurrence is a
prefix sum over time of pairs (a, b), the maps h -> a h + b, under composition (Blelloch 1990, "Prefix sums and their
applications", section 1.4); between tiles a row of states is carried. So the loads of a tile wait for no arithmetic,
and every number is read from memory once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor


class Launch(NamedTuple):
    """How a kernel is launched on [batch, time, dim]."""

    grid: tuple[int, int]
    sizes: dict[str, int]

    @staticmethod
    def over(batch: int, time: int, dim: int) -> Launch:
        """At most 32 steps of 32 channels for each program of 4 warps.

        So a thread holds 8 numbers of a tile. With 16, the gradient of the gated kernel needs more than the 255
        registers that a thread can have.
        """
        channels = min(32, triton.next_power_of_2(dim))
        steps = min(32, triton.next_power_of_2(time))
        # multiply and add as one, which from Triton 3.10 on has to be asked for
        sizes = {"TIME": steps, "CHANNELS": channels, "num_warps": 4, "enable_fp_fusion": True}
        return Launch((batch, triton.cdiv(dim, channels)), sizes)


def computed_in(dtype: torch.dtype) -> tl.dtype:
    """The precision of a recurrence whose state is of this type: float64, or else float32."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def on_device_of(x: Tensor) -> torch.cuda.device:
    """The context in which kernels on a tensor are launched: its GPU need not be the current one."""
    return torch.cuda.device(x.device.index if x.is_cuda else -1)


@triton.jit
def composed(a_first, b_first, a_second, b_second):
    """h -> a h + b for the first map followed by the second."""
    return a_second * a_first, a_second * b_first + b_second


@triton.jit
def scanned(a, b, carried):
    """h of every row of a tile that is entered with the state `carried`."""
    a, b = tl.associative_scan((a, b), 0, composed)
    return a * carried[None, :] + b


@triton.jit
def last_row(h, TIME: tl.constexpr):
    """The state that leaves a tile. Rows beyond the sequence are the map that changes nothing."""
    return tl.sum(tl.where(tl.arange(0, TIME)[:, None] == TIME - 1, h, 0.0), axis=0)
