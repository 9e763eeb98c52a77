"""The steps of a training as episodes, by hand."""

from __future__ import annotations

import numpy as np

from decision_minrnn.collection.replay import Transitions, replayed_episodes


def test_steps_of_two_environments_become_episodes() -> None:
    # environment 0 takes the even steps: 0 2 | 4 6 ; environment 1 the odd ones: 1 3 5 | 7
    numbers = np.arange(8, dtype=np.float32)
    terminated, truncated = np.zeros(8, bool), np.zeros(8, bool)
    terminated[2], truncated[5] = True, True
    transitions = Transitions(
        observations=numbers[:, None],
        actions=(numbers / 8)[:, None],
        rewards=10 * numbers,
        next_observations=numbers[:, None] + 100,
        terminated=terminated,
        truncated=truncated,
    )
    low, high = np.array([-1], np.float32), np.array([3], np.float32)
    episodes = replayed_episodes(transitions, 2, low, high)
    assert [episode.observations[:, 0].tolist() for episode in episodes] == [
        [0, 2, 102], [1, 3, 5, 105], [4, 6, 106], [7, 107]
    ]  # fmt: skip
    assert [episode.rewards.tolist() for episode in episodes] == [[0, 20], [10, 30, 50], [40, 60], [70]]
    assert [(episode.terminated, episode.truncated) for episode in episodes] == [
        (True, False), (False, True), (False, True), (False, True)
    ]  # fmt: skip
    # from -1 to 1 onto -1 to 3: 1 + 2a
    assert [episode.actions[:, 0].tolist() for episode in episodes] == [
        [1, 1.5], [1.25, 1.75, 2.25], [2, 2.5], [2.75]
    ]  # fmt: skip
