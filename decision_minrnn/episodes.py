"""Rolling a policy out: an episode for each seed.

The result of an episode does not depend on how many run beside it, nor in which process: the policy is given as many
rows, idle ones included, as make no difference to their rounding. An environment that fails ends its episode and no
other; an episode that was lost with its worker process is run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import NamedTuple

import numpy as np

from decision_minrnn.envs import Environments, Fault, Order, Transition
from decision_minrnn.policy import Policy
from decision_minrnn.rounding import rows_for
from decision_minrnn.workers import WorkerEnvironments


class EpisodeResult(NamedTuple):
    """What became of one episode."""

    seed: int
    episode_return: float
    """Undiscounted sum of rewards."""
    length: int
    """Steps taken."""
    terminated: bool
    """Whether the environment ended it, rather than a time limit."""
    failure: str | None = None
    """Why it could not go on, where its environment failed; its return is then no result."""


def rollout(
    policy: Policy,
    environments: Environments | WorkerEnvironments,
    target_return: float,
    seeds: Sequence[int],
    on_episode: Callable[[EpisodeResult], None] | None = None,
) -> list[EpisodeResult]:
    """Run one episode for each seed, as many at once as there are environments.

    Args:
        policy: copies of it act.
        environments: one that finishes an episode takes the next seed at once. Those in worker processes work in two
            groups: while one steps, the policy acts for the other.
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
    count = min(len(environments), len(seeds))
    size = max(1, -(-count // environments.groups))
    results: dict[int, EpisodeResult] = {}
    waiting = iter(range(len(seeds)))
    groups = []
    for first in range(0, count, size):
        copies = range(first, min(first + size, count))
        groups.append(_Group(copy(policy), copies, target_return, seeds, waiting))
    for group in groups:
        environments.send(group.orders())
    while any(group.running for group in groups):
        for group in groups:
            if group.running:
                for episode, result in group.take(environments.receive(group.running)):
                    results[episode] = result
                    if on_episode is not None:
                        on_episode(result)
                environments.send(group.orders())
    return [results[episode] for episode in range(len(seeds))]


class _Group:
    """Copies of the environment that the policy acts for at once."""

    def __init__(
        self, policy: Policy, copies: range, target_return: float, seeds: Sequence[int], waiting: Iterator[int]
    ) -> None:
        """`waiting` are the episodes, by their place in `seeds`, that no group has begun yet."""
        rows = rows_for(policy, len(copies))
        self.policy, self.first, self.target_return, self.seeds = policy, copies.start, target_return, seeds
        self.waiting = waiting
        self.running: dict[int, int] = {}
        """The episode of each copy that has one."""
        self.starting: set[int] = set()
        """Copies that are to begin their episode."""
        self.deaths: Counter[int] = Counter()
        """How often a worker died in a step of an episode."""
        self.observations = np.zeros((rows, policy.model.config.observation_size), np.float32)
        self.rewards, self.returns, self.lengths = np.zeros(rows, np.float32), np.zeros(rows), np.zeros(rows, int)
        self.begun = np.zeros(rows, bool)
        """Rows whose episode began after the policy last acted."""
        self.row_seeds = [0] * rows
        policy.reset(rows, target_return, self.row_seeds)
        for index in copies:
            self._begin(index, next(waiting))

    def take(self, outcomes: Mapping[int, Transition | Fault]) -> Iterator[tuple[int, EpisodeResult]]:
        """Note what the copies did; the episodes that ended with it, and their results."""
        for index, outcome in outcomes.items():
            row, episode = index - self.first, self.running[index]
            if isinstance(outcome, Fault):
                self.deaths[episode] += outcome.blame == "unclear"
                if outcome.blame == "own" or self.deaths[episode] > 1:
                    yield self._end(index, False, outcome.reason)
                else:
                    self._begin(index, episode)
                continue
            self.observations[row], self.rewards[row] = outcome.observation, outcome.reward
            if index in self.starting:
                self.starting.remove(index)
                self.begun[row] = True
                continue
            self.returns[row] += outcome.reward
            self.lengths[row] += 1
            if outcome.terminated or outcome.truncated:
                yield self._end(index, outcome.terminated)

    def orders(self) -> dict[int, Order]:
        """What the copies are to do next: begin an episode, or take the action that the policy chooses."""
        if self.begun.any():
            self.policy.restart(self.begun, self.target_return, self.row_seeds)
            self.begun[:] = False
        acting = self.running.keys() - self.starting
        # a row without an episode is given what it had last: what comes of it is not used
        actions = self.policy.act(self.observations, self.rewards) if acting else ()
        return {
            index: actions[index - self.first] if index in acting else self.row_seeds[index - self.first]
            for index in self.running
        }

    def _begin(self, index: int, episode: int) -> None:
        row = index - self.first
        self.running[index], self.row_seeds[row] = episode, int(self.seeds[episode])
        self.returns[row] = self.lengths[row] = 0
        self.starting.add(index)

    def _end(self, index: int, terminated: bool, failure: str | None = None) -> tuple[int, EpisodeResult]:
        """The result of an episode, whose copy goes on to the next that waits."""
        row, episode = index - self.first, self.running.pop(index)
        result = EpisodeResult(
            self.row_seeds[row], float(self.returns[row]), int(self.lengths[row]), terminated, failure
        )
        self.starting.discard(index)
        following = next(self.waiting, None)
        if following is not None:
            self._begin(index, following)
        return episode, result
