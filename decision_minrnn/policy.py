"""`Policy`: a trained model that acts, one step at a time, in many episodes at once."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy import ndarray
from numpy.typing import ArrayLike
from torch import Tensor

from decision_minrnn.config import Memory
from decision_minrnn.errors import ConfigError
from decision_minrnn.model import DecisionModel
from decision_minrnn.origin import Origin, Task
from decision_minrnn.sharing import Shareable
from decision_minrnn.types import State


class Policy(Shareable):
    """Acts to reach a target return.

    What it remembers of an episode (`memory`):

    - `carried`: everything, in a state of fixed size; a step costs the same at any age.
    - `window`: the last `context` steps, fed again at each step (Decision Transformer's protocol).
    - `reset`: carried, but dropped every `context` steps.

    The target falls by each reward that comes in: it is the return still to be had (Chen et al. 2021, section 3).

    Discrete actions are the likeliest ones, or drawn from the predicted distribution (`sampled`).
    """

    def __init__(
        self,
        model: DecisionModel,
        memory: Memory = "carried",
        context: int | None = None,
        sampled: bool = False,
        origin: Origin | None = None,
    ) -> None:
        """`context` is by default that of training, which a model of whole episodes lacks: it must be given one.

        `origin` says what the model was trained for, so that `evaluate` need not be told.

        Raises `ConfigError` for that, and for `sampled` actions of a model whose actions are not discrete.
        """
        if memory not in get_args(Memory):
            raise ConfigError(f"memory expects one of {', '.join(get_args(Memory))}, got {memory!r}.")
        self.model = _for_acting(model)
        self._step, self._rows = self.model.stepper(1), 1
        self.memory = memory
        self.context = model.config.context if context is None else context
        if memory != "carried" and (self.context is None or self.context < 1):
            own = "; this model was trained on whole episodes and has none of its own" if self.context is None else ""
            raise ConfigError(f"memory {memory} expects a context of at least 1 step, got {self.context}{own}.")
        if sampled and not model.config.discrete:
            raise ConfigError("only discrete actions can be sampled; this model predicts an action, no distribution.")
        self.sampled = sampled
        self.origin = origin
        self._device = model.head.weight.device
        self.reset(1, 0.0)

    def __getstate__(self) -> dict[str, Any]:
        """All but the step, which is a function that no other process could be sent."""
        return {name: value for name, value in self.__dict__.items() if name != "_step"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._step = self.model.stepper(self._rows)

    @property
    def task(self) -> Task | None:
        """What it was trained for; None for a policy that was made of a model alone."""
        return self.origin.run.task if self.origin else None

    def reset(self, batch_size: int, target_return: ArrayLike, seeds: Sequence[int] | None = None) -> None:
        """Start `batch_size` episodes.

        Args:
            batch_size: B, the episodes that `act` is called for.
            target_return: return to reach, in the environment's units: one number, or B.
            seeds: of sampled actions, one an episode; by default 0, 1, ...
        """
        if batch_size != self._rows:
            self._step, self._rows = self.model.stepper(batch_size), batch_size
        self._generators = [_generator(seed) for seed in seeds or range(batch_size)] if self.sampled else []
        self._returns_to_go = self._targets(target_return, batch_size)
        self._time = 0
        """Calls of `act` since then."""
        self._starts = np.zeros(batch_size, np.int64)
        """The time at which each row's episode started."""
        self._starting = True
        """Whether any row is at its first step."""
        self._previous_actions = torch.zeros(batch_size, self.model.config.action_size, device=self._device)
        self._state: State | None = None
        self._window: tuple[Tensor, Tensor, Tensor] | None = None

    @torch.inference_mode()
    def restart(
        self, rows: Bool[ndarray, " batch"], target_return: ArrayLike, seeds: Sequence[int] | None = None
    ) -> None:
        """Start new episodes in the marked rows; the others go on. `seeds`, as of `reset`, are for all rows."""
        if np.shape(rows) != self._starts.shape:
            raise ValueError(f"restart expects {len(self._starts)} marks, got an array of shape {np.shape(rows)}.")
        rows = np.asarray(rows, bool)
        self._returns_to_go = np.where(rows, self._targets(target_return, len(rows)), self._returns_to_go)
        self._starts[rows] = self._time
        self._starting = self._starting or bool(rows.any())
        if self.sampled and seeds is not None:
            for row in np.flatnonzero(rows).tolist():
                self._generators[row] = _generator(seeds[row])
        self._previous_actions[torch.from_numpy(rows)] = 0

    @torch.inference_mode()
    def act(
        self, observations: Float[ndarray, "batch observation"], rewards: Float[ndarray, " batch"] | None = None
    ) -> Float[ndarray, "batch action"] | Int64[ndarray, " batch"]:
        """The next action of each episode: vectors, or the indices of discrete ones.

        Args:
            observations: what the environments show now.
            rewards: what the last actions earned; ignored (and may be None) where an episode starts.

        Raises:
            ValueError: shapes that do not fit the model or the `reset` before.
        """
        expected = (len(self._starts), self.model.config.observation_size)
        if np.shape(observations) != expected:
            raise ValueError(f"act expects observations of shape {expected}, got {np.shape(observations)}.")
        if rewards is not None:
            if np.shape(rewards) != expected[:1]:
                raise ValueError(f"act expects rewards of shape {expected[:1]}, got {np.shape(rewards)}.")
            earned = np.asarray(rewards, np.float32)
            if self._starting:
                earned = np.where(self._ages() == 0, np.float32(0), earned)
            self._returns_to_go = self._returns_to_go - earned
        elif self._ages().any():
            raise ValueError("act expects the rewards of the last actions: only the first step of an episode has none.")
        returns, seen = self._tensor(self._returns_to_go), self._tensor(observations)
        actions = self._act_in_window(returns, seen) if self.memory == "window" else self._act_carried(returns, seen)
        self._time += 1
        self._starting = False
        if not self.model.config.discrete:
            self._previous_actions = actions
            return actions.cpu().numpy()
        choices = self._choose(actions)
        self._previous_actions = torch.nn.functional.one_hot(choices, actions.shape[1]).to(actions.dtype)
        return choices.cpu().numpy()

    def _choose(self, logits: Float[Tensor, "batch action"]) -> Int64[Tensor, " batch"]:
        """The likeliest choice of each row, or one drawn by its own generator."""
        if not self.sampled:
            return logits.argmax(dim=1)
        drawn = self._tensor([generator.random() for generator in self._generators])[:, None]
        cumulative = torch.softmax(logits, dim=1).cumsum(dim=1)
        # the last probability is left out, since a sum that rounds to below 1 would leave a choice beyond it
        return (drawn >= cumulative[:, :-1]).sum(dim=1)

    def _act_carried(self, returns: Tensor, observations: Tensor) -> Tensor:
        reset = None
        if self._state is not None and (self._starting or self.memory == "reset"):
            ages = self._ages()
            fresh = ages % self.context == 0 if self.memory == "reset" else ages == 0
            reset = torch.from_numpy(fresh).to(self._device) if fresh.any() else None
        actions, self._state = self._step(returns, observations, self._previous_actions, self._state, reset)
        return actions

    def _act_in_window(self, returns: Tensor, observations: Tensor) -> Tensor:
        """Each row's last steps, oldest first; rows younger than the window leave its end unused."""
        assert self.context is not None
        new = (returns, observations, self._previous_actions)
        if self._window is None:
            self._window = tuple(x.new_zeros(x.shape[0], self.context, *x.shape[1:]) for x in new)  # type: ignore[assignment]
        assert self._window is not None
        rows = torch.arange(len(observations), device=self._device)
        age = torch.from_numpy(self._ages()).to(self._device)
        last, full = age.clamp_max(self.context - 1), age >= self.context
        for buffer, value in zip(self._window, new, strict=True):
            buffer[full] = buffer[full].roll(-1, dims=1)
            buffer[rows, last] = value
        actions, _ = self.model(*self._window)
        return actions[rows, last]

    def _ages(self) -> Int64[ndarray, " batch"]:
        """Steps that each row's episode has behind it."""
        return self._time - self._starts

    def _targets(self, target_return: ArrayLike, batch_size: int) -> Float[ndarray, " batch"]:
        targets = np.array(np.broadcast_to(np.asarray(target_return, np.float32), batch_size))
        if np.isnan(targets).any():
            raise ValueError("a target return is a number in the environment's units, got NaN.")
        return targets

    def _tensor(self, array: ArrayLike) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self._device)


def _generator(seed: int) -> np.random.Generator:
    # an environment draws from the generator of the seed alone: another one, lest its start and the actions agree
    return np.random.default_rng((seed, 1))


def _for_acting(model: DecisionModel) -> DecisionModel:
    """A copy that later training does not change, with its weights laid out for few rows.

    A product of a handful of rows reads the matrix once, and faster along the output: a quarter less time at 10 rows.
    """
    acting = deepcopy(model).eval()
    for module in acting.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = module.weight.data.t().contiguous().t()
    return acting
