"""A layer without memory: each step by itself, as in behaviour cloning with a multi-layer perceptron.

Beside the encoders that remember, it says what memory is worth. With `--no-return-conditioning` it is behaviour cloning
(BC), and with `--top-percent 10` its usual filtered form (10 %BC; Chen et al. 2021, section 5.1).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import Encoder, register_layer
from decision_minrnn.types import State


@register_layer("mlp")
class MLP(Encoder):
    """down(relu(up(x))) at each step."""

    remembers: ClassVar[bool] = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)

    def initial_state(self, batch_size: int) -> State:
        """None."""
        return ()

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """Each step by itself."""
        return self.down(torch.relu(self.up(x))), ()

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """The same."""
        return self.forward(x)
