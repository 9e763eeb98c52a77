"""`Agent` under stable-baselines3's own evaluation and in a loop by hand: the actions of the policy, step by step."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from tiny import LEDGER, hopper_model, random_model, train_config, trajectories

from decision_minrnn.agent import Agent, RewardObservation
from decision_minrnn.envs import Environments
from decision_minrnn.episodes import rollout
from decision_minrnn.errors import ConfigError
from decision_minrnn.policy import Policy
from decision_minrnn.training import train

SEEDS = (5, 6, 7)


def test_stable_baselines3_finds_the_returns_of_a_rollout() -> None:
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    policy = Policy(hopper_model(previous_action=True))
    environments = make_vec_env("Hopper-v5", len(SEEDS), seed=SEEDS[0], wrapper_class=RewardObservation)
    returns, lengths = evaluate_policy(
        Agent(policy, 700.0),  # type: ignore[arg-type]
        environments,
        len(SEEDS),
        return_episode_rewards=True,
    )
    with Environments("Hopper-v5", len(SEEDS)) as own:
        episodes = rollout(policy, own, 700.0, SEEDS)
    expected = {(episode.length, round(episode.episode_return, 2)) for episode in episodes}
    assert {(length, round(value, 2)) for length, value in zip(lengths, returns, strict=True)} == expected
    assert len(expected) == len(SEEDS)


@pytest.mark.parametrize("discrete", [False, True])
def test_rows_start_by_themselves_and_the_return_to_go_falls(discrete: bool) -> None:
    settings = {"action_low": (), "action_high": (), "action_size": 3} if discrete else {}
    policy = Policy(random_model(discrete=discrete, previous_action=True, **settings))
    agent, generator = Agent(policy, 9.0), np.random.default_rng(0)
    policy.reset(3, 9.0)
    state, starts = None, np.ones(3, bool)
    for _ in range(20):
        observations, rewards = generator.standard_normal((3, 2)).astype(np.float32), generator.uniform(0, 2, 3)
        rewards[starts] = 0
        actions, state = agent.predict(np.column_stack([observations, rewards]), state, starts)
        np.testing.assert_allclose(actions, policy.act(observations, rewards), atol=1e-6)
        starts = generator.random(3) < 0.2
        policy.restart(starts, 9.0)


def test_the_state_is_all_there_is() -> None:
    agent = Agent(Policy(random_model(previous_action=True)), 9.0)
    observation = np.array([0.3, -1.0, 0.0], np.float32)
    first, state = agent.predict(observation)
    assert first.shape == (1,)
    second, after = agent.predict(observation + 1, state)
    agent.predict(observation * 7)
    again, _ = agent.predict(observation + 1, state)
    np.testing.assert_array_equal(again, second)
    assert after[0].tolist() == [8.0]
    agent.target_return = 5.0
    _, restarted = agent.predict(observation, after, np.array([True]))
    assert restarted[0].tolist() == [5.0]


def test_choices_are_drawn_from_the_predicted_distribution() -> None:
    model = random_model(discrete=True, action_low=(), action_high=(), action_size=3)
    agent = Agent(Policy(model), 9.0)
    drawn, _ = agent.predict(np.zeros((20_000, 3), np.float32), deterministic=False)
    likeliest, _ = agent.predict(np.zeros((1, 3), np.float32))
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    with torch.no_grad():
        logits, _ = model.step(torch.full((1,), 9.0), torch.zeros(1, 2), torch.zeros(1, 3))
    np.testing.assert_allclose(shares, logits[0].softmax(0), atol=0.02)
    likeliest, _ = agent.predict(np.zeros((1, 3), np.float32))
    assert likeliest.tolist() == [logits[0].argmax()]


def test_the_environment_shows_the_last_reward() -> None:
    with RewardObservation(gymnasium.make(LEDGER)) as environment:
        first, _ = environment.reset(seed=4)
        assert first.tolist() == [0, 4, 0]
        seen, reward, *_ = environment.step(np.array([0.5], np.float32))
        assert seen.tolist() == [1, 4, 1.5]
        assert reward == 1.5
        assert environment.observation_space.contains(seen)
    with pytest.raises(ConfigError, match="expects observations that are vectors"):
        RewardObservation(gymnasium.make("FrozenLake-v1"))


def test_what_an_agent_is_made_of(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = train(train_config(tmp_path_factory.mktemp("agent") / "run", evaluate=False), trajectories())
    assert Agent(run.policy).target_return == 30
    with pytest.raises(ConfigError, match="knows no target return; name one"):
        Agent(Policy(random_model()))
    with pytest.raises(ConfigError, match="expects a policy with carried memory, got window memory"):
        Agent(Policy(random_model(), "window"), 1.0)
    with pytest.raises(ValueError, match="Wrap the environment in RewardObservation"):
        Agent(Policy(random_model()), 1.0).predict(np.zeros(2, np.float32))
