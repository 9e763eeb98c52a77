"""The recurrence of minGRU and minLSTM from pre-activations to states, as one operation with its own backward pass.

    v_t = g(c_t),   w_t = write(sigmoid(k_t)),   h_t = h_{t-1} + w_t * (v_t - h_{t-1})

c are the candidates and k the gates of a linear map of the input; g(x) = x + 0.5 for x >= 0, else sigmoid(x). With l_t
the logit of w_t and G_t the gradient of h_t from all that follows, backward:

    G_t = dL/dh_t + (1 - w_{t+1}) * G_{t+1},   dL/dh_0 = (1 - w_1) * G_1
    dL/dc_t = G_t * w_t * g'(c_t),             dL/dl_t = G_t * w_t * (1 - w_t) * (v_t - h_{t-1})

It gives what `linear_scan` gives of the gates, in fewer passes over less memory: only gates, v and h are kept, and the
gradient of c and k is written into one tensor. It is one kernel on a GPU (`ops.triton.gated`), and on a CPU with a
compiler (`ops.native.gated`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from decision_minrnn.ops import native, triton
from decision_minrnn.ops.recurrence import in_pieces, recurrence, reversed_recurrence


class Gate(NamedTuple):
    """How a layer's gates make its write gate."""

    write: Callable[[Tensor], Tensor]
    """w, from the sigmoids of the gates, which lie side by side on the last axis."""
    backward: Callable[[Tensor, Tensor, Tensor], object]
    """From dL/dl and those sigmoids, writes dL/dk into the third tensor."""
    has_kernel: bool = False
    """Whether `ops.triton.gated` and `ops.native.gated` compute it, which know minGRU's one gate and minLSTM's two."""


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
    if gate.has_kernel and native.takes(state) and projected.dtype in native.TYPES:
        from decision_minrnn.ops.native.gated import native_gated_scan

        return native_gated_scan(projected, state, initial, reset)
    return _GatedScan.apply(projected, state, initial, reset, gate)


class _GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None, gate: Gate
    ) -> Tensor:
        candidates, gates = projected.to(state.dtype).tensor_split([state.shape[1]], dim=-1)
        values = candidates + 0.5
        torch.maximum(values, torch.sigmoid(candidates), out=values)
        opened = torch.sigmoid(gates)
        write = gate.write(opened)
        run = _in_pieces if in_pieces(values) else _step_by_step
        h = run(values, write, state, initial, reset)
        ctx.save_for_backward(opened, values, write, h, state, initial, reset)
        ctx.gate, ctx.precision = gate, projected.dtype
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        opened, values, write, h, state, initial, reset = ctx.saved_tensors
        kept = 1 - write
        carried = kept if reset is None else kept.masked_fill(reset[..., None], 0.0)
        total = reversed_recurrence(carried, gradient)
        of_state = carried[:, 0] * total[:, 0]
        change = torch.empty_like(h)
        torch.sub(values[:, 0], state, out=change[:, 0])
        torch.sub(values[:, 1:], h[:, :-1], out=change[:, 1:])
        of_initial = torch.zeros_like(initial)
        if reset is not None:
            rows, steps = reset.nonzero(as_tuple=True)
            of_initial.index_add_(0, rows, kept[rows, steps] * total[rows, steps])
            change[rows, steps] = values[rows, steps] - initial[rows]
        of_values = total.mul_(write)
        of_projected = h.new_empty(*h.shape[:2], h.shape[2] + opened.shape[2])
        of_candidates, of_gates = of_projected.tensor_split([h.shape[2]], dim=-1)
        ctx.gate.backward(change.mul_(of_values).mul_(kept), opened, of_gates)
        # the slope of g is 1 where v >= 0.5, and elsewhere the sigmoid's: v - v²
        slope = torch.ge(values, 0.5, out=kept)
        torch.maximum(slope, torch.addcmul(values, values, values, value=-1, out=change), out=slope)
        torch.mul(of_values, slope, out=of_candidates)
        return of_projected.to(ctx.precision), of_state, of_initial, None, None


def _step_by_step(values: Tensor, write: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None) -> Tensor:
    """h, by one interpolation a step."""
    marked = set() if reset is None else set(reset.any(dim=0).nonzero().flatten().tolist())
    h = torch.empty_like(values)
    for t, (v, w, out) in enumerate(zip(values.unbind(1), write.unbind(1), h.unbind(1), strict=True)):
        if reset is not None and t in marked:
            state = torch.where(reset[:, t, None], initial, state)
        state = torch.lerp(state, v, w, out=out)
    return h


def _in_pieces(values: Tensor, write: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None) -> Tensor:
    """h, as a linear recurrence; a step with a mark is entered with nothing, and has the initial state added."""
    kept, added = 1 - write, write * values
    if reset is not None:
        rows, steps = reset.nonzero(as_tuple=True)
        added[rows, steps] += kept[rows, steps] * initial[rows]
        kept[rows, steps] = 0
    return recurrence(kept, added, state)
