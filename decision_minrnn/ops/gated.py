"""The recurrence of minGRU and minLSTM from pre-activations to states, as one operation with its own backward pass.

    v_t = g(c_t),   w_t = write(sigmoid(k_t)),   h_t = h_{t-1} + w_t * (v_t - h_{t-1})

c are the candidates and k the gates of a linear map of the input; g(x) = x + 0.5 for x >= 0, else sigmoid(x). With l_t
the logit of w_t and G_t the gradient of h_t from all that follows, backward:

    G_t = dL/dh_t + (1 - w_{t+1}) * G_{t+1},   dL/dh_0 = (1 - w_1) * G_1
    dL/dc_t = G_t * w_t * g'(c_t),             dL/dl_t = G_t * w_t * (1 - w_t) * (v_t - h_{t-1})

It gives what `linear_scan` gives of the gates, in fewer passes over less memory: only gates, v and h are kept, and what
can be computed step by step is computed for a few rows at a time, while they lie in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

CACHED_NUMBERS = 2**16
"""Numbers of a tensor that are worked on at a time: several such pieces fit into a core's second-level cache."""


class Gate(NamedTuple):
    """How a layer's gates make its write gate."""

    write: Callable[[Tensor], Tensor]
    """w, from the sigmoids of the gates, which lie side by side on the last axis."""
    backward: Callable[[Tensor, Tensor, Tensor], object]
    """From dL/dl and those sigmoids, writes dL/dk into the third tensor."""


def gated_scan(
    projected: Float[Tensor, "batch time candidates_and_gates"],
    state: Float[Tensor, "batch size"],
    initial: Float[Tensor, "batch size"],
    reset: Bool[Tensor, "batch time"] | None,
    gate: Gate,
) -> Float[Tensor, "batch time size"]:
    """h at every step, in the precision of the state. Differentiable in the three tensors.

    Args:
        projected: pre-activations: `size` candidates, then the gates.
        state: h before the first step.
        initial: h before the steps that are marked in `reset`.
        reset: True where the state that enters a step is dropped.
        gate: what the gates are.
    """
    return _GatedScan.apply(projected, state, initial, reset, gate)


class _GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None, gate: Gate
    ) -> Tensor:
        batch, time, size = *projected.shape[:2], state.shape[1]
        values, h = (state.new_empty(batch, time, size) for _ in range(2))
        opened = state.new_empty(batch, time, projected.shape[2] - size)
        for rows in _row_blocks(h):
            candidates, gates = _parted(projected[rows].to(h.dtype), size)
            torch.sigmoid(gates, out=opened[rows])
            torch.add(candidates, 0.5, out=values[rows])
            torch.maximum(values[rows], torch.sigmoid(candidates), out=values[rows])
        write, marks = gate.write(opened), _marks(reset)
        previous = state
        for t, (v, w, out) in enumerate(zip(values.unbind(1), write.unbind(1), h.unbind(1), strict=True)):
            if t in marks:
                previous = torch.where(marks[t], initial, previous)
            torch.lerp(previous, v, w, out=out)
            previous = out
        ctx.save_for_backward(opened, values, write, h, state, initial, reset)
        ctx.gate, ctx.precision = gate, projected.dtype
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        opened, values, write, h, state, initial, reset = ctx.saved_tensors
        size, kept, total, marks = h.shape[2], 1 - write, torch.empty_like(h), _marks(reset)
        of_state, of_initial = torch.zeros_like(state), torch.zeros_like(initial)
        # G at the state, then at each step
        totals, own, keeps = [of_state, *total.unbind(1)], [of_state, *gradient.unbind(1)], kept.unbind(1)
        totals[-1].copy_(own[-1])
        for t in range(h.shape[1] - 1, -1, -1):
            keep = keeps[t]
            if t in marks:
                of_initial.addcmul_(keep.masked_fill(~marks[t], 0.0), totals[t + 1])
                keep = keep.masked_fill(marks[t], 0.0)
            torch.addcmul(own[t], keep, totals[t + 1], out=totals[t])

        of_projected = h.new_empty(*h.shape[:2], size + opened.shape[2], dtype=ctx.precision)
        for rows in _row_blocks(h):
            v, k = values[rows], kept[rows]
            change = torch.empty_like(v)
            torch.sub(v[:, 0], state[rows], out=change[:, 0])
            torch.sub(v[:, 1:], h[rows, :-1], out=change[:, 1:])
            if reset is not None:
                marked = reset[rows]
                change[marked] = (v - initial[rows, None])[marked]
            of_values = total[rows].mul_(write[rows])
            of_block = of_projected[rows].to(h.dtype)
            of_candidates, of_gates = _parted(of_block, size)
            ctx.gate.backward(change.mul_(of_values).mul_(k), opened[rows], of_gates)
            # the slope of g is 1 where v >= 0.5, and elsewhere the sigmoid's: v - v²
            slope = torch.ge(v, 0.5, out=k)
            torch.maximum(slope, torch.addcmul(v, v, v, value=-1, out=change), out=slope)
            torch.mul(of_values, slope, out=of_candidates)
            if of_block.dtype != of_projected.dtype:
                of_projected[rows] = of_block
        return of_projected, of_state, of_initial, None, None


def _row_blocks(h: Tensor) -> Iterator[slice]:
    rows = max(1, CACHED_NUMBERS // h[0].numel()) if h.device.type == "cpu" else len(h)
    return (slice(first, first + rows) for first in range(0, len(h), rows))


def _parted(projected: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The candidates and the gates."""
    return projected[..., :size], projected[..., size:]


def _marks(reset: Tensor | None) -> dict[int, Tensor]:
    """The steps with a mark, and which rows they mark."""
    if reset is None:
        return {}
    return {t: reset[:, t, None] for t in reset.any(dim=0).nonzero().flatten().tolist()}
