"""minLSTM: f, i = sigmoid(W_f x), sigmoid(W_i x); f' = f / (f + i), i' = i / (f + i);

h_t = f' * h_{t-1} + i' * g(W_h x)  (arXiv 2410.01201, section 3.2). There is no cell state, output gate or tanh.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from decision_minrnn.encoders.base import register_layer
from decision_minrnn.encoders.minimal import MinimalRNN


@register_layer("minlstm")
class MinLSTM(MinimalRNN):
    """A forget and an input gate, normalised so that they sum to one."""

    gates: ClassVar[int] = 2

    def __init__(self, width: int, *, expansion: float = 1.0, scan: str = "auto", forget_bias: float = 3.0) -> None:
        """As `MinimalRNN`; `forget_bias` is where the forget gate's bias starts (3 in the authors' code)."""
        super().__init__(width, expansion=expansion, scan=scan)
        size = self.initial.numel()
        nn.init.constant_(self.project_in.bias[size : 2 * size], forget_bias)

    def write_gate(self, gates: Float[Tensor, "*batch gates_size"]) -> Float[Tensor, "*batch size"]:
        """i' = i / (f + i) = sigmoid(softplus(-f) - softplus(-i)) of the pre-activations (appendix B.3)."""
        forget, write = gates.chunk(2, dim=-1)
        return torch.sigmoid(softplus(-forget) - softplus(-write))
