"""Small recordings that the data tests write, with numbers that can be checked by hand."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np


def hopper_arrays(lengths: tuple[int, ...] = (3, 2), tail: int = 0, seed: int = 0) -> dict[str, np.ndarray]:
    """D4RL arrays of episodes of the given lengths, with Hopper's sizes; the first terminates, the others time out.

    The rewards are 1, 2, 3, ... over all steps; `tail` steps without an end mark follow.
    """
    generator = np.random.default_rng(seed)
    steps = sum(lengths) + tail
    ends = np.cumsum(lengths, dtype=np.int64) - 1
    terminals, timeouts = np.zeros(steps, bool), np.zeros(steps, bool)
    terminals[ends[:1]] = True
    timeouts[ends[1:]] = True
    return {
        "observations": generator.standard_normal((steps, 11)).astype(np.float32),
        "actions": generator.uniform(-1, 1, (steps, 3)).astype(np.float32),
        "rewards": np.arange(1, steps + 1, dtype=np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
    }


def write_hdf5(path: Path, arrays: dict[str, np.ndarray], env_id: str | bytes | None = None) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        if env_id is not None:
            file["metadata/env_id"] = env_id
    return path
