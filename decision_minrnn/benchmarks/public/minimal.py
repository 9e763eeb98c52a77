"""minGRU and minLSTM of the package minGRU-pytorch, as layers of our blocks: the paper's log-space form, by others."""

from __future__ import annotations

from importlib import import_module

from jaxtyping import Bool, Float
from torch import Tensor

from decision_minrnn.benchmarks.public.placing import with_encoder
from decision_minrnn.config import ModelConfig
from decision_minrnn.encoders.base import Encoder
from decision_minrnn.encoders.stack import Block, Stack
from decision_minrnn.errors import MissingExtraError
from decision_minrnn.model import DecisionModel
from decision_minrnn.types import State


class PublicMinimalRNN(Encoder):
    """`minGRU` or `minLSTM`; its state is the hidden one, zero at first."""

    def __init__(self, width: int, name: str) -> None:
        super().__init__()
        try:
            module = import_module(f"minGRU_pytorch.{name}")
        except ImportError as error:
            raise MissingExtraError("minGRU-pytorch", "bench") from error
        self.width = width
        self.layer = getattr(module, name)(width)

    def initial_state(self, batch_size: int) -> State:
        """Zeros."""
        return (next(self.layer.parameters()).new_zeros(batch_size, self.width),)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """In log-space; of resets the package knows nothing."""
        assert reset is None
        y, last = self.layer(x, None if state is None else state[0][:, None], return_next_prev_hidden=True)
        return y, (last[:, 0],)

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """In linear space, as the package does for sequences of one step."""
        y, after = self.forward(x[:, None], state)
        return y[:, 0], after


def public_minimal_model(config: ModelConfig, name: str, **options: float) -> DecisionModel:
    """A model with `minGRU` or `minLSTM` layers in blocks like ours. Raises `MissingExtraError`."""
    blocks = [Block(PublicMinimalRNN(config.width, name), config.width, **options) for _ in range(config.layers)]  # type: ignore[arg-type]
    return with_encoder(config, Stack(blocks, config.width))
