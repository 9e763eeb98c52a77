"""S4D: a diagonal state space of complex modes for each channel (Gu et al. 2022, "On the Parameterization and
Initialization of Diagonal State Space Models", section 4; S4D-Lin).

    h_t = exp(dt A) h_{t-1} + (exp(dt A) - 1) / A x_t,     y_t = 2 Re(C h_t) + D x_t,     A_n = -1/2 + i pi n

with the zero-order hold. Coefficients do not depend on the input: the layer is time-invariant, and so a convolution
with K_j = 2 Re(C exp(dt A)^j B). A sequence is cut into pieces: inside a piece K is applied as a matrix, since a state
of every mode at every step would be many times as large as inputs and outputs; between pieces the modes go on by
`linear_scan`.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import Step, register_layer
from decision_minrnn.encoders.segments import Segmented
from decision_minrnn.errors import ConfigError
from decision_minrnn.ops import linear_scan
from decision_minrnn.ops.convolution import by_channel, by_time, toeplitz
from decision_minrnn.types import State

PIECE = 64
"""Steps in a piece: the work inside grows with it, the number of states falls."""


@register_layer("s4d")
class S4D(Segmented):
    """Its state is the real and imaginary parts of each channel's modes."""

    def __init__(self, width: int, *, modes: int = 16) -> None:
        """`modes` complex numbers a channel stand for twice as many real ones, which come in conjugate pairs."""
        super().__init__()
        if modes < 1:
            raise ConfigError(f"encoder option modes expects at least 1, got {modes}.")
        self.log_dt = nn.Parameter(torch.empty(width, 1).uniform_(math.log(1e-3), math.log(1e-1)))
        self.log_decay = nn.Parameter(torch.full((width, modes), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(modes, dtype=torch.float32).repeat(width, 1))
        self.read = nn.Parameter(torch.randn(width, modes, 2) * 0.5**0.5)
        self.skip = nn.Parameter(torch.ones(width))

    def initial_state(self, batch_size: int) -> State:
        """Zero, as real numbers [B, width, modes, 2]."""
        return (self.read.new_zeros(batch_size, *self.read.shape),)

    def run(
        self, x: Float[Tensor, "batch time width"], state: State
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """Whole pieces, then what is left over as a shorter one."""
        with torch.autocast(x.device.type, enabled=False):
            inputs, h = x.to(self.skip.dtype), torch.view_as_complex(state[0].contiguous())
            whole = x.shape[1] // PIECE * PIECE
            pieces = []
            for part, length in ((inputs[:, :whole], PIECE), (inputs[:, whole:], x.shape[1] - whole)):
                if part.shape[1]:
                    y, h = self._run_pieces(part.unflatten(1, (-1, length)), h)
                    pieces.append(y)
            y = torch.cat(pieces, dim=1) + self.skip * inputs
        return y.to(x.dtype), (torch.view_as_real(h),)

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """One multiply-add for each mode."""
        return self.stepper()(x, state)

    def stepper(self, rows: int | None = None) -> Step:
        """The coefficients are worked out once, and complex products written as real ones, which can be exported."""
        exponent, write = self._discretised()
        decay, turned, write = (torch.view_as_real(z) for z in (torch.exp(exponent), 1j * torch.exp(exponent), write))
        read = 2 * self.read * self.read.new_tensor([1.0, -1.0])  # 2 Re(C h) = 2 (Re C Re h - Im C Im h)

        def step(x: Tensor, state: State) -> tuple[Tensor, State]:
            (h,) = state
            h = h[..., :1] * decay + h[..., 1:] * turned + x[..., None, None] * write
            y = (h * read).sum(dim=(-2, -1)) + self.skip * x
            return y.to(x.dtype), (h,)

        return step

    def _run_pieces(
        self, x: Float[Tensor, "batch pieces length width"], h: Tensor
    ) -> tuple[Float[Tensor, "batch time width"], Tensor]:
        """All but the skip connection, from the modes before [B, width, modes] to those after."""
        length = x.shape[2]
        exponent, write = self._discretised()
        places = torch.arange(length + 1, device=x.device)
        powers = _exp(exponent[..., None] * places)  # [width, modes, length + 1]
        read = torch.view_as_complex(self.read)[..., None]
        kernel = 2 * (read * write[..., None] * powers[..., :-1]).real.sum(dim=1)
        # one product of matrices for each channel
        inputs = by_channel(x)
        inside = inputs @ toeplitz(kernel, length, length).mT
        writing = _real_rows(write[..., None] * powers[..., :-1].flip(-1)).mT
        added = torch.view_as_complex((inputs @ writing).unflatten(-1, (-1, 2)))
        added = added.unflatten(1, x.shape[:2]).permute(1, 2, 0, 3).flatten(2)
        passed = powers[..., -1].flatten().expand_as(added)
        after, last = linear_scan(passed, added, h.flatten(1))
        before = torch.cat([h.flatten(1)[:, None], after[:, :-1]], dim=1).unflatten(-1, h.shape[1:])
        # 2 Re(C exp(dt A)^(t+1) h)
        reading = 2 * _real_rows((read * powers[..., 1:]).conj().resolve_conj())
        carried = torch.view_as_real(by_channel(before.mT)).flatten(-2) @ reading
        y = by_time(inside + carried).unflatten(0, x.shape[:2]).flatten(1, 2)
        return y, last.unflatten(-1, h.shape[1:])

    def _discretised(self) -> tuple[Tensor, Tensor]:
        """dt A and (exp(dt A) - 1) / A, [width, modes]."""
        a = torch.complex(-self.log_decay.exp(), self.frequency)
        exponent = self.log_dt.exp() * a
        return exponent, torch.expm1(exponent) / a


def _exp(z: Tensor) -> Tensor:
    """e^z by real functions, of which PyTorch computes many numbers at once."""
    return torch.polar(z.real.exp(), z.imag)


def _real_rows(z: Float[Tensor, "width modes length"]) -> Float[Tensor, "width twice_modes length"]:
    """Complex numbers as twice as many real ones: products of real matrices take a fraction of complex ones' time."""
    return torch.view_as_real(z).permute(0, 1, 3, 2).flatten(1, 2)
