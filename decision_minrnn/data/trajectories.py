"""`Trajectories`: a whole dataset as flat arrays with episode offsets.

Episode e holds the steps `offsets[e] <= n < offsets[e + 1]`. Step n is (observation n, the action taken on it, the
reward for that action): T rows of each in an episode of T actions, whatever the source stores.

An episode that is neither terminated nor truncated is unfinished: the recording ends in its middle, and what it would
have earned is not known. Its return and returns-to-go are lower bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from decision_minrnn.cards import EnvCard, Reference
from decision_minrnn.types import Episode, ObservationStatistics


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Recorded episodes. N steps in E episodes; observations of size O, actions of size A."""

    observations: Float32[ndarray, "steps observation"]
    actions: Float32[ndarray, "steps action"]
    rewards: Float32[ndarray, " steps"]
    offsets: Int64[ndarray, " episodes+1"]
    """First step of each episode, then N."""
    terminated: Bool[ndarray, " episodes"]
    """The environment ended the episode."""
    truncated: Bool[ndarray, " episodes"]
    """A time limit or the end of the recording cut the episode."""
    name: str
    """Short name, used for run folders."""
    source: str
    """What was read and from where, in words, as printed to the user."""
    action_low: Float32[ndarray, " action"]
    action_high: Float32[ndarray, " action"]
    card_name: str | None = None
    """Name of the dataset card, if one was asked for."""
    env_id: str | None = None
    """gymnasium id to evaluate in, if known."""
    env: EnvCard | None = None
    references: Mapping[str, Reference] = field(default_factory=dict)
    """Score references by name: those of the environment card, and `minari-metadata` where the file holds them."""

    @property
    def steps(self) -> int:
        """N."""
        return len(self.rewards)

    @property
    def episodes(self) -> int:
        """E."""
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Int64[ndarray, " episodes"]:
        """Steps of each episode."""
        return np.diff(self.offsets)

    @property
    def finished(self) -> Bool[ndarray, " episodes"]:
        """False for an unfinished episode. Statistics of returns and lengths are over the finished ones."""
        return self.terminated | self.truncated

    @property
    def cut_short(self) -> Bool[ndarray, " episodes"]:
        """Episodes that were truncated before the environment card's limit, so that their returns are too low.

        D4RL's replay sets have them: the end of a training iteration is marked as a timeout. All False without a card.
        """
        limit = self.env.episode_limit if self.env else 0
        return self.truncated & ~self.terminated & (self.lengths < limit)

    @cached_property
    def returns(self) -> Float32[ndarray, " episodes"]:
        """Undiscounted sum of rewards of each episode, summed in float64."""
        return np.add.reduceat(self.rewards.astype(np.float64), self.offsets[:-1]).astype(np.float32)

    @property
    def finished_returns(self) -> Float32[ndarray, " finished_episodes"]:
        """Returns of the finished episodes; of all, if none has an end mark."""
        finished = self.finished
        return self.returns[finished] if finished.any() else self.returns

    @cached_property
    def returns_to_go(self) -> Float32[ndarray, " steps"]:
        """R_t, the sum of the rewards from step t to the end of its episode, summed in float64.

        Chen et al. 2021, "Decision Transformer", section 3; discount 1.
        """
        rewards = self.rewards.astype(np.float64)
        result = np.empty(self.steps, np.float32)
        for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            result[start:end] = np.cumsum(rewards[start:end][::-1])[::-1]
        return result

    @cached_property
    def episode_of_step(self) -> Int64[ndarray, " steps"]:
        """The episode that each step belongs to."""
        return np.repeat(np.arange(self.episodes), self.lengths)

    @cached_property
    def statistics(self) -> ObservationStatistics:
        """Mean and standard deviation of the observations."""
        return ObservationStatistics.of(self.observations)

    def episode(self, index: int) -> Episode:
        """One episode, as views of the flat arrays."""
        steps = slice(self.offsets[index], self.offsets[index + 1])
        return Episode(
            self.observations[steps],
            self.actions[steps],
            self.rewards[steps],
            bool(self.terminated[index]),
            bool(self.truncated[index]),
        )

    def __iter__(self) -> Iterator[Episode]:
        return (self.episode(index) for index in range(self.episodes))

    def __len__(self) -> int:
        return self.episodes
