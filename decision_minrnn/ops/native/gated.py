"""`ops.gated.gated_scan` of minGRU and minLSTM as one kernel in each direction, with equations as there.

Only the pre-activations and h are kept; gates are computed again in the backward pass, which takes less time than
reading them.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from decision_minrnn.ops.native.library import run

LAYERS = {2: "mingru", 3: "minlstm"}
"""By the number of pre-activations for each of the state's."""


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
        projected, state, initial = projected.contiguous(), state.contiguous(), initial.contiguous()
        reset = None if reset is None else reset.contiguous()
        h = state.new_empty(*projected.shape[:2], state.shape[1])
        run(_layer(projected, state), projected.dtype, projected, state, initial, reset, h, *h.shape)
        ctx.save_for_backward(projected, state, initial, reset, h)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        projected, state, initial, _, h = given = ctx.saved_tensors
        found = [torch.empty_like(tensor) for tensor in (projected, state, initial)]
        name = f"{_layer(projected, state)}_backward"
        run(name, projected.dtype, *given, gradient.contiguous(), *found, *h.shape)
        of_projected, of_state, of_initial = found
        return of_projected, of_state, of_initial, None


def _layer(projected: Tensor, state: Tensor) -> str:
    return LAYERS[projected.shape[2] // state.shape[1]]
