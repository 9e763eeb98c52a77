"""`ops.gated.gated_scan` of minGRU and minLSTM as one kernel in each direction, with equations as there.

Only the pre-activations and h are kept; gates are computed again in the backward pass, which takes less time than
reading them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.autograd.function import once_differentiable

from decision_minrnn.ops.native.library import run

_LAYERS = {2: "mingru", 3: "minlstm"}
"""By the number of pre-activations for each of the state's."""


class Scanned(NamedTuple):
    """What a scan was given, each tensor contiguous, and what it gave."""

    projected: Float[Tensor, "batch time candidates_and_gates"]
    bias: Float[Tensor, " candidates_and_gates"]
    """Added to the pre-activations."""
    state: Float[Tensor, "batch size"]
    initial: Float[Tensor, "batch size"]
    reset: Bool[Tensor, "batch time"] | None
    h: Float[Tensor, "batch time size"]


class Residual(NamedTuple):
    """What h is added to, if anything."""

    x: Float[Tensor, "batch time size"]
    drawn: UInt8[Tensor, "batch time size"] | None
    dropped: int
    y: Float[Tensor, "batch time size"]
    """Filled with x + k * h."""


def scan(
    projected: Tensor,
    bias: Tensor,
    state: Tensor,
    initial: Tensor,
    reset: Tensor | None,
    residual: Residual | None = None,
) -> Scanned:
    """h at every step, added to a residual stream if there is one."""
    (batch, time, _), size = projected.shape, state.shape[1]
    h = state.new_empty(batch, time, size)
    reset = None if reset is None else reset.contiguous()
    scanned = Scanned(projected.contiguous(), bias, state.contiguous(), initial.contiguous(), reset, h)
    run(_layer(scanned), projected.dtype, *scanned, *(residual or (None, None, 0, None)), *h.shape)
    return scanned


def scan_backward(
    scanned: Scanned, gradient: Tensor, drawn: Tensor | None = None, dropped: int = 0, of_last: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of the pre-activations, the bias (of each row), the state and the initial state.

    From that of h, by k where h was added to a residual stream; and from that of the last h by itself.
    """
    projected, state = scanned.projected, scanned.state
    of_bias = state.new_empty(len(state), projected.shape[2])
    found = torch.empty_like(projected), of_bias, torch.empty_like(state), torch.empty_like(state)
    of_last = None if of_last is None else of_last.contiguous()
    arguments = *scanned, gradient, drawn, dropped, of_last, *found
    run(f"{_layer(scanned)}_backward", projected.dtype, *arguments, *scanned.h.shape)
    return found


def _layer(scanned: Scanned) -> str:
    return _LAYERS[scanned.projected.shape[2] // scanned.state.shape[1]]


def native_gated_scan(
    projected: Float[Tensor, "batch time candidates_and_gates"],
    state: Float[Tensor, "batch size"],
    initial: Float[Tensor, "batch size"],
    reset: Bool[Tensor, "batch time"] | None,
) -> Float[Tensor, "batch time size"]:
    """h at every step, as `gated_scan` gives it: of minGRU with one gate, of minLSTM with two."""
    return _GatedScan.apply(projected, state, initial, reset)


class _GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None) -> Tensor:
        scanned = scan(projected, state.new_zeros(projected.shape[2]), state, initial, reset)
        ctx.save_for_backward(*scanned)
        return scanned.h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        of_projected, _, of_state, of_initial = scan_backward(Scanned(*ctx.saved_tensors), gradient.contiguous())
        return of_projected, of_state, of_initial, None
