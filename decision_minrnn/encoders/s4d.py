"""S4D: a diagonal state space of complex modes for each channel (Gu et al. 2022, "On the Parameterization and
Initialization of Diagonal State Space Models", section 4; S4D-Lin).

    h_t = exp(dt A) h_{t-1} + (exp(dt A) - 1) / A x_t,     y_t = 2 Re(C h_t) + D x_t,     A_n = -1/2 + i pi n

with the zero-order hold. Coefficients do not depend on the input: the layer is time-invariant.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import Encoder, register_layer
from decision_minrnn.errors import ConfigError
from decision_minrnn.ops import linear_scan
from decision_minrnn.types import State


@register_layer("s4d")
class S4D(Encoder):
    """Its state is the real and imaginary parts of each channel's modes."""

    def __init__(self, width: int, *, modes: int = 16) -> None:
        """`modes` complex numbers a channel stand for twice as many real ones, which come in conjugate pairs."""
        super().__init__()
        if modes < 1:
            raise ConfigError(f"encoder option modes expects at least 1, got {modes}.")
        self.modes = modes
        self.log_dt = nn.Parameter(torch.empty(width, 1).uniform_(math.log(1e-3), math.log(1e-1)))
        self.log_decay = nn.Parameter(torch.full((width, modes), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(modes, dtype=torch.float32).repeat(width, 1))
        self.read = nn.Parameter(torch.randn(width, modes, 2) * 0.5**0.5)
        self.skip = nn.Parameter(torch.ones(width))

    def initial_state(self, batch_size: int) -> State:
        """Zero, as real numbers [B, width, modes, 2]."""
        return (self.read.new_zeros(batch_size, *self.read.shape),)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """The modes of all channels by one `linear_scan`."""
        (before,) = self.initial_state(len(x)) if state is None else state
        decay, write = self._discretised()
        entering = (x.to(self.skip.dtype)[..., None] * write).flatten(2)
        h, last = linear_scan(
            decay.flatten().expand_as(entering),
            entering,
            torch.view_as_complex(before.contiguous()).flatten(1),
            reset=reset,
        )
        y = self._read(h.unflatten(-1, (-1, self.modes)), x)
        return y, (torch.view_as_real(last.unflatten(-1, (-1, self.modes))),)

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """One multiply-add for each mode."""
        decay, write = self._discretised()
        h = decay * torch.view_as_complex(state[0].contiguous()) + x[..., None] * write
        return self._read(h, x), (torch.view_as_real(h),)

    def _discretised(self) -> tuple[Tensor, Tensor]:
        """exp(dt A) and (exp(dt A) - 1) / A, [width, modes]."""
        a = torch.complex(-self.log_decay.exp(), self.frequency)
        decay = torch.exp(self.log_dt.exp() * a)
        return decay, (decay - 1) / a

    def _read(self, h: Tensor, x: Tensor) -> Tensor:
        # 2 Re(C h) without complex products
        read = 2 * (h.real * self.read[..., 0] - h.imag * self.read[..., 1]).sum(dim=-1)
        return (read + self.skip * x).to(x.dtype)
