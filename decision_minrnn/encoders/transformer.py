"""Causal multi-head attention over the last `context` tokens (Vaswani et al. 2017, section 3.2).

In the blocks of `stack`, which norm before each branch, it is a GPT; with interleaved tokens, Decision Transformer
(Chen et al. 2021). Each token sees itself and the `context - 1` before it, at any length of the sequence, so that a
cache of that many keys and values is all that a step needs. Positions are relative, since a policy has no end of its
episode in sight: rotary (Su et al. 2021) or a learned bias for each head and distance.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from decision_minrnn.encoders.base import Encoder, Step, register_layer
from decision_minrnn.encoders.direct import linear
from decision_minrnn.encoders.forgetting import Forgetting
from decision_minrnn.encoders.heads import head_size
from decision_minrnn.errors import ConfigError
from decision_minrnn.types import State

POSITIONS = ("rotary", "learned")


@register_layer("transformer")
class Attention(Encoder):
    """Its state is the keys and values of the tokens before, oldest first, and which of them there are."""

    def __init__(self, width: int, *, heads: int = 4, context: int = 64, positions: str = "rotary") -> None:
        """`context` is in tokens, of which interleaved ones are three a step; a warning says once when it is passed."""
        super().__init__()
        self.heads, self.size, self.context = heads, head_size(width, heads), context
        if context < 1:
            raise ConfigError(f"encoder option context expects at least 1 token, got {context}.")
        if positions not in POSITIONS:
            raise ConfigError(f"encoder option positions expects {' or '.join(POSITIONS)}, got {positions!r}.")
        if positions == "rotary" and self.size % 2:
            raise ConfigError(
                f"rotary positions expect heads of even size, got {width} / {heads} = {self.size}; "
                "take fewer heads, or positions=learned."
            )
        self.forgetting = Forgetting("transformer", context)
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, context)) if positions == "learned" else None

    def initial_state(self, batch_size: int) -> State:
        """No tokens before."""
        weight = self.project_out.weight
        empty = weight.new_zeros(batch_size, self.context - 1, len(weight))
        return empty, empty, weight.new_zeros(batch_size, self.context - 1)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """Attention of T tokens to those of the state and to each other."""
        keys, values, there = self.initial_state(len(x)) if state is None else state
        before, time = keys.shape[1], x.shape[1]
        self.forgetting.sequence(time)
        query, key, value = self.project_in(x).chunk(3, dim=-1)
        keys, values = torch.cat([keys.to(key.dtype), key], dim=1), torch.cat([values.to(value.dtype), value], dim=1)
        there = torch.cat([there, there.new_ones(x.shape[:2])], dim=1)
        seen = self._seen(there, reset, time)
        y = self._attend(query, keys, values, seen)
        kept = slice(time, None)
        if reset is not None:
            # after the last token, what is left of its own episode; the rest is gone as if it had never been
            of_last = self._episodes(reset, before)[:, kept] == reset.sum(dim=1, keepdim=True)
            there = torch.cat([there[:, :time], there[:, kept] * of_last], dim=1)
            keys = torch.cat([keys[:, :time], keys[:, kept] * of_last[..., None]], dim=1)
            values = torch.cat([values[:, :time], values[:, kept] * of_last[..., None]], dim=1)
        return y, (keys[:, kept], values[:, kept], there[:, kept])

    def step(self, x: Float[Tensor, "batch width"], state: State) -> tuple[Float[Tensor, "batch width"], State]:
        """One token's attention to those of the state."""
        return self.stepper()(x, state)

    def stepper(self, rows: int | None = None) -> Step:
        """The same, with the places of all that can be known worked out once."""
        project_in, project_out = linear(self.project_in, rows), linear(self.project_out, rows)
        shape = self.heads, self.size
        if self.bias is None:
            turns = _turns(self.context, self.size, self.project_in.weight)
            turn = turns[0][-1:], turns[1][-1:]
        else:
            bias = self.bias.flip(1)[:, None]  # the nearest last

        def step(x: Tensor, state: State) -> tuple[Tensor, State]:
            self.forgetting.leaves(state[2][:, :1])
            query, key, value = project_in(x)[:, None].chunk(3, dim=-1)
            keys, values = torch.cat([state[0], key], dim=1), torch.cat([state[1], value], dim=1)
            there = nn.functional.pad(state[2], (0, 1), value=1.0)
            query, known, read = (part.unflatten(-1, shape).transpose(1, 2) for part in (query, keys, values))
            mask = there[:, None, None] > 0
            if self.bias is None:
                query, known = _turned(query, *turn), _turned(known, *turns)
            else:
                mask = torch.where(mask, bias, -torch.inf)
            y = scaled_dot_product_attention(query, known, read, attn_mask=mask)
            return project_out(y.flatten(1)), (keys[:, 1:], values[:, 1:], there[:, 1:])

        return step

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
        query, keys, values = (
            part.unflatten(-1, (self.heads, self.size)).transpose(1, 2) for part in (query, keys, values)
        )
        time, known = query.shape[2], keys.shape[2]
        mask = seen[:, None]
        if self.bias is None:
            cosine, sine = _turns(known, self.size, keys)
            query, keys = _turned(query, cosine[-time:], sine[-time:]), _turned(keys, cosine, sine)
        else:
            distance = self._distances(time, known, query.device).clamp(0, self.context - 1)
            mask = torch.where(mask, self.bias[:, distance].to(query.dtype), -torch.inf)
        y = scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return self.project_out(y.transpose(1, 2).flatten(-2))

    def _seen(self, there: Tensor, reset: Tensor | None, time: int) -> Bool[Tensor, "batch time known"]:
        """Which tokens each token sees: itself and those before it, of its own episode, within the context."""
        distance = self._distances(time, there.shape[1], there.device)
        seen = ((distance >= 0) & (distance < self.context)) & (there[:, None] > 0)
        if reset is not None:
            episode = self._episodes(reset, there.shape[1] - time)
            seen = seen & (episode[:, None] == episode[:, -time:, None])
        return seen

    def _distances(self, time: int, known: int, device: torch.device) -> Tensor:
        """How far back each known token lies from each new one, [T, known]; negative for the future."""
        places = torch.arange(known, device=device)
        return places[-time:, None] - places

    def _episodes(self, reset: Tensor, before: int) -> Tensor:
        """A number that grows with each reset, for the tokens of the state and the new ones."""
        return nn.functional.pad(reset.cumsum(dim=1), (before, 0))


def _turns(places: int, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle by which each pair of dimensions is turned at each place, [places, size / 2]."""
    half, dtype = size // 2, torch.promote_types(like.dtype, torch.float32)
    exponents = torch.arange(half, device=like.device, dtype=dtype) / half
    angles = torch.arange(places, device=like.device, dtype=dtype)[:, None] * 10_000.0**-exponents
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _turned(
    x: Float[Tensor, "batch heads time size"], cosine: Float[Tensor, "time half"], sine: Float[Tensor, "time half"]
) -> Float[Tensor, "batch heads time size"]:
    """Each pair of dimensions turned by the angle of its place."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
