"""The recurrence of minGRU and minLSTM from pre-activations to states, as one operation with its own backward pass.

    v_t = g(c_t),   w_t = write(sigmoid(k_t)),   h_t = h_{t-1} + w_t * (v_t - h_{t-1})

c are the candidates and k the gates of a linear map of the input; g(x) = x + 0.5 for x >= 0, else sigmoid(x). With l_t
the logit of w_t and G_t the gradient of h_t from all that follows, backward:

    G_t = dL/dh_t + (1 - w_{t+1}) * G_{t+1},   dL/dh_0 = (1 - w_1) * G_1
    dL/dc_t = G_t * w_t * g'(c_t),             dL/dl_t = G_t * w_t * (1 - w_t) * (v_t - h_{t-1})

It gives what `linear_scan` gives of the gates, in fewer passes over less memory: only gates, v and h are kept, and the
gradient of c and k is written into one tensor. On a GPU it is one kernel (`ops.triton.gated`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from decision_minrnn.ops import triton


class Gate(NamedTuple):
    """How a layer's gates make its write gate."""

    write: Callable[[Tensor], Tensor]
    """w, from the sigmoids of the gates, which lie side by side on the last axis."""
    backward: Callable[[Tensor, Tensor, Tensor], object]
    """From dL/dl and those sigmoids, writes dL/dk into the third tensor."""
    has_kernel: bool = False
    """Whether `ops.triton.gated` computes it, which knows minGRU's one gate and minLSTM's two."""


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
    if gate.has_kernel and triton.takes(state):
        from decision_minrnn.ops.triton.gated import triton_gated_scan

        return triton_gated_scan(projected, state, initial, reset)
    return _GatedScan.apply(projected, state, initial, reset, gate)


class _GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None, gate: Gate
    ) -> Tensor:
        candidates, gates = _parted(projected.to(state.dtype), state.shape[1])
        values = candidates + 0.5
        torch.maximum(values, torch.sigmoid(candidates), out=values)
        opened = torch.sigmoid(gates)
        write, marks, h = gate.write(opened), _marks(reset), torch.empty_like(values)
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
        kept, total, marks = 1 - write, gradient.clone(memory_format=torch.contiguous_format), _marks(reset)
        of_state, of_initial = torch.zeros_like(state), torch.zeros_like(initial)
        # G at the state, then at each step
        totals, keeps = [of_state, *total.unbind(1)], kept.unbind(1)
        for t in range(h.shape[1] - 1, -1, -1):
            keep = keeps[t]
            if t in marks:
                of_initial.addcmul_(keep.masked_fill(~marks[t], 0.0), totals[t + 1])
                keep = keep.masked_fill(marks[t], 0.0)
            totals[t].addcmul_(keep, totals[t + 1])

        change = torch.empty_like(h)
        torch.sub(values[:, 0], state, out=change[:, 0])
        torch.sub(values[:, 1:], h[:, :-1], out=change[:, 1:])
        if reset is not None:
            change[reset] = (values - initial[:, None])[reset]
        of_values = total.mul_(write)
        of_projected = h.new_empty(*h.shape[:2], h.shape[2] + opened.shape[2])
        of_candidates, of_gates = _parted(of_projected, h.shape[2])
        ctx.gate.backward(change.mul_(of_values).mul_(kept), opened, of_gates)
        # the slope of g is 1 where v >= 0.5, and elsewhere the sigmoid's: v - v²
        slope = torch.ge(values, 0.5, out=kept)
        torch.maximum(slope, torch.addcmul(values, values, values, value=-1, out=change), out=slope)
        torch.mul(of_values, slope, out=of_candidates)
        return of_projected.to(ctx.precision), of_state, of_initial, None, None


def _parted(projected: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The candidates and the gates."""
    return projected[..., :size], projected[..., size:]


def _marks(reset: Tensor | None) -> dict[int, Tensor]:
    """The steps with a mark, and which rows they mark."""
    if reset is None:
        return {}
    return {t: reset[:, t, None] for t in reset.any(dim=0).nonzero().flatten().tolist()}
