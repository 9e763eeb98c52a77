"""The recurrence in log-space, the parallel form of "Were RNNs All We Needed?" (arXiv 2410.01201, appendix B).

    A_t = sum_{s<=t} log a_s,     log h_t = A_t + log( h_0 + sum_{s<=t} b_s exp(-A_s) )        (Heinsen 2023)

The sum is a log-cumsum-exp, so that nothing overflows. It is kept as the paper's reference form: in float32 its error
grows with T, since A_t does, and it costs several times the plain loop.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def log_space_scan(
    coefficients: Float[Tensor, "batch time dim"],
    values: Float[Tensor, "batch time dim"],
    state: Float[Tensor, "batch dim"],
) -> Float[Tensor, "batch time dim"]:
    """h_t = a_t * h_{t-1} + b_t for a, b and h_0 that are not negative; raises `ValueError` otherwise.

    A zero counts as the smallest normal number of the type, and gets no gradient: a reset has a logarithm by that.
    """
    if min(coefficients.min(), values.min(), state.min()) < 0:
        raise ValueError("the log_space backend expects coefficients, values and state >= 0; use another backend.")
    smallest = torch.finfo(values.dtype).tiny
    log_a = coefficients.clamp_min(smallest).log()
    log_b = torch.cat([state[:, None], values], dim=1).clamp_min(smallest).log()
    decay = torch.nn.functional.pad(log_a.cumsum(dim=1), (0, 0, 1, 0))
    return (decay + torch.logcumsumexp(log_b - decay, dim=1)).exp()[:, 1:]
