"""The feed-forward branch of a block, with its norm, dropout and residual connection, as one operation.

    n = norm(x),   u = relu(n W_u^T + b_u),   y = x + k * (u W_d^T + b_d)

k holds dropout's factors. With G = dL/dy, backward:

    dL/dd = k * G,   dL/du = (dL/dd W_d) where u > 0,   dL/dn = dL/du W_u,   dL/dx = G + dL/dn through the norm

It gives what the modules give one after another, in fewer passes over less memory: u, the largest tensor of a block,
is made once, and its gradient is masked in place. Under autocast the products are of its type, and each weight is
converted once for both directions; norm, dropout and sum stay in the precision of x.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from decision_minrnn.ops import native
from decision_minrnn.ops.dropout import Mask
from decision_minrnn.ops.precision import product_precision


def residual_feed_forward(
    x: Float[Tensor, "*batch width"],
    mask: Mask | None,
    norm: nn.LayerNorm,
    up: nn.Linear,
    down: nn.Linear,
) -> Float[Tensor, "*batch width"]:
    """y. Differentiable in x and the parameters.

    Args:
        x: the residual stream.
        mask: which elements of the branch are kept; None: all.
        norm: over the last axis.
        up: from the width to the inner width.
        down: back to the width.
    """
    if native.takes_branch(x, *up.weight.shape):
        from decision_minrnn.ops.native.branches import native_feed_forward

        return native_feed_forward(x, mask, norm, up, down)
    kept = None if mask is None else mask.factors(x.dtype)
    parameters = (norm.weight, norm.bias, up.weight, up.bias, down.weight, down.bias)
    return _FeedForward.apply(x, kept, norm.eps, *parameters)


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        kept: Tensor | None,
        epsilon: float,
        scale: Tensor,
        shift: Tensor,
        up: Tensor,
        up_bias: Tensor,
        down: Tensor,
        down_bias: Tensor,
    ) -> Tensor:
        precision, rows = product_precision(x), x.reshape(-1, x.shape[-1])
        with torch.autocast(x.device.type, enabled=False):
            normed, mean, deviation = torch.native_layer_norm(rows, scale.shape, scale, shift, epsilon)
            normed, up, down = normed.to(precision), up.to(precision), down.to(precision)
            inner = torch.addmm(up_bias.to(precision), normed, up.t()).relu_()
            branch = torch.addmm(down_bias.to(precision), inner, down.t()).to(x.dtype).view(x.shape)
        ctx.save_for_backward(rows, mean, deviation, scale, shift, normed, inner, up, down, kept)
        return x + branch if kept is None else torch.addcmul(x, branch, kept)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, mean, deviation, scale, shift, normed, inner, up, down, kept = ctx.saved_tensors
        of_branch = (gradient if kept is None else gradient * kept).reshape(rows.shape)
        of_down_bias, of_branch = of_branch.sum(dim=0), of_branch.to(inner.dtype)
        of_down = of_branch.t() @ inner
        of_inner = of_branch @ down
        torch.ops.aten.threshold_backward.grad_input(of_inner, inner, 0, grad_input=of_inner)
        of_up, of_up_bias = of_inner.t() @ normed, of_inner.sum(dim=0)
        of_rows, of_scale, of_shift = torch.ops.aten.native_layer_norm_backward(
            (of_inner @ up).to(rows.dtype), rows, scale.shape, mean, deviation, scale, shift, (True, True, True)
        )
        of_x = of_rows.view(gradient.shape).add_(gradient)
        of_maps = (tensor.to(scale.dtype) for tensor in (of_up, of_up_bias, of_down, of_down_bias))
        return of_x, None, None, of_scale, of_shift, *of_maps
