"""Environments: made by id, one seed an episode, and errors for those that a policy cannot act in."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import LEDGER

from decision_minrnn.envs import Environments
from decision_minrnn.errors import ConfigError, UnknownNameError


def test_a_step_by_hand() -> None:
    with Environments(LEDGER, 2) as environments:
        assert (len(environments), environments.observation_size, environments.action_size) == (2, 2, 1)
        np.testing.assert_array_equal(environments.reset(0, seed=3), [0, 3])
        np.testing.assert_array_equal(environments.reset(1, seed=8), [0, 8])
        step = environments.step(0, np.array([0.5], np.float32))
        np.testing.assert_array_equal(step.observation, [1, 3])
        assert (step.reward, step.terminated, step.truncated) == (1.5, False, False)
        np.testing.assert_array_equal(environments.step(1, np.zeros(1)).observation, [1, 8])


def test_actions_are_clipped_to_the_bounds() -> None:
    with Environments(LEDGER) as environments:
        environments.reset(0, seed=0)
        assert environments.step(0, np.array([7.0])).reward == 1 + 1


def test_a_seed_is_an_episode_whatever_came_before() -> None:
    def episode(environments: Environments) -> np.ndarray:
        seen = [environments.reset(0, seed=5)]
        seen += [environments.step(0, np.full(3, 0.3)).observation for _ in range(10)]
        return np.array(seen)

    with Environments("Hopper-v5") as fresh:
        first = episode(fresh)
    with Environments("Hopper-v5") as used:
        used.reset(0, seed=1)
        for _ in range(30):
            used.step(0, np.ones(3))
        np.testing.assert_array_equal(episode(used), first)


def test_an_unknown_id_names_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown environment 'Hoper-v5'.*Did you mean Hopper-v5"):
        Environments("Hoper-v5")


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("FrozenLake-v1", "observations of the space"),
        ("Hopper-v2", "cannot make the environment Hopper-v2"),
    ],
)
def test_an_environment_that_cannot_be_used(env_id: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Environments(env_id)


def test_other_sizes_are_refused() -> None:
    with Environments(LEDGER) as environments:
        environments.check_sizes(2, 1)
        with pytest.raises(
            ConfigError,
            match=r"size 2 and actions of size 1.*trained for .*11 and actions of size 3.*Name the",
        ):
            environments.check_sizes(11, 3)


def test_a_simulator_goes_on_from_the_state_it_is_put_into() -> None:
    # Hopper sees its positions without the first, and its velocities
    positions, velocities = np.array([9, 1.2, 0.1, -0.1, -0.2, 0.3]), np.linspace(-1, 1, 6)
    with Environments("Hopper-v5") as environments:
        environments.reset(0, seed=0)
        seen = environments.set_state(0, positions, velocities)
        np.testing.assert_allclose(seen, [*positions[1:], *velocities], rtol=1e-6)
        first = environments.step(0, np.full(3, 0.5))
        environments.set_state(0, positions, velocities)
        np.testing.assert_allclose(environments.step(0, np.full(3, 0.5)).observation, first.observation, atol=1e-5)


@pytest.mark.parametrize(("env_id", "message"), [(LEDGER, "no simulator state"), ("Hopper-v5", r"sizes \(6, 6\), but")])
def test_states_that_cannot_be_set(env_id: str, message: str) -> None:
    with Environments(env_id) as environments:
        environments.reset(0, seed=0)
        with pytest.raises(ConfigError, match=message):
            environments.set_state(0, np.zeros(2), np.zeros(2))
