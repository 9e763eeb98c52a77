"""`ops.residual.add_branch` and `ops.feed_forward.residual_feed_forward` by compiled kernels, with equations as there.

Everything in the precision of the residual stream, float32; matrix products and what is kept of them in that of the
branch, which under autocast is bfloat16. Biases are added in float32, and their gradients are sums in it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from decision_minrnn.ops.dropout import Mask
from decision_minrnn.ops.native.gated import Residual, Scanned, scan, scan_backward
from decision_minrnn.ops.native.library import run

BLOCK = 64
"""Rows whose sums are taken together: that of the kernels."""

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
        return _add_branch(x, branch, None, drawn, dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (drawn,) = ctx.saved_tensors
        of_branch, _ = _of_branch(gradient.contiguous(), drawn, ctx.dropped, ctx.precision)
        return gradient, of_branch, None, None


def native_gated_branch(
    x: Float[Tensor, "batch time width"],
    mask: Mask | None,
    norm: nn.LayerNorm,
    project_in: nn.Linear,
    state: Float[Tensor, "batch width"],
    initial: Float[Tensor, "batch width"],
    reset: Bool[Tensor, "batch time"] | None,
) -> tuple[Float[Tensor, "batch time width"], Float[Tensor, "batch width"]]:
    """x + k * h, h = gated_scan(project_in(norm(x))), and the last h."""
    parameters = norm.weight, norm.bias, project_in.weight, project_in.bias
    return _GatedBranch.apply(x, *(mask or _ALL_KEPT), norm.eps, *parameters, state, initial, reset)


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
        state: Tensor,
        initial: Tensor,
        reset: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        normed = _normalize(x, scale, shift, epsilon)
        weight = weight.to(normed.out.dtype)
        projected = (normed.out @ weight.t()).view(*x.shape[:2], -1)
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        scanned = scan(projected, bias, state, initial, reset, Residual(x.contiguous(), drawn, dropped, y))
        ctx.save_for_backward(*normed, weight, drawn, *scanned)
        ctx.dropped = dropped
        return y, scanned.h[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, of_last: Tensor) -> tuple[Tensor | None, ...]:
        count = len(Normed._fields)
        normed, (weight, drawn) = Normed(*ctx.saved_tensors[:count]), ctx.saved_tensors[count : count + 2]
        scanned, gradient = Scanned(*ctx.saved_tensors[count + 2 :]), gradient.contiguous()
        of_projected, of_bias, of_state, of_initial = scan_backward(scanned, gradient, drawn, ctx.dropped, of_last)
        of_projected = of_projected.flatten(0, 1)
        of_x, of_scale, of_shift = _normalize_backward(normed, of_projected @ weight, gradient)
        of_weight, of_bias = (of_projected.t() @ normed.out).float(), of_bias.sum(dim=0)
        return of_x, None, None, None, of_scale, of_shift, of_weight, of_bias, of_state, of_initial, None


def native_feed_forward(
    x: Float[Tensor, "*batch width"],
    mask: Mask | None,
    norm: nn.LayerNorm,
    up: nn.Linear,
    down: nn.Linear,
) -> Float[Tensor, "*batch width"]:
    """x + k * down(relu(up(norm(x))))."""
    parameters = (norm.weight, norm.bias, up.weight, up.bias, down.weight, down.bias)
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
        normed = _normalize(x, scale, shift, epsilon)
        precision = normed.out.dtype
        up, down = up.to(precision), down.to(precision)
        inner = normed.out @ up.t()
        run("rectify", precision, inner, up_bias, *inner.shape)
        ctx.save_for_backward(*normed, inner, up, down, drawn)
        ctx.dropped = dropped
        return _add_branch(x, inner @ down.t(), down_bias, drawn, dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *kept, inner, up, down, drawn = ctx.saved_tensors
        normed, gradient = Normed(*kept), gradient.contiguous()
        of_branch, of_down_bias = _of_branch(gradient, drawn, ctx.dropped, inner.dtype)
        of_branch = of_branch.view(len(inner), -1)
        of_down, of_inner, of_up_bias = of_branch.t() @ inner, of_branch @ down, _sums(inner)
        run("rectify_backward", inner.dtype, of_inner, inner, of_up_bias, *inner.shape)
        of_x, of_scale, of_shift = _normalize_backward(normed, of_inner @ up, gradient)
        of_weights = (
            (of_inner.t() @ normed.out).float(),
            of_up_bias.sum(dim=0),
            of_down.float(),
            of_down_bias.sum(dim=0),
        )
        return of_x, None, None, None, of_scale, of_shift, *of_weights


class Normed(NamedTuple):
    """A norm's output, in rows, and what its gradient needs."""

    out: Float[Tensor, "rows width"]
    x: Float[Tensor, "rows width"]
    mean: Float[Tensor, " rows"]
    deviation: Float[Tensor, " rows"]
    """One by the standard deviation."""
    scale: Float[Tensor, " width"]


def _normalize(x: Tensor, scale: Tensor, shift: Tensor, epsilon: float) -> Normed:
    """The norm over the last axis, in the precision of matrix products."""
    precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    mean, deviation = rows.new_empty(len(rows)), rows.new_empty(len(rows))
    out = torch.empty_like(rows, dtype=precision)
    run("normalize", precision, rows, scale, shift, epsilon, out, mean, deviation, *rows.shape)
    return Normed(out, rows, mean, deviation, scale)


def _normalize_backward(normed: Normed, gradient: Tensor, beside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of a stream that is normed, and goes on `beside` it; and those of scale and shift."""
    of_x, of_both = torch.empty_like(beside), _sums(normed.x, 2)
    _, *others = normed
    run("normalize_backward", gradient.dtype, gradient, *others, beside, of_x, of_both, *normed.x.shape)
    return of_x, *of_both.sum(dim=0)


def _add_branch(x: Tensor, branch: Tensor, bias: Tensor | None, drawn: Tensor | None, dropped: int) -> Tensor:
    """x + k * (branch + bias)."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    columns = x.shape[-1]
    run(
        "add_branch", branch.dtype,
        x.contiguous(), branch.contiguous(), bias, drawn, dropped, y, x.numel() // columns, columns,
    )  # fmt: skip
    return y


def _of_branch(gradient: Tensor, drawn: Tensor | None, dropped: int, precision: torch.dtype) -> tuple[Tensor, Tensor]:
    """The gradient of a branch, and its sums over blocks of rows."""
    of_branch, sums = torch.empty_like(gradient, dtype=precision), _sums(gradient)
    columns = gradient.shape[-1]
    shape = gradient.numel() // columns, columns
    run("add_branch_backward", precision, gradient, drawn, dropped, of_branch, sums, *shape)
    return of_branch, sums


def _sums(rows: Tensor, count: int = 1) -> Tensor:
    """Memory for so many sums over each block of rows: [blocks, columns], or [blocks, count, columns]."""
    columns = rows.shape[-1]
    blocks = -(-rows.numel() // columns // BLOCK)
    return rows.new_empty((blocks, columns) if count == 1 else (blocks, count, columns), dtype=torch.float32)
