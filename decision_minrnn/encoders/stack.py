"""Blocks around a sequence layer, stacked: what `build_encoder` returns.

    x = x + convolution(x)                  (optional, kernel 4 in the paper's code)
    x = x + dropout(layer(norm(x)))
    x = x + dropout(feed_forward(norm(x)))

and a norm after the last block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.encoders.base import (
    Encoder,
    Step,
    check_state,
    checked_options,
    encoder_layer,
    keyword_options,
)
from decision_minrnn.encoders.convolution import CausalConvolution
from decision_minrnn.encoders.direct import Map, added, layer_norm, linear
from decision_minrnn.encoders.styles import styled
from decision_minrnn.errors import ConfigError
from decision_minrnn.ops.dropout import Mask, draw_mask
from decision_minrnn.ops.feed_forward import residual_feed_forward
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
        self.dropout = dropout
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
        x, memory = self.layer.residual(x, self.layer_norm, self._mask(x), state and state[len(cache) :], reset)
        if self.feed_forward:
            x = self.feed_forward(x, self._mask(x))
        return x, cache + memory

    def _mask(self, x: Tensor) -> Mask | None:
        """What is dropped of a branch beside x."""
        return draw_mask(x, self.dropout) if self.training else None

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """The same, for one step, without dropout: a step is taken to act."""
        return self.stepper()(x, state)

    def stepper(self, rows: int | None = None) -> Step:
        """The three branches."""
        convolution = self.convolution.stepper(rows) if self.convolution else None
        norm, layer, add = layer_norm(self.layer_norm), self.layer.stepper(rows), added(rows)
        feed_forward = self.feed_forward.direct(rows) if self.feed_forward else None

        def step(x: Tensor, state: State) -> tuple[Tensor, State]:
            cache: State = ()
            if convolution:
                y, cache = convolution(x, state[:1])
                x = add(x, y)
            y, memory = layer(norm(x), state[len(cache) :])
            x = add(x, y)
            if feed_forward:
                x = add(x, feed_forward(x))
            return x, cache + memory

        return step


class FeedForward(nn.Module):
    """The branch down(relu(up(norm(x)))) beside x, at each step by itself."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x: Float[Tensor, "*batch width"], mask: Mask | None = None) -> Float[Tensor, "*batch width"]:
        """x + branch, of which a mask drops elements."""
        return residual_feed_forward(x, mask, self.norm, self.up, self.down)

    def direct(self, rows: int | None = None) -> Map:
        """The branch of one step's rows."""
        norm, up, down = layer_norm(self.norm), linear(self.up, rows), linear(self.down, rows)
        return lambda x: down(torch.relu_(up(norm(x))))


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
        """All blocks over a sequence. Raises `ValueError` for a state with NaN, where no gradients are recorded."""
        check_state(state)
        # autocast has made bfloat16 of what was embedded; the residual stream has the precision of the parameters
        x, last = x.to(self.norm.weight.dtype), ()
        for block, part in zip(self._blocks(), self._parts(state), strict=True):
            x, new = block(x, part, reset)
            last += new
        return self.norm(x), last

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """All blocks for one step. Raises `ValueError` for a state with NaN, where no gradients are recorded."""
        check_state(state)
        return self.stepper()(x, state)

    def stepper(self, rows: int | None = None) -> Step:
        """All blocks."""
        ends = list(accumulate(self._sizes))
        blocks = [
            (block.stepper(rows), slice(end - size, end))
            for block, size, end in zip(self._blocks(), self._sizes, ends, strict=True)
        ]
        norm = layer_norm(self.norm)

        def step(x: Tensor, state: State) -> tuple[Tensor, State]:
            last: State = ()
            for block, part in blocks:
                x, new = block(x, state[part])
                last += new
            return norm(x), last

        return step

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
