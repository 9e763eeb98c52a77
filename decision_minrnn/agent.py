"""A policy behind the interface of stable-baselines3's recurrent policies: `predict`, with the state in and out.

    environments = make_vec_env("Hopper-v5", 4, wrapper_class=RewardObservation)
    evaluate_policy(Agent(policy, target_return=3600), environments)

`predict` is not given rewards, while a return-conditioned policy must know what it has earned: its target falls by each
reward. So the environment shows the reward of the last action as the last number of its observation.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from jaxtyping import Bool, Float, Int64
from numpy import ndarray

from decision_minrnn.errors import ConfigError
from decision_minrnn.policy import Policy

AgentState = tuple[ndarray, ...]
"""Return still to be had [B], previous actions [B, A], then what the model carries; batch first in each."""


class RewardObservation(gymnasium.Wrapper[ndarray, Any, ndarray, Any]):
    """Shows the reward of the last action, 0 at first, as the last number of the observation."""

    def __init__(self, env: gymnasium.Env[ndarray, Any]) -> None:
        """Raises `ConfigError` for observations that are not vectors."""
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise ConfigError(f"RewardObservation expects observations that are vectors, got the space {space}.")
        low, high = np.append(space.low, -np.inf), np.append(space.high, np.inf)
        dtype: Any = space.dtype
        self.observation_space = Box(low.astype(dtype), high.astype(dtype), dtype=dtype)

    def reset(self, **options: Any) -> tuple[ndarray, dict[str, Any]]:
        """As of the environment."""
        observation, info = self.env.reset(**options)
        return self._with(observation, 0.0), info

    def step(self, action: Any) -> tuple[ndarray, Any, bool, bool, dict[str, Any]]:
        """As of the environment."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._with(observation, float(reward)), reward, terminated, truncated, info

    def _with(self, observation: ndarray, reward: float) -> ndarray:
        return np.append(observation, reward).astype(self.observation_space.dtype)


class Agent:
    """A policy with carried memory that keeps nothing itself: everything that it remembers is in the state."""

    def __init__(self, policy: Policy, target_return: float | None = None, seed: int = 0) -> None:
        """`target_return` is by default the first of the policy's task; `seed` is that of sampled choices.

        Raises `ConfigError` for a policy whose memory is not carried, or that has no target.
        """
        if policy.memory != "carried":
            raise ConfigError(f"an agent expects a policy with carried memory, got {policy.memory} memory.")
        if target_return is None:
            if policy.task is None or not policy.task.targets:
                raise ConfigError("this policy knows no target return; name one: Agent(policy, target_return=3600).")
            target_return = policy.task.targets[0]
        self.target_return = target_return
        """Return to reach, of episodes that start from now on."""
        self._model, self._step = policy.model, policy.model.stepper()
        self._device = policy.model.head.weight.device
        self._generator = np.random.default_rng(seed)

    @torch.inference_mode()
    def predict(
        self,
        observation: Float[ndarray, "*batch observation"],
        state: AgentState | None = None,
        episode_start: Bool[ndarray, " batch"] | None = None,
        deterministic: bool = True,
    ) -> tuple[Float[ndarray, "*batch action"] | Int64[ndarray, "*batch"], AgentState]:
        """The actions of a step, and the state to give at the next.

        Args:
            observation: of environments in a `RewardObservation`, one or several.
            state: what `predict` returned for the step before; None where all episodes start.
            episode_start: which of them start now.
            deterministic: the likeliest of discrete actions, rather than one drawn. Others are not drawn in any case.

        Raises:
            ValueError: observations of another size.
        """
        config = self._model.config
        rows = np.atleast_2d(np.asarray(observation, np.float32))
        if rows.shape[1:] != (config.observation_size + 1,):
            raise ValueError(
                f"predict expects observations of size {config.observation_size} with the last reward after them, "
                f"{config.observation_size + 1} in all, got shape {np.shape(observation)}. Wrap the environment in "
                "RewardObservation."
            )
        count = len(rows)
        if state is None:
            start, carried = np.ones(count, bool), None
            before: AgentState = (np.zeros(count, np.float32), np.zeros((count, config.action_size), np.float32))
        else:
            start = np.zeros(count, bool) if episode_start is None else np.asarray(episode_start, bool)
            carried, before = tuple(map(self._tensor, state[2:])), state[:2]
        returns = np.where(start, np.float32(self.target_return), before[0] - rows[:, -1])
        previous = np.where(start[:, None], np.float32(0), before[1])
        inputs = (self._tensor(part) for part in (returns, rows[:, :-1], previous))
        predicted, after = self._step(*inputs, carried, None if carried is None else self._tensor(start))
        actions = predicted.cpu().numpy()
        if config.discrete:
            if not deterministic:
                # the largest of logits with Gumbel noise is a draw from their distribution
                actions = actions + self._generator.gumbel(size=actions.shape)
            choices = actions.argmax(axis=1)
            actions, result = np.eye(config.action_size, dtype=np.float32)[choices], choices
        else:
            result = actions
        following = (returns, actions, *(part.cpu().numpy() for part in after))
        return result if np.ndim(observation) == 2 else result[0], following

    def _tensor(self, array: ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
