"""What a training saw: its steps in the order in which they were taken, and the same as episodes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from decision_minrnn.collection.recording import RecordedEpisode, stretched


class Transitions(NamedTuple):
    """Step n was taken in environment n modulo the number of environments."""

    observations: Float32[ndarray, "steps observation"]
    actions: Float32[ndarray, "steps action"]
    """Scaled from the bounds to [-1, 1]."""
    rewards: Float32[ndarray, " steps"]
    next_observations: Float32[ndarray, "steps observation"]
    terminated: Bool[ndarray, " steps"]
    truncated: Bool[ndarray, " steps"]


def replayed_episodes(
    transitions: Transitions, environments: int, low: Float32[ndarray, " action"], high: Float32[ndarray, " action"]
) -> list[RecordedEpisode]:
    """All steps as episodes, in the order of their beginnings; those under way at the end are truncated there.

    Args:
        transitions: of a training.
        environments: how many it ran in.
        low: lowest actions.
        high: highest actions.
    """
    found: list[tuple[int, RecordedEpisode]] = []
    for index in range(environments):
        rows = np.arange(index, len(transitions.rewards), environments)
        over = transitions.terminated[rows] | transitions.truncated[rows]
        for piece in np.split(rows, np.flatnonzero(over) + 1):
            if len(piece):
                found.append((int(piece[0]), _episode(transitions, piece, low, high)))
    return [episode for _, episode in sorted(found, key=lambda pair: pair[0])]


def _episode(
    transitions: Transitions, rows: ndarray, low: Float32[ndarray, " action"], high: Float32[ndarray, " action"]
) -> RecordedEpisode:
    last = rows[-1]
    terminated = bool(transitions.terminated[last])
    return RecordedEpisode(
        observations=np.concatenate([transitions.observations[rows], transitions.next_observations[last][None]]),
        actions=np.clip(stretched(transitions.actions[rows], low, high), low, high, dtype=np.float32),
        rewards=transitions.rewards[rows],
        terminated=terminated,
        truncated=not terminated,
    )
