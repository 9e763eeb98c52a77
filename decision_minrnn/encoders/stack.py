"""Blocks around a sequence layer, stacked: what `build_encoder` returns.

    x = x + convolution(x)                  (optional, kernel 4 in the paper's code)
    x = x + dropout(layer(norm(x)))
    x = x + dropout(feed_forward(norm(x)))

and a norm after the last block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import Encoder, checked_options, encoder_layer, keyword_options
from decision_minrnn.encoders.convolution import CausalConvolution
from decision_minrnn.encoders.dropout import Dropout
from decision_minrnn.encoders.styles import styled
from decision_minrnn.errors import ConfigError
from decision_minrnn.types import State


class Block(Encoder):
    """One sequence layer with its convolution, norms, residual connections and feed-forward network."""

    def __init__(
        self,
        layer: Encoder,
        width: int,
        *,
        convolution: int = 0,
        feed_forward: float = 4.0,
        dropout: float = 0.1,
    ) -> None:
        """`convolution` is its kernel (0: none), `feed_forward` the inner width in multiples of the width (0: none)."""
        super().__init__()
        if convolution == 1 or convolution < 0:
            raise ConfigError(
                f"encoder option convolution expects 0 (none) or a kernel of at least 2, got {convolution}."
            )
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout expects a probability from 0 to below 1, got {dropout}.")
        inner = round(feed_forward * width)
        if feed_forward != 0 and inner < 1:
            raise ConfigError(
                f"encoder option feed_forward expects 0 (none) or at least 1/{width} at this width, got {feed_forward}."
            )
        self.convolution = CausalConvolution(width, convolution) if convolution else None
        self.layer_norm = nn.LayerNorm(width)
        self.layer = layer
        self.dropout = Dropout(dropout)
        self.feed_forward = FeedForward(width, inner) if inner else None

    def initial_state(self, batch_size: int) -> State:
        """The convolution's state, if there is one, then the layer's."""
        cache = self.convolution.initial_state(batch_size) if self.convolution else ()
        return cache + self.layer.initial_state(batch_size)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """The three residual branches, over a sequence."""
        cache: State = ()
        if self.convolution:
            y, cache = self.convolution(x, state and state[:1], reset)
            x = x + y
        y, memory = self.layer(self.layer_norm(x), state and state[len(cache) :], reset)
        x = x + self.dropout(y)
        if self.feed_forward:
            x = x + self.dropout(self.feed_forward(x))
        return x, cache + memory

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """The same, for one step, without dropout: a step is taken to act."""
        cache: State = ()
        if self.convolution:
            y, cache = self.convolution.step(x, state[:1])
            x = x + y
        # .forward: calling a module looks for hooks, which at this size takes as long as a small product
        y, memory = self.layer.step(self.layer_norm.forward(x), state[len(cache) :])
        x = x + y
        if self.feed_forward:
            x = x + self.feed_forward.forward(x)
        return x, cache + memory


class FeedForward(nn.Module):
    """down(relu(up(norm(x)))), at each step by itself."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """The same shape."""
        return self.down.forward(torch.relu_(self.up.forward(self.norm.forward(x))))


class Stack(Encoder):
    """Blocks one after another, and a norm."""

    def __init__(self, blocks: list[Block], width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self._sizes = [len(block.initial_state(1)) for block in blocks]

    def initial_state(self, batch_size: int) -> State:
        """The blocks' states, one after another."""
        return tuple(tensor for block in self._blocks() for tensor in block.initial_state(batch_size))

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """All blocks over a sequence."""
        last: State = ()
        for block, part in zip(self._blocks(), self._parts(state), strict=True):
            x, new = block(x, part, reset)
            last += new
        return self.norm(x), last

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """All blocks for one step."""
        last: State = ()
        for block, part in zip(self._blocks(), self._parts(state), strict=True):
            x, new = block.step(x, part)
            last += new
        return self.norm.forward(x), last

    def _blocks(self) -> Iterable[Block]:
        return cast("Iterable[Block]", self.blocks)

    def _parts(self, state: State | None) -> Iterator[Any]:
        """Each block's share of the state."""
        start = 0
        for size in self._sizes:
            yield None if state is None else state[start : start + size]
            start += size


def encoder_options(name: str) -> dict[str, Any]:
    """The options of an encoder and their defaults: its layer's own, its block's, and the style of its gates."""
    return {"style": "plain"} | keyword_options(Block) | keyword_options(encoder_layer(name))


def build_encoder(name: str, width: int, depth: int, **options: Any) -> Stack:
    """`depth` blocks of the layer registered as `name`.

    Raises:
        UnknownNameError: no encoder or style of that name.
        ConfigError: width or depth below 1, or an option that this encoder does not have.
    """
    layer, known = encoder_layer(name), encoder_options(name)
    for what, value in (("width", width), ("layers", depth)):
        if value < 1:
            raise ConfigError(f"{what} expects a whole number of at least 1, got {value}.")
    checked_options(options, known, name)
    style = options.pop("style", "plain")
    in_block = {key: value for key, value in options.items() if key in keyword_options(Block)}
    in_layer = {key: value for key, value in options.items() if key not in in_block}
    blocks = (styled(style, width, lambda size: layer(size, **in_layer)) for _ in range(depth))
    return Stack([Block(block, width, **in_block) for block in blocks], width)
