"""`ops.residual.add_branch`, `ops.feed_forward.residual_feed_forward` and a block's minGRU or minLSTM, each compiled.

With equations as there. Everything in the precision of the residual stream, float32; matrix products of numbers in that
of the branch, which under autocast is bfloat16, with sums in float32. Between the directions a branch keeps its input,
the norm's two numbers of each row, and what its first product gave.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from decision_minrnn.ops.dropout import Mask
from decision_minrnn.ops.native.gated import LAYERS
from decision_minrnn.ops.native.library import run
from decision_minrnn.ops.precision import product_precision

_ALL_KEPT = (None, 0)


def native_add_branch(
    x: Float[Tensor, "*shape"], branch: Float[Tensor, "*shape"], mask: Mask
) -> Float[Tensor, "*shape"]:
    """x + k * branch."""
    return _AddBranch.apply(x, branch, *mask)


class _AddBranch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, branch: Tensor, drawn: Tensor, dropped: int) -> Tensor:
        ctx.save_for_backward(drawn)
        ctx.dropped, ctx.precision = dropped, branch.dtype
        x, branch = x.contiguous(), branch.contiguous()
        y = torch.empty_like(x)
        run("add_branch", branch.dtype, x, branch, drawn, dropped, y, x.numel())
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (drawn,), gradient = ctx.saved_tensors, gradient.contiguous()
        of_branch = torch.empty_like(gradient, dtype=ctx.precision)
        run("add_branch_backward", ctx.precision, gradient, drawn, ctx.dropped, of_branch, gradient.numel())
        return gradient, of_branch, None, None


def native_gated_branch(
    x: Float[Tensor, "batch time width"],
    mask: Mask | None,
    norm: nn.LayerNorm,
    project_in: nn.Linear,
    initial: Float[Tensor, " width"],
    state: Float[Tensor, "batch width"] | None,
    reset: Bool[Tensor, "batch time"] | None,
) -> tuple[Float[Tensor, "batch time width"], Float[Tensor, "batch width"]]:
    """x + k * h, h = gated_scan(project_in(norm(x))) from a state, or from g(initial); and the last h."""
    parameters = norm.weight, norm.bias, project_in.weight, project_in.bias, initial
    return _GatedBranch.apply(x, *(mask or _ALL_KEPT), norm.eps, *parameters, state, reset)


class _GatedBranch(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        drawn: Tensor | None,
        dropped: int,
        epsilon: float,
        scale: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
        initial: Tensor,
        state: Tensor | None,
        reset: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        x, parameters = x.contiguous(), (weight.contiguous(), bias, initial)
        state, reset = (None if tensor is None else tensor.contiguous() for tensor in (state, reset))
        mean, deviation, projected = _found(x, len(weight))
        h, y = torch.empty_like(x), torch.empty_like(x)
        ctx.name, ctx.dropped = f"{LAYERS[len(weight) // len(initial)]}_branch", dropped
        run(
            ctx.name, projected.dtype,
            x, scale, shift, epsilon, *parameters, state, reset, drawn, dropped, mean, deviation, projected, h, y,
            *x.shape,
        )  # fmt: skip
        ctx.save_for_backward(x, scale, shift, *parameters, state, reset, drawn, mean, deviation, projected, h)
        return y, h[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, of_last: Tensor | None) -> tuple[Tensor | None, ...]:
        *given, mean, deviation, projected, h = ctx.saved_tensors
        x, *parameters, state, _, _ = given
        gradient = torch.zeros_like(x) if gradient is None else gradient.contiguous()
        of_last = None if of_last is None else of_last.contiguous()
        of_projected, of_state = torch.empty_like(projected), None if state is None else torch.empty_like(state)
        of_x, *of_parameters = (torch.empty_like(tensor) for tensor in (x, *parameters))
        run(
            f"{ctx.name}_backward", projected.dtype,
            gradient, of_last, *given, ctx.dropped, mean, deviation, projected, h,
            of_projected, of_x, *of_parameters, of_state, *x.shape,
        )  # fmt: skip
        return of_x, None, None, None, *of_parameters, of_state, None


def native_feed_forward(
    x: Float[Tensor, "*batch width"],
    mask: Mask | None,
    norm: nn.LayerNorm,
    up: nn.Linear,
    down: nn.Linear,
) -> Float[Tensor, "*batch width"]:
    """x + k * down(relu(up(norm(x))))."""
    parameters = norm.weight, norm.bias, up.weight, up.bias, down.weight, down.bias
    return _FeedForward.apply(x, *(mask or _ALL_KEPT), norm.eps, *parameters)


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        drawn: Tensor | None,
        dropped: int,
        epsilon: float,
        scale: Tensor,
        shift: Tensor,
        up: Tensor,
        up_bias: Tensor,
        down: Tensor,
        down_bias: Tensor,
    ) -> Tensor:
        x, y = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
        parameters = up.contiguous(), up_bias, down.contiguous(), down_bias
        shape = x.numel() // x.shape[-1], x.shape[-1], len(up)
        mean, deviation, inner = _found(x, len(up))
        run(
            "feed_forward", inner.dtype,
            x, scale, shift, epsilon, *parameters, drawn, dropped, mean, deviation, inner, y, *shape,
        )  # fmt: skip
        ctx.save_for_backward(x, scale, shift, *parameters, drawn, mean, deviation, inner)
        ctx.dropped, ctx.shape = dropped, shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *given, drawn, mean, deviation, inner = ctx.saved_tensors
        of_x, *of_parameters = (torch.empty_like(tensor) for tensor in given)
        run(
            "feed_forward_backward", inner.dtype,
            gradient.contiguous(), *given, drawn, ctx.dropped, mean, deviation, inner, of_x, *of_parameters, *ctx.shape,
        )  # fmt: skip
        return of_x, None, None, None, *of_parameters


def _found(x: Tensor, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for the mean of each row, one by its deviation, and the first product."""
    rows = x.numel() // x.shape[-1]
    return x.new_empty(rows), x.new_empty(rows), x.new_empty(rows, columns, dtype=product_precision(x))
