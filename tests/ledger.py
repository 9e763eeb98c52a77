"""The Ledger: an environment whose returns are known. It needs no torch, so that workers start quickly."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

LEDGER = "decision-minrnn-tests/Ledger-v0"


class Ledger(gymnasium.Env[np.ndarray, np.ndarray]):
    """Pays 1 + t + action at step t = 0, 1, ...; shows (t, seed).

    The episode of seed s has `ledger_length(s)` steps, and is terminated if s is even, truncated if it is odd.
    """

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        assert seed is not None
        self.seed, self.time = seed, 0
        self.actions: list[float] = []
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = 1 + self.time + float(action[0])
        self.actions.append(float(action[0]))
        self.time += 1
        over = self.time == ledger_length(self.seed)
        even = self.seed % 2 == 0
        return self._observation(), reward, over and even, over and not even, {}

    def _observation(self) -> np.ndarray:
        return np.array([self.time, self.seed], np.float32)


gymnasium.register(LEDGER, Ledger)


def ledger_length(seed: int) -> int:
    return 3 + seed % 5


def ledger_return(seed: int, action: float) -> float:
    """The return of an episode in which every action is the same."""
    steps = ledger_length(seed)
    return steps * (steps + 1) / 2 + steps * action
