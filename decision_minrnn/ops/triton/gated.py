"""The gates and the recurrence of minGRU and minLSTM as one kernel, and their gradient as another.

The equations are those of `ops.gated`. Only the pre-activations and h are kept for the gradient: the gates are computed
again, which costs less than reading them. h and the gradients are computed in float32 (float64 where the state is),
whatever is read and written.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from decision_minrnn.ops.triton.tiles import Launch, computed_in, last_row, on_device_of, scanned


def triton_gated_scan(
    projected: Float[Tensor, "batch time candidates_and_gates"],
    state: Float[Tensor, "batch size"],
    initial: Float[Tensor, "batch size"],
    reset: Bool[Tensor, "batch time"] | None,
) -> Float[Tensor, "batch time size"]:
    """As `ops.gated.gated_scan`; one gate for each candidate is minGRU's, two are minLSTM's forget and input gate."""
    return _TritonGatedScan.apply(projected, state, initial, reset)


class _TritonGatedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None) -> Tensor:
        (batch, time, _), dim = projected.shape, state.shape[1]
        h = torch.empty(batch, time, dim, dtype=state.dtype, device=state.device)
        launch = Launch.over(*h.shape)
        with on_device_of(h):
            _forward[launch.grid](
                projected, state, initial, *_marks(reset, h), h, *h.shape[1:],
                *projected.stride(), *state.stride(), *initial.stride(),
                **_forms(projected, h, reset), **launch.sizes,
            )  # fmt: skip
        ctx.save_for_backward(projected, state, initial, reset, h)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        projected, state, initial, reset, h = ctx.saved_tensors
        of_projected = torch.empty(projected.shape, dtype=projected.dtype, device=h.device)
        of_state, of_initial = h.new_empty(state.shape), h.new_empty(state.shape)
        launch = Launch.over(*h.shape)
        with on_device_of(h):
            _backward[launch.grid](
                gradient, projected, state, initial, *_marks(reset, h), h, of_projected, of_state, of_initial,
                *h.shape[1:], *gradient.stride(), *projected.stride(), *state.stride(), *initial.stride(),
                **_forms(projected, h, reset), **launch.sizes,
            )  # fmt: skip
        return of_projected, of_state, of_initial, None


def _marks(reset: Tensor | None, placeholder: Tensor) -> tuple[Tensor, int, int]:
    """The marks and their strides; without, a tensor that is not read."""
    return (placeholder, 0, 0) if reset is None else (reset, reset.stride(0), reset.stride(1))


def _forms(projected: Tensor, h: Tensor, reset: Tensor | None) -> dict[str, Any]:
    """What is compiled for."""
    return {
        "GATES": projected.shape[2] // h.shape[2] - 1,
        "RESETS": reset is not None,
        "TINY": torch.finfo(h.dtype if h.dtype == torch.float64 else torch.float32).tiny,
        "PRECISION": computed_in(h.dtype),
    }


@triton.jit
def _opened(gates, here, second_gate, GATES: tl.constexpr, TINY: tl.constexpr, PRECISION: tl.constexpr):
    """The write gate, and the sigmoids that it is made of: z twice for minGRU, f and i for minLSTM."""
    first = tl.sigmoid(tl.load(gates, here, 0.0).to(PRECISION))
    if GATES == 2:
        second = tl.sigmoid(tl.load(gates + second_gate, here, 0.0).to(PRECISION))
        write = second / tl.maximum(first + second, TINY)
    else:
        second = first
        write = first
    return write, first, second


@triton.jit
def _forward(
    projected_start, state_start, initial_start, reset_start, reset_row, reset_step, h_start, time, dim,
    projected_row, projected_step, projected_channel, state_row, state_channel, initial_row, initial_channel,
    GATES: tl.constexpr, RESETS: tl.constexpr, TINY: tl.constexpr, PRECISION: tl.constexpr,
    TIME: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside, column = channel < dim, channel[None, :]
    carried = tl.load(state_start + row * state_row + channel * state_channel, inside, 0.0).to(PRECISION)
    initial = tl.load(initial_start + row * initial_row + channel * initial_channel, inside, 0.0).to(PRECISION)
    for first in range(0, time, TIME):
        t = (first + tl.arange(0, TIME)).to(tl.int64)[:, None]
        here = (t < time) & inside[None, :]
        candidates = projected_start + row * projected_row + t * projected_step + column * projected_channel
        gates = candidates + dim * projected_channel
        candidate = tl.load(candidates, here, 0.0).to(PRECISION)
        value = tl.where(candidate >= 0, candidate + 0.5, tl.sigmoid(candidate))
        write, _, _ = _opened(gates, here, dim * projected_channel, GATES, TINY, PRECISION)
        keep, entering = 1 - write, write * value
        if RESETS:
            marked = tl.load(reset_start + row * reset_row + t * reset_step, t < time, 0) != 0
            entering += tl.where(marked, keep * initial[None, :], 0.0)
            keep = tl.where(marked, 0.0, keep)
        h = scanned(tl.where(here, keep, 1.0), tl.where(here, entering, 0.0), carried)
        tl.store(h_start + (row * time + t) * dim + column, h, here)
        carried = last_row(h, TIME)


@triton.jit
def _backward(
    gradient_start, projected_start, state_start, initial_start, reset_start, reset_row, reset_step, h_start,
    of_projected_start, of_state_start, of_initial_start, time, dim,
    gradient_row, gradient_step, gradient_channel, projected_row, projected_step, projected_channel,
    state_row, state_channel, initial_row, initial_channel,
    GATES: tl.constexpr, RESETS: tl.constexpr, TINY: tl.constexpr, PRECISION: tl.constexpr,
    TIME: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside, column = channel < dim, channel[None, :]
    state = tl.load(state_start + row * state_row + channel * state_channel, inside, 0.0).to(PRECISION)
    initial = tl.load(initial_start + row * initial_row + channel * initial_channel, inside, 0.0).to(PRECISION)
    carried = tl.zeros((CHANNELS,), PRECISION)
    of_initial = tl.zeros((CHANNELS,), PRECISION)
    of_state = tl.zeros((CHANNELS,), PRECISION)
    for first in range(0, time, TIME):
        # the first row of a tile is its last step
        t = (time - 1 - first - tl.arange(0, TIME)).to(tl.int64)[:, None]
        here = (t >= 0) & inside[None, :]
        candidates = projected_start + row * projected_row + t * projected_step + column * projected_channel
        gates = candidates + dim * projected_channel

        gradient_here = gradient_start + row * gradient_row + t * gradient_step + column * gradient_channel
        gradient = tl.load(gradient_here, here, 0.0).to(PRECISION)
        followed = here & (t < time - 1)
        after, _, _ = _opened(
            gates + projected_step, followed, dim * projected_channel, GATES, TINY, PRECISION
        )  # fmt: skip
        reaching = 1 - after
        if RESETS:
            marks = reset_start + row * reset_row + t * reset_step
            dropped = tl.load(marks + reset_step, (t >= 0) & (t < time - 1), 0) != 0
            reaching = tl.where(dropped, 0.0, reaching)
        total = scanned(tl.where(followed, reaching, 1.0), gradient, carried)
        carried = last_row(total, TIME)

        candidate = tl.load(candidates, here, 0.0).to(PRECISION)
        smooth = tl.sigmoid(candidate)
        value = tl.where(candidate >= 0, candidate + 0.5, smooth)
        slope = tl.where(candidate >= 0, 1.0, smooth - smooth * smooth)
        write, opened, second = _opened(gates, here, dim * projected_channel, GATES, TINY, PRECISION)
        before = tl.load(h_start + (row * time + t - 1) * dim + column, here & (t > 0), 0.0).to(PRECISION)
        before = tl.where(t > 0, before, state[None, :])
        kept = tl.where(here, (1 - write) * total, 0.0)
        if RESETS:
            marked = tl.load(marks, t >= 0, 0) != 0
            before = tl.where(marked, initial[None, :], before)
            of_initial += tl.sum(tl.where(marked, kept, 0.0), axis=0)
            kept = tl.where(marked, 0.0, kept)
        of_state += tl.sum(tl.where(t == 0, kept, 0.0), axis=0)

        out = of_projected_start + (row * time + t) * (1 + GATES) * dim + column
        tl.store(out, total * write * slope, here)
        of_logit = total * write * (1 - write) * (value - before)
        if GATES == 1:
            tl.store(out + dim, of_logit, here)
        else:
            tl.store(out + dim, of_logit * (opened - 1), here)
            tl.store(out + 2 * dim, of_logit * (1 - second), here)
    tl.store(of_state_start + row * dim + channel, of_state, inside)
    tl.store(of_initial_start + row * dim + channel, of_initial, inside)
