"""h_t = a_t h_{t-1} + b_t as a kernel, and its gradient as another that goes through time backwards.

G_t = dL/dh_t + a_{t+1} G_{t+1},   dL/db_t = G_t,   dL/da_t = G_t h_{t-1},   dL/dh_0 = a_1 G_1
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from decision_minrnn.ops.triton import interpreted, takes
from decision_minrnn.ops.triton.tiles import Launch, computed_in, last_row, on_device_of, scanned


def triton_scan(
    coefficients: Float[Tensor, "batch time dim"],
    values: Float[Tensor, "batch time dim"],
    state: Float[Tensor, "batch dim"],
) -> Float[Tensor, "batch time dim"]:
    """h_t = a_t * h_{t-1} + b_t, for tensors on a GPU; raises `ValueError` for others."""
    if not (takes(values) or interpreted()):
        raise ValueError(
            f"the scan backend triton expects tensors on a GPU that Triton compiles for, got one on {values.device}; "
            "use backend='auto'."
        )
    return _TritonScan.apply(coefficients, values, state)


class _TritonScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, values: Tensor, state: Tensor) -> Tensor:
        h = torch.empty(values.shape, dtype=values.dtype, device=values.device)
        launch, precision = Launch.over(*h.shape), computed_in(h.dtype)
        with on_device_of(h):
            _forward[launch.grid](
                coefficients, values, state, h, *h.shape[1:],
                *coefficients.stride(), *values.stride(), *state.stride(),
                PRECISION=precision, **launch.sizes,
            )  # fmt: skip
        ctx.save_for_backward(coefficients, state, h)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coefficients, state, h = ctx.saved_tensors
        of_coefficients, of_values, of_state = torch.empty_like(h), torch.empty_like(h), h.new_empty(state.shape)
        launch, precision = Launch.over(*h.shape), computed_in(h.dtype)
        with on_device_of(h):
            _backward[launch.grid](
                gradient, coefficients, state, h, of_coefficients, of_values, of_state, *h.shape[1:],
                *gradient.stride(), *coefficients.stride(), *state.stride(),
                PRECISION=precision, **launch.sizes,
            )  # fmt: skip
        return of_coefficients, of_values, of_state


@triton.jit
def _forward(
    a_start, b_start, state_start, h_start, time, dim,
    a_row, a_step, a_channel, b_row, b_step, b_channel, state_row, state_channel,
    PRECISION: tl.constexpr, TIME: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside, column = channel < dim, channel[None, :]
    carried = tl.load(state_start + row * state_row + channel * state_channel, inside, 0.0).to(PRECISION)
    for first in range(0, time, TIME):
        t = (first + tl.arange(0, TIME)).to(tl.int64)[:, None]
        here = (t < time) & inside[None, :]
        a = tl.load(a_start + row * a_row + t * a_step + column * a_channel, here, 1.0).to(PRECISION)
        b = tl.load(b_start + row * b_row + t * b_step + column * b_channel, here, 0.0).to(PRECISION)
        h = scanned(a, b, carried)
        tl.store(h_start + (row * time + t) * dim + column, h, here)
        carried = last_row(h, TIME)


@triton.jit
def _backward(
    gradient_start, a_start, state_start, h_start, of_a_start, of_b_start, of_state_start, time, dim,
    gradient_row, gradient_step, gradient_channel, a_row, a_step, a_channel, state_row, state_channel,
    PRECISION: tl.constexpr, TIME: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside, column = channel < dim, channel[None, :]
    state = tl.load(state_start + row * state_row + channel * state_channel, inside, 0.0).to(PRECISION)
    carried = tl.zeros((CHANNELS,), PRECISION)
    for first in range(0, time, TIME):
        # the first row of a tile is its last step
        t = (time - 1 - first - tl.arange(0, TIME)).to(tl.int64)[:, None]
        here = (t >= 0) & inside[None, :]
        gradient = tl.load(
            gradient_start + row * gradient_row + t * gradient_step + column * gradient_channel, here, 0.0
        ).to(PRECISION)
        after = a_start + row * a_row + (t + 1) * a_step + column * a_channel
        keep = tl.load(after, here & (t < time - 1), 1.0).to(PRECISION)
        total = scanned(keep, gradient, carried)
        before = h_start + (row * time + t - 1) * dim + column
        entered = tl.load(before, here & (t > 0), 0.0).to(PRECISION)
        entered = tl.where(t > 0, entered, state[None, :])
        out = (row * time + t) * dim + column
        tl.store(of_a_start + out, total * entered, here)
        tl.store(of_b_start + out, total, here)
        carried = last_row(total, TIME)
    a = tl.load(a_start + row * a_row + channel * a_channel, inside, 0.0).to(PRECISION)
    tl.store(of_state_start + row * dim + channel, a * carried, inside)
