"""`DecisionModel`: embed, encode, predict the action.

A step's return-to-go R, observation s and the action a before it become one token (`merged`, by default without the
action: `previous_action`) or three (`interleaved`):

    merged        [R_0 s_0 (0)]        [R_1 s_1 (a_0)]          [R_2 s_2 (a_1)] ...    predictions at every token
    interleaved    R_0 , s_0 ,    a_0 , R_1 , s_1 ,       a_1 , R_2 , s_2 ...          predictions at every s

The second is the sequence of Decision Transformer (Chen et al. 2021, section 3). Everything enters and leaves in the
environment's units: observations are standardised, returns scaled and actions bounded in here, so that weights and
configuration are all that a policy needs. A discrete action enters as a one among zeros and leaves as logits.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.config import ModelConfig
from decision_minrnn.encoders import build_encoder, reset_rows
from decision_minrnn.encoders.base import check_state
from decision_minrnn.encoders.direct import Map, linear
from decision_minrnn.errors import ConfigError
from decision_minrnn.types import ObservationStatistics, State


class DecisionModel(nn.Module):
    """A causal sequence model of actions given returns-to-go and observations."""

    observation_mean: Tensor
    observation_std: Tensor
    action_middle: Tensor
    action_reach: Tensor

    def __init__(self, config: ModelConfig, statistics: ObservationStatistics | None = None) -> None:
        """`statistics` standardise the observations and are stored with the weights; by default they are 0 and 1."""
        super().__init__()
        self.config = config
        observation, action, width = config.observation_size, config.action_size, config.width
        for name in ("observation_size", "action_size", "width"):
            if getattr(config, name) < 1:
                raise ConfigError(f"{name} expects a whole number of at least 1, got {getattr(config, name)}.")
        if not 0 < config.return_scale < inf:
            raise ConfigError(f"return_scale expects a number above 0, got {config.return_scale}.")
        if statistics is None:
            self.register_buffer("observation_mean", torch.zeros(observation))
            self.register_buffer("observation_std", torch.ones(observation))
        else:
            self.register_buffer("observation_mean", torch.from_numpy(statistics.mean).clone())
            self.register_buffer("observation_std", torch.from_numpy(statistics.std).clone())
        if not config.discrete:
            middle, reach = _middle_and_reach(config)
            self.register_buffer("action_middle", middle)
            self.register_buffer("action_reach", reach)
        if config.tokens == "merged":
            self.embed = nn.Linear(1 + observation + (action if config.previous_action else 0), width)
        elif config.tokens == "interleaved":
            self.embed_return = nn.Linear(1, width)
            self.embed_observation = nn.Linear(observation, width)
            self.embed_action = nn.Linear(action, width)
        else:
            raise ConfigError(f"tokens expects merged or interleaved, got {config.tokens!r}.")
        self.encoder = build_encoder(config.encoder, width, config.layers, **config.encoder_options)
        self.head = nn.Linear(width, action)

    def initial_state(self, batch_size: int) -> State:
        """What the model carries before the first step."""
        return self.encoder.initial_state(batch_size)

    def forward(
        self,
        returns_to_go: Float[Tensor, "batch time"],
        observations: Float[Tensor, "batch time observation"],
        previous_actions: Float[Tensor, "batch time action"],
        state: State | None = None,
        reset: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time action"], State]:
        """Predict the action of every step of a sequence.

        Args:
            returns_to_go: in units of reward.
            observations: as the environment gives them.
            previous_actions: the action before each step.
            state: what `forward` or `step` returned for the steps before; None starts afresh.
            reset: True at steps that start afresh.

        Returns:
            The action of each step (the logits of the choices, where actions are discrete), and the state after the
            last.
        """
        returns, observations = self._scaled(returns_to_go, observations)
        if self.config.tokens == "merged":
            tokens = self.embed(self._merged(returns, observations, previous_actions))
            encoded, state = self.encoder(tokens, state, reset)
            return self._action(self.head(encoded)), state
        tokens = torch.stack(
            [self.embed_action(previous_actions), self.embed_return(returns), self.embed_observation(observations)],
            dim=2,
        ).flatten(1, 2)
        marks = None
        if reset is not None:
            # a fresh start forgets the action before it: the mark stands on the return's token, which comes after
            marks = torch.stack([torch.zeros_like(reset), reset, torch.zeros_like(reset)], dim=2).flatten(1, 2)
        first_observation = 2
        if state is None:
            tokens, marks = tokens[:, 1:], None if marks is None else marks[:, 1:]
            first_observation = 1
        encoded, state = self.encoder(tokens, state, marks)
        return self._action(self.head(encoded[:, first_observation::3])), state

    def step(
        self,
        returns_to_go: Float[Tensor, " batch"],
        observations: Float[Tensor, "batch observation"],
        previous_actions: Float[Tensor, "batch action"],
        state: State | None = None,
        reset: Bool[Tensor, " batch"] | None = None,
    ) -> tuple[Float[Tensor, "batch action"], State]:
        """Predict the action of one step: `forward` for T = 1, at a cost that does not depend on the steps before.

        Raises `ValueError` for a state with NaN, where no gradients are recorded.
        """
        check_state(state)
        return self.stepper()(returns_to_go, observations, previous_actions, state, reset)

    def stepper(self, rows: int | None = None) -> Callable[..., tuple[Tensor, State]]:
        """`step` as a function to be called many times, until parameters are replaced.

        With a number of `rows` it is to act with: it takes just so many, outside of autograd, and writes what lies
        between into memory that it has set aside. The actions and states it returns are new.
        """
        encode, head, action = self.encoder.stepper(rows), linear(self.head), self._action_map()
        embed = self._merged_map(rows) if self.config.tokens == "merged" else None

        def step(
            returns_to_go: Tensor,
            observations: Tensor,
            previous_actions: Tensor,
            state: State | None = None,
            reset: Tensor | None = None,
        ) -> tuple[Tensor, State]:
            # not len(), which would be a constant where the step is exported
            initial = self.initial_state(observations.shape[0]) if state is None or reset is not None else ()
            if embed is not None:
                state = self._entered(state, initial, reset)
                encoded, state = encode(embed(returns_to_go, observations, previous_actions), state)
                return action(head(encoded)), state
            returns, observations = self._scaled(returns_to_go, observations)
            if state is not None:
                _, state = encode(self.embed_action(previous_actions), state)
            state = self._entered(state, initial, reset)
            _, state = encode(self.embed_return(returns), state)
            encoded, state = encode(self.embed_observation(observations), state)
            return action(head(encoded)), state

        return step

    def _merged_map(self, rows: int | None) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """The embedding of merged tokens as a function, which with a number of rows writes them into one tensor."""
        config, embed = self.config, linear(self.embed, rows)
        if rows is None:
            return lambda returns, observations, actions: embed(
                self._merged(*self._scaled(returns, observations), actions)
            )
        tokens = self.embed.weight.new_zeros(rows, self.embed.in_features)
        end = 1 + config.observation_size
        shown, seen, taken = tokens[:, 0], tokens[:, 1:end], tokens[:, end:]
        # a module looks its buffers up each time, and a number is made a tensor
        scale, mean, std = tokens.new_tensor(config.return_scale), self.observation_mean, self.observation_std

        def embedded(returns_to_go: Tensor, observations: Tensor, previous_actions: Tensor) -> Tensor:
            if config.return_conditioning:
                torch.div(returns_to_go, scale, out=shown)
            torch.sub(observations, mean, out=seen).div_(std)
            if config.previous_action:
                taken.copy_(previous_actions)
            return embed(tokens)

        return embedded

    def _scaled(self, returns_to_go: Tensor, observations: Tensor) -> tuple[Tensor, Tensor]:
        shown = returns_to_go if self.config.return_conditioning else torch.zeros_like(returns_to_go)
        returns = (shown / self.config.return_scale)[..., None]
        return returns, (observations - self.observation_mean) / self.observation_std

    def _merged(self, returns: Tensor, observations: Tensor, previous_actions: Tensor) -> Tensor:
        parts = [returns, observations] + ([previous_actions] if self.config.previous_action else [])
        return torch.cat(parts, dim=-1)

    def _entered(self, state: State | None, initial: State, reset: Tensor | None) -> State:
        if state is None:
            return initial
        return state if reset is None else reset_rows(state, initial, reset)

    def _action(self, predicted: Tensor) -> Tensor:
        return self._action_map()(predicted)

    def _action_map(self) -> Map:
        """From what the head predicts: bounded by tanh to the action space; logits as they are."""
        if self.config.discrete:
            precision = self.head.weight.dtype  # bfloat16 would be too coarse for a softmax
            return lambda predicted: predicted.to(precision)
        middle, reach = self.action_middle, self.action_reach
        return lambda predicted: torch.addcmul(middle, reach, torch.tanh(predicted))


def _middle_and_reach(config: ModelConfig) -> tuple[Float[Tensor, " action"], Float[Tensor, " action"]]:
    """The middle of the action space and how far it reaches on both sides; `ConfigError` for bounds that are none."""
    # on the CPU even where the model is built without memory, to compare its shapes with a checkpoint's
    low, high = (torch.tensor(bound, device="cpu") for bound in (config.action_low, config.action_high))
    fit = low.shape == high.shape == (config.action_size,)
    if not (fit and (low < high).all() and low.isfinite().all() and high.isfinite().all()):
        raise ConfigError(
            f"expected {config.action_size} finite action bounds with low < high, "
            f"got {low.tolist()} and {high.tolist()}."
        )
    middle = (high + low) / 2
    reach = torch.minimum(high - middle, middle - low)
    # a sum that rounds to beyond a bound would be refused by the environment
    beyond = (middle + reach > high) | (middle - reach < low)
    return middle, torch.where(beyond, torch.nextafter(reach, reach.new_zeros(())), reach)
