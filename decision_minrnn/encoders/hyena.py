"""Hyena's long convolution: a causal filter that a small network writes (Poli et al. 2023, "Hyena Hierarchy", 3.2).

    y_t = sum_{j < context} f_j * x_{t-j} + D x_t,      f_j = exp(-rate j / context) * network(j)

`network` sees sines and cosines of the distance j. The filter ends after `context` tokens, so that a cache of as many
inputs is all that a step needs. Its gates and short convolutions are those of the block around it (`--encoder-options
style=h3` is Hyena of order two).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import Step, register_layer
from decision_minrnn.encoders.forgetting import Forgetting
from decision_minrnn.encoders.segments import Segmented
from decision_minrnn.errors import ConfigError
from decision_minrnn.ops.convolution import long_convolution
from decision_minrnn.types import State

FEATURES = 8
"""Sines and as many cosines of a distance."""


@register_layer("hyena")
class HyenaFilter(Segmented):
    """Its state is the last `context - 1` inputs, oldest first."""

    def __init__(self, width: int, *, context: int = 64, hidden: int = 32) -> None:
        """`hidden` is the width of the network that writes the filter."""
        super().__init__()
        if context < 2 or hidden < 1:
            raise ConfigError(
                "encoder hyena expects options context of at least 2 tokens and hidden of at least 1, "
                f"got context={context} hidden={hidden}."
            )
        self.context = context
        self.forgetting = Forgetting("hyena", context)
        self.network = nn.Sequential(nn.Linear(2 * FEATURES, hidden), nn.GELU(), nn.Linear(hidden, width, bias=False))
        self.rate = nn.Parameter(torch.linspace(1.0, 8.0, width))
        self.skip = nn.Parameter(torch.ones(width))
        places = torch.arange(context, dtype=torch.float32)[:, None] / context
        angles = 2 * math.pi * places * torch.arange(1, FEATURES + 1)
        self.register_buffer("places", places)
        self.register_buffer("features", torch.cat([angles.sin(), angles.cos()], dim=1))

    def initial_state(self, batch_size: int) -> State:
        """No inputs yet: zeros."""
        return (self.skip.new_zeros(batch_size, self.context - 1, len(self.skip)),)

    def run(
        self, x: Float[Tensor, "batch time width"], state: State
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """One convolution over the cache and the new inputs."""
        return self._filtered(x, state, self.filter())

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """The filter at one place."""
        return self.stepper()(x, state)

    def stepper(self, rows: int | None = None) -> Step:
        """The same, with the filter written once."""
        kernel = self.filter()

        def step(x: Tensor, state: State) -> tuple[Tensor, State]:
            y, state = self._filtered(x[:, None], state, kernel)
            return y[:, 0], state

        return step

    def _filtered(self, x: Tensor, state: State, kernel: Tensor) -> tuple[Tensor, State]:
        self.forgetting.sequence(x.shape[1])
        if x.shape[1] == 1:
            self.forgetting.leaves(state[0][:, 0])
        inputs = torch.cat([state[0].to(x.dtype), x], dim=1)
        return long_convolution(inputs, kernel) + self.skip * x, (inputs[:, x.shape[1] :],)

    def filter(self) -> Float[Tensor, "context width"]:
        """f, from the nearest input to the farthest."""
        decay = torch.exp(-self.rate.abs() * self.get_buffer("places"))
        return self.network(self.get_buffer("features")) * decay / self.context**0.5
