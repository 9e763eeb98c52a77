"""minGRU and minLSTM in common: a recurrence whose gates see the input alone.

    h_t = (1 - w_t) * h_{t-1} + w_t * g(c_t)

c_t is a linear map of the input, w_t in (0, 1) the write gate that the two layers compute differently, and

    g(x) = x + 0.5 for x >= 0, else sigmoid(x)

keeps every state positive, so that the recurrence can also be run in log-space ("Were RNNs All We Needed?",
arXiv 2410.01201, sections 3.1, 3.2 and appendix B). The initial state is learned, and positive through g like every
other.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import Encoder
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.ops import backends, linear_scan
from decision_minrnn.types import State


def positive(x: Tensor) -> Tensor:
    """g of the paper: x + 0.5 for x >= 0, else sigmoid(x); continuous, increasing and positive."""
    if not torch.is_grad_enabled():
        # the same number, since sigmoid(x) <= x + 0.5 just for x >= 0; the gradient of a maximum is the slower one
        return torch.maximum(x + 0.5, torch.sigmoid(x))
    above = torch.relu(x)
    # without torch.where, which takes three times as long on a CPU: x - above is min(x, 0), and sigmoid(0) is 0.5
    return above + torch.sigmoid(x - above)


class MinimalRNN(Encoder):
    """The recurrence; a subclass says how many gates it has and how they make the write gate."""

    gates: ClassVar[int]

    def __init__(self, width: int, *, expansion: float = 1.0, scan: str = "auto") -> None:
        """`expansion` times the width is the size of the state; `scan` is the backend of `linear_scan`."""
        super().__init__()
        size = round(width * expansion)
        if size < 1:
            raise ConfigError(f"expansion {expansion} of width {width} leaves no state; expected at least 1 dimension.")
        if scan not in ("auto", *backends()):
            raise UnknownNameError("scan backend", scan, ["auto", *backends()])
        self.scan = scan
        self.project_in = nn.Linear(width, (self.gates + 1) * size)
        self.project_out = None if size == width else nn.Linear(size, width)
        self.initial = nn.Parameter(torch.zeros(size))

    @abstractmethod
    def write_gate(self, gates: Float[Tensor, "*batch gates_size"]) -> Float[Tensor, "*batch size"]:
        """w, from the gates' pre-activations."""

    def initial_state(self, batch_size: int) -> State:
        """h_0 = g(learned parameter), the same in every row."""
        return (positive(self.initial).expand(batch_size, -1),)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """The recurrence by `linear_scan`."""
        write, candidate = self._write_and_candidate(x)
        (initial,) = self.initial_state(len(x))
        keep, values = 1 - write, write * candidate
        if reset is not None:
            # the scan enters a marked step with zero; this step is entered with the initial state
            values = values + keep * initial[:, None] * reset[..., None]
        h, last = linear_scan(keep, values, initial if state is None else state[0], reset=reset, backend=self.scan)
        return self._out(h), (last,)

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """One step of the recurrence."""
        write, candidate = self._write_and_candidate(x)
        h = torch.lerp(state[0], candidate, write)
        return self._out(h), (h,)

    def _out(self, h: Tensor) -> Tensor:
        return h if self.project_out is None else self.project_out(h)

    def _write_and_candidate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        projected = self.project_in.forward(x)
        # gates in at least float32: 1 - w is lost to rounding in bfloat16
        if projected.dtype.itemsize < 4:
            projected = projected.float()
        candidate, gates = projected.tensor_split([self.initial.numel()], dim=-1)
        return self.write_gate(gates), positive(candidate)
