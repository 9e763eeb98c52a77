"""S6's recurrence and its output, without the states of all steps, which are `modes` times as large as both.

    h_t = exp(-dt_t rates) h_{t-1} + dt_t write_t x_t,   y_t = read_t . h_t

For the gradient the states are computed again, of some channels of one row at a time, as in Mamba (Gu and Dao 2023,
section 3.3.2).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from decision_minrnn.ops.native.library import run


def native_selective_scan(
    dt: Float[Tensor, "batch time width"],
    rates: Float[Tensor, "width modes"],
    write: Float[Tensor, "batch time modes"],
    read: Float[Tensor, "batch time modes"],
    x: Float[Tensor, "batch time width"],
    state: Float[Tensor, "batch width modes"],
    reset: Bool[Tensor, "batch time"] | None,
) -> tuple[Float[Tensor, "batch time width"], Float[Tensor, "batch width modes"]]:
    """y at every step, and the last h; marked steps are entered with zero. Differentiable in all but the marks."""
    return _SelectiveScan.apply(dt, rates, write, read, x, state, reset)


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        dt: Tensor,
        rates: Tensor,
        write: Tensor,
        read: Tensor,
        x: Tensor,
        state: Tensor,
        reset: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        # channels last, so that the kernel computes them side by side
        rates, state = rates.t().contiguous(), state.transpose(1, 2).contiguous()
        dt, write, read, x = (tensor.contiguous() for tensor in (dt, write, read, x))
        reset = None if reset is None else reset.contiguous()
        given = dt, rates, write, read, x, state, reset
        y, last = torch.empty_like(x), torch.empty_like(state)
        run("selective", None, *given, y, last, *x.shape, len(rates))
        ctx.save_for_backward(*given)
        return y, last.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, of_last: Tensor) -> tuple[Tensor | None, ...]:
        dt, rates, write, read, x, state, _ = given = ctx.saved_tensors
        of_last = of_last.transpose(1, 2).contiguous()
        of_dt, of_x, of_write, of_read = (torch.zeros_like(tensor) for tensor in (dt, x, write, read))
        of_rates, of_state = torch.empty_like(state), torch.empty_like(state)  # of each row by itself
        found = of_dt, of_rates, of_write, of_read, of_x, of_state
        run("selective_backward", None, *given, gradient.contiguous(), of_last, *found, *x.shape, len(rates))
        return of_dt, of_rates.sum(dim=0).t(), of_write, of_read, of_x, of_state.transpose(1, 2), None
