"""Episodes of anything that acts, whole and with their last observation.

One episode after another in one environment, and all that is random in an episode follows from its seed, so that a
recording is the same wherever and whenever it is made, and short episodes come no sooner than long ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from itertools import count
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from decision_minrnn.collection.actor import GaussianActor
from decision_minrnn.envs import Environments
from decision_minrnn.policy import Policy


class RecordedEpisode(NamedTuple):
    """T actions, and the T+1 observations before, between and after them."""

    observations: Float32[ndarray, "time+1 observation"]
    actions: Float32[ndarray, "time action"]
    """As the environment took them, within its bounds; of choices, the index."""
    rewards: Float32[ndarray, " time"]
    terminated: bool
    truncated: bool

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of rewards."""
        return float(self.rewards.sum(dtype=np.float64))


Acting = Callable[[Float32[ndarray, " observation"], float], Float32[ndarray, " action"]]
"""From what is seen, and the reward of the action before (0 at first), to an action in the environment's units."""

Behaviour = Callable[[np.random.Generator], Acting]
"""Begins an episode, whose random numbers the generator gives."""


def uniform(environments: Environments) -> Behaviour:
    """Actions drawn uniformly from within the bounds, or from the choices."""
    if environments.discrete:
        return lambda generator: lambda observation, reward: generator.integers(environments.action_size, size=1)
    low, high = environments.action_low, environments.action_high
    return lambda generator: lambda observation, reward: generator.uniform(low, high)


def stochastic(actor: GaussianActor, environments: Environments) -> Behaviour:
    """The actions that a Gaussian actor draws, stretched to the bounds."""
    low, high = environments.action_low, environments.action_high
    return lambda generator: lambda observation, reward: stretched(actor.act(observation, generator), low, high)


def conditioned(policy: Policy, target_return: float) -> Behaviour:
    """A policy of this project, acting to reach a return; nothing about it is random."""

    def begin(generator: np.random.Generator) -> Acting:
        policy.reset(1, target_return)
        return lambda observation, reward: policy.act(observation[None], np.array([reward]))[0]

    return begin


def stretched(
    actions: Float32[ndarray, "*steps action"], low: Float32[ndarray, " action"], high: Float32[ndarray, " action"]
) -> Float32[ndarray, "*steps action"]:
    """Actions from [-1, 1] onto the bounds, rounded as stable-baselines3 does it."""
    return low + (0.5 * (actions + 1.0) * (high - low))


class Purpose(IntEnum):
    """What episodes are run for; each has seeds of its own."""

    TRAINING = 0
    EVALUATION = 1
    RANDOM_REFERENCE = 2
    EXPERT_REFERENCE = 3
    RECORDING = 4
    SECOND_RECORDING = 5


def episode_seed(seed: int, purpose: Purpose, number: int) -> int:
    """The seed of one episode."""
    return int(np.random.SeedSequence((seed, purpose, number)).generate_state(1)[0])


def episode_seeds(seed: int, purpose: Purpose) -> Iterator[int]:
    """The seeds of all episodes for one purpose, endlessly."""
    return (episode_seed(seed, purpose, number) for number in count())


def record_episodes(
    behaviour: Behaviour, environments: Environments, seeds: Iterable[int]
) -> Iterator[RecordedEpisode]:
    """Run one episode for each seed, as they are asked for, in the first of the environments."""
    for seed in seeds:
        # an environment draws from the generator of the seed alone: another one, lest its start and the actions agree
        acting = behaviour(np.random.default_rng((seed, 1)))
        yield _record_episode(acting, environments, seed)


def _record_episode(acting: Acting, environments: Environments, seed: int) -> RecordedEpisode:
    observations, actions, rewards = [environments.reset(0, seed)], [], [0.0]
    while True:
        chosen = acting(observations[-1], rewards[-1])
        action = np.clip(chosen, environments.action_low, environments.action_high).astype(np.float32)
        observation, reward, terminated, truncated = environments.step(0, action)
        observations.append(observation)
        actions.append(action)
        rewards.append(reward)
        if terminated or truncated:
            rows = np.array(rewards[1:], np.float32)
            return RecordedEpisode(np.array(observations), np.array(actions), rows, terminated, truncated)
