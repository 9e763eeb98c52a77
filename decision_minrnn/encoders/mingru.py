"""minGRU: z = sigmoid(W_z x), h_t = (1 - z) * h_{t-1} + z * g(W_h x)  (arXiv 2410.01201, section 3.1)."""

from __future__ import annotations

from typing import ClassVar

from decision_minrnn.encoders.base import register_layer
from decision_minrnn.encoders.minimal import MinimalRNN
from decision_minrnn.ops.gated import Gate


@register_layer("mingru")
class MinGRU(MinimalRNN):
    """One update gate, which is the write gate: it decides how much of the state is replaced."""

    gates: ClassVar[int] = 1
    gate: ClassVar[Gate] = Gate(
        write=lambda z: z, backward=lambda of_logit, z, of_gates: of_gates.copy_(of_logit), has_kernel=True
    )
