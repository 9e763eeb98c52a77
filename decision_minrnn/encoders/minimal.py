"""minGRU and minLSTM in common: a recurrence whose gates see the input alone.

    h_t = (1 - w_t) * h_{t-1} + w_t * g(c_t)

c_t is a linear map of the input, w_t in (0, 1) the write gate, which the two layers make of different gates, and

    g(x) = x + 0.5 for x >= 0, else sigmoid(x)

keeps every state positive, so that the recurrence can also be run in log-space ("Were RNNs All We Needed?",
arXiv 2410.01201, sections 3.1, 3.2 and appendix B). The initial state is learned, and positive through g like every
other.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import Encoder, Step
from decision_minrnn.encoders.direct import linear, memory
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.ops import backends, linear_scan, native
from decision_minrnn.ops.dropout import Mask
from decision_minrnn.ops.gated import Gate, gated_scan
from decision_minrnn.types import State


def positive(x: Tensor) -> Tensor:
    """g of the paper: x + 0.5 for x >= 0, else sigmoid(x); continuous, increasing and positive."""
    if not torch.is_grad_enabled():
        # the same number, since sigmoid(x) <= x + 0.5 just for x >= 0; the gradient of a maximum is the slower one
        return torch.maximum(x + 0.5, torch.sigmoid(x))
    above = torch.relu(x)
    # without torch.where, which takes three times as long on a CPU: x - above is min(x, 0), and sigmoid(0) is 0.5
    return above + torch.sigmoid(x - above)


def at_least_float32(projected: Tensor) -> Tensor:
    """Gates in at least float32: 1 - w is lost to rounding in bfloat16."""
    return projected if projected.dtype.itemsize >= 4 else projected.float()


class MinimalRNN(Encoder):
    """The recurrence; a subclass says how many gates it has and how they make the write gate."""

    gates: ClassVar[int]
    gate: ClassVar[Gate]

    def __init__(self, width: int, *, expansion: float = 1.0, scan: str = "auto") -> None:
        """`expansion` times the width is the size of the state.

        `scan` is `auto`, gates and recurrence in one operation, or a backend of `linear_scan`, the same step by step.
        """
        super().__init__()
        size = round(width * expansion)
        if size < 1:
            raise ConfigError(f"expansion {expansion} of width {width} leaves no state; expected at least 1 dimension.")
        # `backends` looks for a GPU, which starts CUDA: not for a model that may never go there
        if scan != "auto" and scan not in backends():
            raise UnknownNameError("scan backend", scan, ["auto", *backends()])
        self.scan = scan
        self.project_in = nn.Linear(width, (self.gates + 1) * size)
        self.project_out = None if size == width else nn.Linear(size, width)
        self.initial = nn.Parameter(torch.zeros(size))

    def initial_state(self, batch_size: int) -> State:
        """h_0 = g(learned parameter), the same in every row; of several models side by side, in all rows of each."""
        size = self.initial.shape[-1]
        initial = positive(self.initial).view(-1, 1, size)
        return (initial.expand(-1, batch_size // len(initial), -1).reshape(batch_size, size),)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """The recurrence over a sequence."""
        projected = self.project_in.forward(x)
        (initial,) = self.initial_state(len(x))
        before = initial if state is None else state[0]
        if self.scan == "auto":
            h = gated_scan(projected, before, initial, reset, self.gate)
        else:
            h = self._by_linear_scan(projected, before, initial, reset)
        return h if self.project_out is None else self.project_out(h), (h[:, -1],)

    def residual(
        self,
        x: Float[Tensor, "batch time width"],
        norm: nn.LayerNorm,
        mask: Mask | None,
        state: State | None,
        reset: Bool[Tensor, "batch time"] | None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """As of every layer; norm, projection and recurrence in one operation where there are kernels for it."""
        plain = type(self.project_in) is nn.Linear and self.project_out is None and self.scan == "auto"
        watched = self._forward_pre_hooks or self._forward_hooks
        if not (plain and self.gate.has_kernel and native.takes_branch(x, x.shape[-1])) or watched:
            return super().residual(x, norm, mask, state, reset)
        from decision_minrnn.ops.native.branches import native_gated_branch

        before = None if state is None else state[0]
        y, last = native_gated_branch(x, mask, norm, self.project_in, self.initial, before, reset)
        return y, (last,)

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """One step of the recurrence."""
        return self.stepper()(x, state)

    def stepper(self, rows: int | None = None) -> Step:
        """The recurrence, once."""
        size, write = self.initial.numel(), self.gate.write
        weight, bias = self.project_in.weight.t(), self.project_in.bias
        project_out = None if self.project_out is None else linear(self.project_out, rows)
        # adding a number makes a tensor of it first, which takes longer than adding
        half = torch.tensor(0.5)
        out, opened_out, candidate_out, parts = memory(self.project_in, rows), None, None, None
        if out is not None:
            # a view takes as long as a sum: those of memory that stays are made once
            opened_out, candidate_out = torch.empty_like(out), out[:, :size]
            parts = candidate_out, opened_out[:, :size], opened_out[:, size:]

        def step(x: Tensor, state: State) -> tuple[Tensor, State]:
            projected = at_least_float32(torch.addmm(bias, x, weight, out=out))
            opened = torch.sigmoid(projected, out=opened_out)
            above, below, gates = parts or (projected[:, :size], opened[:, :size], opened[:, size:])
            candidate = torch.maximum(torch.add(above, half, out=candidate_out), below, out=candidate_out)
            h = torch.lerp(state[0], candidate, write(gates))
            return h if project_out is None else project_out(h), (h,)

        return step

    def _by_linear_scan(self, projected: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None) -> Tensor:
        """The layer as it is written in the paper, which `gated_scan` is tested against."""
        size = self.initial.numel()
        candidates, gates = at_least_float32(projected).tensor_split([size], dim=-1)
        write = self.gate.write(torch.sigmoid(gates))
        keep, values = 1 - write, write * positive(candidates)
        if reset is not None:
            # the scan enters a marked step with zero; this step is entered with the initial state
            values = values + keep * initial[:, None] * reset[..., None]
        return linear_scan(keep, values, state, reset=reset, backend=self.scan)[0]
