"""Aaren: attention with a learned query, as a recurrence (Feng et al. 2024, "Attention as an RNN", section 3.2).

Each head's query q is a parameter, so that the softmax over everything so far has a numerator and a denominator that
are linear recurrences; the largest score so far keeps their exponentials from overflowing:

    s_t = q . k_t,   m_t = max(m_{t-1}, s_t),   d_t = exp(m_{t-1} - m_t)
    u_t = d_t u_{t-1} + exp(s_t - m_t),   w_t = d_t w_{t-1} + exp(s_t - m_t) v_t,   y_t = w_t / u_t
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import register_layer
from decision_minrnn.encoders.heads import head_size
from decision_minrnn.encoders.segments import Segmented
from decision_minrnn.ops import linear_scan
from decision_minrnn.types import State

LOWEST = -1e30
"""Below every score; finite, so that a difference of two is a number."""


@register_layer("aaren")
class Aaren(Segmented):
    """Its state is m, u and w of each head."""

    def __init__(self, width: int, *, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.size = heads, head_size(width, heads)
        self.query = nn.Parameter(torch.randn(heads, self.size))
        self.project_in = nn.Linear(width, 2 * width)
        self.project_out = nn.Linear(width, width)

    def initial_state(self, batch_size: int) -> State:
        """Nothing seen."""
        of_heads = self.query.new_zeros(batch_size, self.heads)
        return of_heads + LOWEST, of_heads, self.query.new_zeros(batch_size, self.heads * self.size)

    def run(
        self, x: Float[Tensor, "batch time width"], state: State
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """The two recurrences by one `linear_scan`."""
        largest_before, denominator, numerator = state
        projected = self.project_in(x)
        if projected.dtype.itemsize < 4:
            projected = projected.float()
        keys, values = (part.unflatten(-1, (self.heads, self.size)) for part in projected.chunk(2, dim=-1))
        scores = (keys * self.query).sum(dim=-1) * self.size**-0.5
        # y does not depend on m, so no gradient needs to pass through it
        largest = torch.maximum(scores.detach().cummax(dim=1).values, largest_before.detach()[:, None])
        before = torch.cat([largest_before.detach()[:, None], largest[:, :-1]], dim=1)
        decay, weight = torch.exp(before - largest)[..., None], torch.exp(scores - largest)[..., None]
        entering = torch.cat([weight, weight * values], dim=-1)
        carried = torch.cat([denominator[..., None], numerator.unflatten(-1, (self.heads, self.size))], dim=-1)
        h, last = linear_scan(decay.expand_as(entering).flatten(2), entering.flatten(2), carried.flatten(1))
        sums, final = (part.unflatten(-1, (self.heads, 1 + self.size)) for part in (h, last))
        y = self.project_out((sums[..., 1:] / sums[..., :1]).flatten(2).to(x.dtype))
        return y, (largest[:, -1], final[..., 0], final[..., 1:].flatten(1))

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """The equations above, once."""
        largest_before, denominator, numerator = state
        keys, values = (part.unflatten(-1, (self.heads, self.size)) for part in self.project_in(x).chunk(2, dim=-1))
        scores = (keys * self.query).sum(dim=-1) * self.size**-0.5
        before = largest_before.detach()
        largest = torch.maximum(scores.detach(), before)
        decay, weight = torch.exp(before - largest), torch.exp(scores - largest)
        denominator = decay * denominator + weight
        weighted = decay[..., None] * numerator.unflatten(-1, (self.heads, self.size)) + weight[..., None] * values
        y = self.project_out((weighted / denominator[..., None]).flatten(1))
        return y, (largest, denominator, weighted.flatten(1))
