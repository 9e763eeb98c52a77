"""minGRU: z = sigmoid(W_z x), h_t = (1 - z) * h_{t-1} + z * g(W_h x)  (arXiv 2410.01201, section 3.1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from decision_minrnn.encoders.base import register_layer
from decision_minrnn.encoders.minimal import MinimalRNN


@register_layer("mingru")
class MinGRU(MinimalRNN):
    """One update gate decides how much of the state is replaced."""

    gates: ClassVar[int] = 1

    def write_gate(self, gates: Float[Tensor, "*batch size"]) -> Float[Tensor, "*batch size"]:
        """z = sigmoid(k)."""
        return torch.sigmoid(gates)
