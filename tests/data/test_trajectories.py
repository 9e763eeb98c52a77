"""`Trajectories`: sums worked out by hand, and episodes as views."""

from __future__ import annotations

import numpy as np
from tiny import trajectories

from decision_minrnn.data import Trajectories


def small() -> Trajectories:
    """Three episodes of 3, 1 and 2 steps with the rewards 1, 2, 4 | 8 | 16, 32."""
    return Trajectories(
        observations=np.arange(12, dtype=np.float32).reshape(6, 2),
        actions=np.arange(6, dtype=np.float32).reshape(6, 1),
        rewards=np.array([1, 2, 4, 8, 16, 32], np.float32),
        offsets=np.array([0, 3, 4, 6]),
        terminated=np.array([True, False, True]),
        truncated=np.array([False, True, False]),
        name="small",
        source="small",
        action_low=np.array([-1], np.float32),
        action_high=np.array([1], np.float32),
    )


def test_returns_and_returns_to_go_by_hand() -> None:
    data = small()
    np.testing.assert_array_equal(data.returns, [7, 8, 48])
    np.testing.assert_array_equal(data.returns_to_go, [7, 6, 4, 8, 48, 32])
    assert data.returns_to_go.dtype == np.float32


def test_sums_are_taken_in_float64() -> None:
    data = small()
    data.rewards[:3] = [1e8, 1, -1e8]
    assert data.returns[0] == data.returns_to_go[0] == 1


def test_counts_and_episodes() -> None:
    data = small()
    assert (data.steps, data.episodes, len(data)) == (6, 3, 3)
    assert repr(data) == "<Trajectories small>"
    np.testing.assert_array_equal(data.lengths, [3, 1, 2])
    np.testing.assert_array_equal(data.episode_of(np.arange(6)), [0, 0, 0, 1, 2, 2])
    last = data.episode(2)
    np.testing.assert_array_equal(last.observations, [[8, 9], [10, 11]])
    np.testing.assert_array_equal(last.actions, [[4], [5]])
    assert (last.terminated, last.truncated) == (True, False)
    assert np.shares_memory(last.observations, data.observations)
    assert [len(episode.rewards) for episode in data] == [3, 1, 2]


def test_statistics_by_hand() -> None:
    data = small()
    np.testing.assert_allclose(data.statistics.mean, [5, 6])
    np.testing.assert_allclose(data.statistics.std, np.full(2, np.sqrt(35 / 3)), rtol=1e-6)


def test_the_best_episodes_by_hand() -> None:
    # returns 6, 4, 5 over 3, 1 and 2 steps
    rewards = np.array([1, 2, 3, 4, 2, 3], np.float32)
    data = trajectories((3, 1, 2), rewards=rewards, final_observations=np.arange(6, dtype=np.float32).reshape(3, 2))
    for percent, episodes in ((100, [0, 1, 2]), (99, [0, 2]), (84, [0, 2]), (83, [0]), (50, [0]), (1, [0])):
        best = data.best(percent)
        assert best.returns.tolist() == data.returns[episodes].tolist(), percent
        assert best.lengths.tolist() == data.lengths[episodes].tolist()
        np.testing.assert_array_equal(best.final_observations, data.final_observations[episodes])
        np.testing.assert_array_equal(
            best.episode(len(episodes) - 1).observations, data.episode(episodes[-1]).observations
        )
    assert data.best(50).source.endswith("of which the best 50 %, 3 steps in 1 episodes")
