"""An environment whose returns can be worked out by hand, and recordings in it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy import ndarray

from decision_minrnn.cards import EnvCard
from decision_minrnn.data import Trajectories

LEDGER = "decision-minrnn/Ledger-v0"
CARD = EnvCard("ledger", LEDGER, register=f"{__name__}:register")


class Ledger(gymnasium.Env[ndarray, ndarray]):
    """Pays 1 + t + action at step t = 0, 1, ... and shows (t, seed).

    The episode of seed s has 3 + s mod 5 steps, and is terminated if s is even, truncated if it is odd.
    """

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[ndarray, dict]:
        """Begin the episode of a seed."""
        super().reset(seed=seed)
        self.seed, self.time = seed or 0, 0
        return self._observation(), {}

    def step(self, action: ndarray) -> tuple[ndarray, float, bool, bool, dict]:
        """Pay, and go on."""
        reward = 1 + self.time + float(action[0])
        self.time += 1
        over, even = self.time == length(self.seed), self.seed % 2 == 0
        return self._observation(), reward, over and even, over and not even, {}

    def _observation(self) -> ndarray:
        return np.array([self.time, self.seed], np.float32)


def register() -> None:
    """Make the environment known to gymnasium."""
    gymnasium.register(LEDGER, f"{__name__}:Ledger")


def length(seed: int) -> int:
    """Steps of an episode."""
    return 3 + seed % 5


def constant_return(seed: int, action: float) -> float:
    """The return of an episode in which every action is the same."""
    steps = length(seed)
    return steps * (steps + 1) / 2 + steps * action


def recordings(episodes: int = 40) -> Trajectories:
    """Episodes of random actions, and what they paid."""
    generator = np.random.default_rng(0)
    lengths = np.array([length(seed) for seed in range(episodes)])
    times, seeds = np.concatenate([np.arange(steps) for steps in lengths]), np.repeat(np.arange(episodes), lengths)
    actions = generator.uniform(-1, 1, (len(times), 1)).astype(np.float32)
    even = np.arange(episodes) % 2 == 0
    return Trajectories(
        observations=np.stack([times, seeds], axis=1).astype(np.float32),
        actions=actions,
        rewards=(1 + times + actions[:, 0]).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        terminated=even,
        truncated=~even,
        name="ledger",
        source="ledger: made for a self-test",
        action_low=np.full(1, -1, np.float32),
        action_high=np.full(1, 1, np.float32),
        env_id=LEDGER,
        env=CARD,
    )
