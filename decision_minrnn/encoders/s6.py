"""S6: a state space whose step, input and output depend on the input (Gu and Dao 2023, "Mamba", section 3.2).

    dt_t = softplus(W_dt x_t),   h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t,   y_t = C_t . h_t + D x_t

for each channel with `modes` real numbers of state; A = -exp(log_a) is diagonal, B and C are linear in x.

The states of all steps are `modes` times as large as inputs and outputs. As in Mamba (section 3.3.2) they are never
kept: a sequence is gone through in pieces, and a piece is computed again for its gradient; on a CPU with a compiler, by
one kernel (`ops.native.selective`).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

from decision_minrnn.encoders.base import Encoder, register_layer
from decision_minrnn.errors import ConfigError
from decision_minrnn.ops import linear_scan, native
from decision_minrnn.types import State

PIECE = 2**20
"""Numbers in the states of a piece, four megabytes."""


@register_layer("s6")
class S6(Encoder):
    """Its state is [B, width, modes]."""

    def __init__(self, width: int, *, modes: int = 16) -> None:
        super().__init__()
        if modes < 1:
            raise ConfigError(f"encoder option modes expects at least 1, got {modes}.")
        self.modes, self.rank = modes, math.ceil(width / 16)
        self.select = nn.Linear(width, self.rank + 2 * modes, bias=False)
        self.dt = nn.Linear(self.rank, width)
        first = torch.exp(torch.empty(width).uniform_(math.log(1e-3), math.log(1e-1)))
        with torch.no_grad():
            self.dt.bias.copy_(first + torch.log(-torch.expm1(-first)))  # softplus of it is `first`
        self.log_a = nn.Parameter(torch.log(torch.arange(1, modes + 1, dtype=torch.float32)).repeat(width, 1))
        self.skip = nn.Parameter(torch.ones(width))

    def initial_state(self, batch_size: int) -> State:
        """Zero."""
        return (self.log_a.new_zeros(batch_size, *self.log_a.shape),)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """All channels by one `linear_scan` for each piece, or by one kernel."""
        (h,) = self.initial_state(len(x)) if state is None else state
        if native.takes(h):
            from decision_minrnn.ops.native.selective import native_selective_scan

            dt, write, read = self._selected(x)
            y, h = native_selective_scan(dt, self.log_a.exp(), write, read, x.to(h.dtype), h, reset)
            return (y + self.skip * x).to(x.dtype), (h,)
        length = max(1, PIECE // h.numel())
        resets = [None] * x.shape[1] if reset is None else reset.split(length, dim=1)
        pieces = []
        for part, marks in zip(x.split(length, dim=1), resets, strict=False):
            if torch.is_grad_enabled():
                y, h = checkpoint(self._piece, part, h, marks, use_reentrant=False, preserve_rng_state=False)
            else:
                y, h = self._piece(part, h, marks)
            pieces.append(y)
        return torch.cat(pieces, dim=1), (h,)

    def _piece(self, x: Tensor, h: Tensor, reset: Tensor | None) -> tuple[Tensor, Tensor]:
        decay, entering, read = self._entering(x)
        states, last = linear_scan(decay.flatten(2), entering.flatten(2), h.flatten(1), reset=reset)
        return self._read(states.unflatten(-1, h.shape[1:]), read, x), last.unflatten(-1, h.shape[1:])

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """One multiply-add for each number of the state."""
        decay, entering, read = self._entering(x)
        h = torch.addcmul(entering, decay, state[0])
        return self._read(h, read, x), (h,)

    def _entering(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """exp(dt A), dt B x and C."""
        dt, write, read = self._selected(x)
        dt = dt[..., None]
        return torch.exp(-dt * self.log_a.exp()), dt * write[..., None, :] * x[..., None], read

    def _selected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """dt, B and C, in at least float32."""
        selected = self.select(x)
        if selected.dtype.itemsize < 4:
            selected = selected.float()
        rank, write, read = selected.split([self.rank, self.modes, self.modes], dim=-1)
        return softplus(self.dt(rank)).to(self.skip.dtype), write, read

    def _read(self, h: Tensor, read: Tensor, x: Tensor) -> Tensor:
        return ((h * read[..., None, :]).sum(dim=-1) + self.skip * x).to(x.dtype)
