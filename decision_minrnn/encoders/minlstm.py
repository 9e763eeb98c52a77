"""minLSTM: f, i = sigmoid(W_f x), sigmoid(W_i x); f' = f / (f + i), i' = i / (f + i);

h_t = f' * h_{t-1} + i' * g(W_h x)  (arXiv 2410.01201, section 3.2). There is no cell state, output gate or tanh.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from decision_minrnn.encoders.base import register_layer
from decision_minrnn.encoders.minimal import MinimalRNN
from decision_minrnn.ops.gated import Gate


def _write(opened: Tensor) -> Tensor:
    """i' = i / (f + i)."""
    forget, write = opened.chunk(2, dim=-1)
    # both are zero in float32 where both pre-activations are below -104
    return write / (forget + write).clamp_min(torch.finfo(opened.dtype).tiny)


def _backward(of_logit: Tensor, opened: Tensor, of_gates: Tensor) -> None:
    """log i' - log f' = log i - log f, and the slope of log sigmoid is one minus the sigmoid."""
    forget, write = opened.chunk(2, dim=-1)
    of_forget, of_write = of_gates.chunk(2, dim=-1)
    torch.mul(of_logit, forget, out=of_forget).sub_(of_logit)
    torch.addcmul(of_logit, of_logit, write, value=-1, out=of_write)


@register_layer("minlstm")
class MinLSTM(MinimalRNN):
    """A forget and an input gate, normalised so that they sum to one."""

    gates: ClassVar[int] = 2
    gate: ClassVar[Gate] = Gate(_write, _backward, has_kernel=True)

    def __init__(self, width: int, *, expansion: float = 1.0, scan: str = "auto", forget_bias: float = 3.0) -> None:
        """As `MinimalRNN`; `forget_bias` is where the forget gate's bias starts (3 in the authors' code)."""
        super().__init__(width, expansion=expansion, scan=scan)
        size = self.initial.numel()
        nn.init.constant_(self.project_in.bias[size : 2 * size], forget_bias)
