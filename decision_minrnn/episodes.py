"""Rolling a policy out: an episode for each seed.

The result of an episode does not depend on how many run beside it, nor in which process: the policy is given as many
rows, idle ones included, as make no difference to their rounding. An environment that fails ends its episode and no
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import chain, islice
from math import nan
from typing import NamedTuple

import numpy as np

from decision_minrnn.envs import Environments, Fault, Order, Transition
from decision_minrnn.policy import Policy
from decision_minrnn.rounding import rows_for


class EpisodeResult(NamedTuple):
    """What became of one episode."""

    seed: int
    episode_return: float
    """Undiscounted sum of rewards; nan where the environment failed."""
    length: int
    """Steps taken."""
    terminated: bool
    """Whether the environment ended it, rather than a time limit."""
    failure: str | None = None
    """Why it could not go on, where its environment failed."""


@dataclass(slots=True)
class Episode:
    """One that is to be run, or under way."""

    number: int
    """Its place among all that are to be run."""
    seed: int
    episode_return: float = 0.0
    """Rewards so far."""
    length: int = 0
    """Steps so far."""

    def ended(self, terminated: bool) -> tuple[int, EpisodeResult]:
        """Its number and result, where it came to its end."""
        return self.number, EpisodeResult(self.seed, self.episode_return, self.length, terminated)

    def failed(self, reason: str) -> tuple[int, EpisodeResult]:
        """The same, where it could not go on."""
        return self.number, EpisodeResult(self.seed, nan, self.length, False, reason)


def rollout(
    policy: Policy,
    environments: Environments,
    target_return: float,
    seeds: Sequence[int],
    on_episode: Callable[[EpisodeResult], None] | None = None,
) -> list[EpisodeResult]:
    """Run one episode for each seed, as many at once as there are environments.

    Args:
        policy: a copy of it acts.
        environments: one that finishes an episode takes the next seed at once.
        target_return: in the environment's units.
        seeds: one an episode.
        on_episode: called as each episode ends.

    Returns:
        The episodes in the order of their seeds.

    Raises:
        ConfigError: the environment's sizes do not fit the policy's model.
    """
    config = policy.model.config
    environments.check_sizes(config.observation_size, config.action_size, config.discrete)
    results: dict[int, EpisodeResult] = {}
    for number, result in run_episodes(policy, environments, target_return, numbered(seeds)):
        results[number] = result
        if on_episode is not None:
            on_episode(result)
    return [results[number] for number in range(len(seeds))]


def numbered(seeds: Sequence[int]) -> Iterator[Episode]:
    """An episode for each seed."""
    return (Episode(number, int(seed)) for number, seed in enumerate(seeds))


def run_episodes(
    policy: Policy,
    environments: Environments,
    target_return: float,
    waiting: Iterator[Episode],
    watch: Callable[[Episode | None], None] = lambda episode: None,
) -> Iterator[tuple[int, EpisodeResult]]:
    """Run episodes as they come.

    Args:
        policy: a copy of it acts.
        environments: of the policy's sizes.
        target_return: in the environment's units.
        waiting: the episodes; one for each environment is taken at first, and another after each result.
        watch: called with an episode before its environment is reset or stepped, and with None after it.

    Yields:
        Number and result of each episode as it ends.
    """
    first = list(islice(waiting, len(environments)))
    if not first:
        return
    waiting = chain(first, waiting)
    rows = rows_for(policy, len(first))
    policy = copy(policy)
    policy.reset(rows, target_return)
    running: dict[int, Episode] = {}
    """By row, which is the number of its environment as well; the policy may be given further rows that are idle."""
    observations = np.zeros((rows, policy.model.config.observation_size), np.float32)
    rewards, begun, seeds = np.zeros(rows, np.float32), np.zeros(rows, bool), [0] * rows

    def obey(row: int, episode: Episode, order: Order) -> Transition | Fault:
        watch(episode)
        outcome = environments.obey(row, order)
        watch(None)
        if isinstance(outcome, Transition):
            observations[row], rewards[row] = outcome.observation, outcome.reward
        return outcome

    def begin(row: int) -> Iterator[tuple[int, EpisodeResult]]:
        """Start the next episode that can be started; the others' results."""
        for episode in waiting:
            outcome = obey(row, episode, episode.seed)
            if isinstance(outcome, Transition):
                running[row], begun[row], seeds[row] = episode, True, episode.seed
                return
            yield episode.failed(outcome.reason)

    for row in range(len(first)):
        yield from begin(row)
    while running:
        if begun.any():
            policy.restart(begun, target_return, seeds)
            begun[:] = False
        # a row without an episode is given what it had last: what comes of it is not used
        actions = policy.act(observations, rewards)
        for row, episode in list(running.items()):
            outcome = obey(row, episode, actions[row])
            if isinstance(outcome, Transition):
                episode.episode_return += outcome.reward
                episode.length += 1
                if not (outcome.terminated or outcome.truncated):
                    continue
                ended = episode.ended(outcome.terminated)
            else:
                ended = episode.failed(outcome.reason)
            del running[row]
            yield ended
            yield from begin(row)
