"""A model of token sequences: embedding, encoder, linear head. `DecisionModel` with tokens in place of trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float, Int64
from torch import Tensor, nn

from decision_minrnn.config import OptionValue
from decision_minrnn.encoders import build_encoder
from decision_minrnn.types import State


@dataclass(frozen=True)
class TokenModelConfig:
    """What a `TokenModel` is built from. Stored with its weights."""

    vocabulary: int
    encoder: str = "mingru"
    encoder_options: Mapping[str, OptionValue] = field(default_factory=dict)
    width: int = 64
    layers: int = 3


class TokenModel(nn.Module):
    """A causal model of what comes next, or of what is asked for."""

    def __init__(self, config: TokenModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary, config.width)
        self.encoder = build_encoder(config.encoder, config.width, config.layers, **config.encoder_options)
        self.head = nn.Linear(config.width, config.vocabulary)

    @property
    def parameter_count(self) -> int:
        """Numbers that are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def initial_state(self, batch_size: int) -> State:
        """What the model carries before the first token."""
        return self.encoder.initial_state(batch_size)

    def forward(
        self, tokens: Int64[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time vocabulary"], State]:
        """Logits at every step of a sequence, and the state after it."""
        encoded, state = self.encoder(self.embed(tokens), state)
        return self.head(encoded), state

    def step(self, tokens: Int64[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The same for one step, at a cost that does not depend on the steps before."""
        encoded, state = self.encoder.step(self.embed(tokens), state)
        return self.head(encoded), state
