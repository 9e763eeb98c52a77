"""A branch added to the residual stream: y = x + k * branch, with dropout's factors k."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from decision_minrnn.ops import native
from decision_minrnn.ops.dropout import Mask


def add_branch(
    x: Float[Tensor, "*shape"], branch: Float[Tensor, "*shape"], mask: Mask | None
) -> Float[Tensor, "*shape"]:
    """y, in the higher precision of the two. Without a mask nothing is dropped. Differentiable in both."""
    x = x.to(torch.promote_types(x.dtype, branch.dtype))
    if mask is None:
        return x + branch
    if native.takes(x) and branch.dtype in native.TYPES:
        from decision_minrnn.ops.native.branches import native_add_branch

        return native_add_branch(x, branch, mask)
    return torch.addcmul(x, branch.to(x.dtype), mask.factors(x.dtype))
