"""GRU and LSTM: torch's fused modules, whose gates see the state, so that time is gone through step by step.

The recurrences that minGRU and minLSTM are the minimal versions of ("Were RNNs All We Needed?", arXiv 2410.01201,
sections 2.1 and 2.2), and what their speed and size are compared with.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import register_layer
from decision_minrnn.encoders.segments import Segmented
from decision_minrnn.errors import ConfigError
from decision_minrnn.types import State


class FusedRecurrence(Segmented):
    """One of torch's recurrences; its state holds as many vectors of the size as `state_count` says."""

    state_count = 1

    def __init__(self, width: int, module: Callable[..., nn.RNNBase], expansion: float) -> None:
        super().__init__()
        size = round(width * expansion)
        if size < 1:
            raise ConfigError(f"expansion {expansion} of width {width} leaves no state; expected at least 1 dimension.")
        self.recurrence = module(width, size, batch_first=True)
        self.project_out = None if size == width else nn.Linear(size, width)

    def initial_state(self, batch_size: int) -> State:
        """Zeros."""
        weight = self.recurrence.all_weights[0][0]
        size = self.recurrence.hidden_size
        return tuple(weight.new_zeros(batch_size, size) for _ in range(self.state_count))

    def run(
        self, x: Float[Tensor, "batch time width"], state: State
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """The fused module; torch keeps its layers before the batch in the state."""
        before = tuple(part[None].contiguous() for part in state)
        y, after = self.recurrence(x, before if len(before) > 1 else before[0])
        last = after if isinstance(after, tuple) else (after,)
        return y if self.project_out is None else self.project_out(y), tuple(part[0] for part in last)


@register_layer("gru")
class GRU(FusedRecurrence):
    """Cho et al. 2014; three gates of input and state."""

    def __init__(self, width: int, *, expansion: float = 1.0) -> None:
        """`expansion` times the width is the size of the state."""
        super().__init__(width, nn.GRU, expansion)


@register_layer("lstm")
class LSTM(FusedRecurrence):
    """Hochreiter and Schmidhuber 1997; four gates of input and state, and a cell beside the output."""

    state_count = 2

    def __init__(self, width: int, *, expansion: float = 1.0) -> None:
        """`expansion` times the width is the size of output and cell."""
        super().__init__(width, nn.LSTM, expansion)
