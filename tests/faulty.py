"""An environment that fails when it is told to: one real gymnasium environment for every fault."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from ledger import Ledger

FAULTY = "decision-minrnn-tests/Faulty-v0"
STEP = 2
"""Steps that an episode has behind it when it fails."""


class Faulty(Ledger):
    """The Ledger, where the seeds that are named after `fault` fail in that way.

    What it is to do comes from a file, which the processes of workers read as well: `DECISION_MINRNN_FAULTS` names it,
    and each line of it is a fault and a seed. Faults that end in `once` happen once.
    """

    def fault(self) -> str:
        path = Path(os.environ["DECISION_MINRNN_FAULTS"])
        for line in path.read_text().splitlines():
            name, seed = line.split()
            if int(seed) == self.seed:
                happened = path.with_name(line)
                if name.endswith("once") and happened.exists():
                    return ""
                happened.touch()
                return name
        return ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        observation, info = super().reset(seed=seed, options=options)
        if self.fault() == "reset":
            raise ValueError("cannot be reset")
        return observation, info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        fault = self.fault() if self.time == STEP else ""
        observation, reward, terminated, truncated, info = super().step(action)
        if fault == "step":
            raise ValueError("cannot be stepped")
        if fault == "hang":
            time.sleep(3600)
        if fault.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "observation":
            observation[1] = np.nan
        return observation, np.inf if fault == "reward" else reward, terminated, truncated, info


gymnasium.register(FAULTY, Faulty)
