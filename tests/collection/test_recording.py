"""Episodes as the field wants them: T+1 observations, the two ends told apart, and everything from the seed."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from tiny import LEDGER, ledger_length, random_model

from decision_minrnn.collection.recording import (
    Behaviour,
    Purpose,
    conditioned,
    episode_seed,
    episode_seeds,
    record_episodes,
    stretched,
    uniform,
)
from decision_minrnn.envs import Environments
from decision_minrnn.episodes import rollout
from decision_minrnn.policy import Policy


def constant(action: float) -> Behaviour:
    return lambda generator: lambda observation, reward: np.full(1, action)


def test_an_episode_by_hand() -> None:
    with Environments(LEDGER) as environments:
        even, odd = record_episodes(constant(0.5), environments, (8, 5))
    assert even.observations.tolist() == [[0, 8], [1, 8], [2, 8], [3, 8], [4, 8], [5, 8], [6, 8]]
    assert even.actions.tolist() == [[0.5]] * 6
    assert even.rewards.tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert (even.terminated, even.truncated, even.episode_return) == (True, False, 24)
    assert (odd.terminated, odd.truncated, len(odd.rewards)) == (False, True, ledger_length(5))
    assert {array.dtype for episode in (even, odd) for array in episode[:3]} == {np.dtype(np.float32)}


def test_the_action_that_is_recorded_is_the_one_that_was_taken() -> None:
    with Environments(LEDGER) as environments:
        (episode,) = record_episodes(constant(7.0), environments, (0,))
    assert episode.actions.tolist() == [[1]] * 3
    assert episode.rewards.tolist() == [2, 3, 4]


def test_what_acts_sees_what_came_of_its_last_action() -> None:
    seen: list[tuple[float, float]] = []

    def begin(generator: np.random.Generator):  # type: ignore[no-untyped-def]
        return lambda observation, reward: seen.append((float(observation[0]), reward)) or np.zeros(1)

    with Environments(LEDGER) as environments:
        list(record_episodes(begin, environments, (0, 5)))
    assert seen == [(0, 0), (1, 1), (2, 2), (0, 0), (1, 1), (2, 2)]


def test_a_seed_is_an_episode() -> None:
    with Environments("Pendulum-v1") as environments:
        acting = uniform(environments)
        first, second, third = record_episodes(acting, environments, (1, 2, 1))
    np.testing.assert_array_equal(first.observations, third.observations)
    np.testing.assert_array_equal(first.actions, third.actions)
    assert not np.array_equal(first.actions, second.actions)


def test_actions_do_not_follow_from_where_the_episode_starts() -> None:
    with Environments("Pendulum-v1") as environments:
        acting, starts, actions = uniform(environments), [], []
        for seed in range(50):
            cosine, sine, _ = environments.reset(0, seed)
            starts.append(np.arctan2(sine, cosine))
            actions.append(next(record_episodes(acting, environments, (seed,))).actions[0, 0])
    assert abs(np.corrcoef(starts, actions)[0, 1]) < 0.5


def test_seeds_differ_by_purpose_seed_and_number() -> None:
    seeds = [episode_seed(seed, purpose, number) for seed in range(3) for purpose in Purpose for number in range(20)]
    assert len(set(seeds)) == len(seeds)
    assert list(islice(episode_seeds(2, Purpose.RECORDING), 3)) == [
        episode_seed(2, Purpose.RECORDING, number) for number in range(3)
    ]


def test_uniform_actions_fill_the_bounds() -> None:
    with Environments("Pendulum-v1") as environments:
        actions = next(record_episodes(uniform(environments), environments, (0,))).actions
    assert (np.abs(actions) <= 2).all()
    assert np.histogram(actions, bins=4, range=(-2, 2))[0].min() > 30


def test_stretched_by_hand() -> None:
    low, high = np.array([-2, 0], np.float32), np.array([2, 10], np.float32)
    assert stretched(np.array([[-1, 1], [0.5, -0.5]], np.float32), low, high).tolist() == [[-2, 10], [1, 2.5]]


def test_a_policy_of_this_project_acts_as_in_a_rollout() -> None:
    policy = Policy(random_model())
    with Environments(LEDGER) as environments:
        expected = rollout(policy, environments, 12.0, (3, 4))
        recorded = list(record_episodes(conditioned(policy, 12.0), environments, (3, 4)))
    for episode, result in zip(recorded, expected, strict=True):
        assert episode.episode_return == pytest.approx(result.episode_return, abs=1e-4)
        assert len(np.unique(episode.actions)) > 1
