"""`Trajectories`: a whole dataset as flat arrays with episode offsets.

Episode e holds the steps `offsets[e] <= n < offsets[e + 1]`. Step n is (observation n, the action taken on it, the
reward for that action): T rows of each in an episode of T actions, whatever the source stores. The arrays may be
read-only maps of files, larger than memory.

An episode that is neither terminated nor truncated is unfinished: the recording ends in its middle, and what it would
have earned is not known. Its return and returns-to-go are lower bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from decision_minrnn.cards import EnvCard
from decision_minrnn.data.base import Recording
from decision_minrnn.types import Episode, ObservationStatistics


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectories(Recording):
    """A recording and what is known of it. N steps in E episodes; observations of size O, actions of size A.

    `env_id` is the gymnasium id to evaluate in, if known; `references` are those of the environment card, and the
    file's own where it holds any.
    """

    name: str
    """Short name, used for run folders."""
    source: str
    """What was read and from where, in words, as printed to the user."""
    action_low: Float32[ndarray, " action"]
    action_high: Float32[ndarray, " action"]
    card_name: str | None = None
    """Name of the dataset card, if one was asked for."""
    env: EnvCard | None = None

    def __repr__(self) -> str:
        return f"<Trajectories {self.source}>"

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
        return np.add.reduceat(self.rewards, self.offsets[:-1], dtype=np.float64).astype(np.float32)

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
        result = np.empty(self.steps, np.float32)
        for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            result[start:end] = np.cumsum(self.rewards[start:end][::-1], dtype=np.float64)[::-1]
        return result

    def episode_of(self, steps: Int64[ndarray, "*shape"]) -> Int64[ndarray, "*shape"]:
        """The episode that each step belongs to."""
        return np.searchsorted(self.offsets, steps, side="right") - 1

    @cached_property
    def statistics(self) -> ObservationStatistics:
        """Mean and standard deviation of the observations."""
        return ObservationStatistics.of(self.observations)

    def best(self, percent: float) -> Trajectories:
        """The episodes of highest return, in their order: as many as hold `percent` of the steps, at least one.

        The data of filtered behaviour cloning (Chen et al. 2021, "Decision Transformer", section 5.1); copies the rows.
        """
        ranked = np.argsort(-self.returns, kind="stable")
        count = int(np.searchsorted(np.cumsum(self.lengths[ranked]), self.steps * percent / 100, side="right"))
        chosen = np.sort(ranked[: max(count, 1)])
        rows = np.concatenate([np.arange(self.offsets[index], self.offsets[index + 1]) for index in chosen])
        final = self.final_observations
        return replace(
            self,
            observations=self.observations[rows],
            actions=self.actions[rows],
            rewards=self.rewards[rows],
            offsets=np.concatenate([[0], np.cumsum(self.lengths[chosen])]),
            terminated=self.terminated[chosen],
            truncated=self.truncated[chosen],
            final_observations=None if final is None else final[chosen],
            infos={name: values[rows] for name, values in self.infos.items()},
            source=f"{self.source}; of which the best {percent:g} %, {len(rows):,} steps in {len(chosen):,} episodes",
        )

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
