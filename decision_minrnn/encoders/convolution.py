"""A causal depth-wise convolution over time, as it stands before the recurrence in minGRU's and Mamba's blocks.

y_t = bias + sum_{j < kernel} w_j * x_{t-j},   with x = 0 before the start and before a reset
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import Encoder
from decision_minrnn.types import State


class CausalConvolution(Encoder):
    """Its state is the last `kernel - 1` inputs, oldest first."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(kernel, width).uniform_(-(kernel**-0.5), kernel**-0.5))
        self.bias = nn.Parameter(torch.zeros(width))

    def initial_state(self, batch_size: int) -> State:
        """No inputs yet: zeros."""
        return (self.weight.new_zeros(batch_size, self.kernel - 1, self.weight.shape[1]),)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """One multiply-add a tap; a tap that would reach back over a reset contributes nothing."""
        (cache,) = self.initial_state(len(x)) if state is None else state
        time, reach = x.shape[1], self.kernel - 1
        padded = torch.cat([cache.to(x.dtype), x], dim=1)
        if reset is not None:
            # inputs are of the same episode when as many resets came before the one as before the other
            episode = torch.nn.functional.pad(reset.cumsum(dim=1), (reach, 0))
        y = self.bias.expand_as(x)
        for j in range(self.kernel):
            tap = padded[:, reach - j : reach - j + time]
            if reset is not None and j > 0:
                tap = tap * (episode[:, reach - j : reach - j + time] == episode[:, reach:])[..., None]
            y = y + self.weight[j] * tap
        last = padded[:, time:]
        if reset is not None:
            last = last * (episode[:, time:] == episode[:, -1:])[..., None]
        return y, (last,)

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """The window of the last `kernel` inputs, weighted."""
        window = torch.cat([state[0], x[:, None]], dim=1)
        return self.bias + (window * self.weight.flip(0)).sum(dim=1), (window[:, 1:],)
