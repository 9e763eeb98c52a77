"""Discrete actions from end to end: data, one-hot batches, logits and their loss, likeliest and sampled choices."""

from __future__ import annotations

from dataclasses import asdict, replace
from math import exp, log
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from tiny import random_model, train_config, trajectories

from decision_minrnn.cards import env_card
from decision_minrnn.data import Trajectories, load_dataset, save_dataset
from decision_minrnn.data.sampling import Sampler
from decision_minrnn.doctor import examine
from decision_minrnn.envs import Environments
from decision_minrnn.episodes import rollout
from decision_minrnn.errors import ConfigError, DataError
from decision_minrnn.learner import PolicyLearner, build_model
from decision_minrnn.losses import choice_loss
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate
from decision_minrnn.runs import load_policy
from decision_minrnn.training import resume, train


def cartpole_model(**settings: Any) -> Any:
    """A random model for CartPole, under which it stands for some 10 to 40 steps."""
    return random_model(observation_size=4, action_size=2, action_low=(), action_high=(), discrete=True, **settings)


def cartpole_data(episodes: int = 20, seed: int = 0) -> Trajectories:
    """Episodes of random choices in CartPole."""
    generator = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    offsets = [0]
    with Environments("CartPole-v1") as environments:
        for episode in range(episodes):
            observation, over = environments.reset(0, seed=seed + episode), False
            while not over:
                action = generator.integers(2)
                step = environments.step(0, action)
                rows.append((observation, [action], step.reward))
                observation, over = step.observation, step.terminated or step.truncated
            offsets.append(len(rows))
    observations, actions, rewards = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    return trajectories(
        observations=observations,
        actions=actions,
        rewards=rewards,
        offsets=np.array(offsets),
        terminated=np.ones(episodes, bool),
        truncated=np.zeros(episodes, bool),
        choices=2,
        action_low=np.zeros(1, np.float32),
        action_high=np.ones(1, np.float32),
        env_id="CartPole-v1",
        env=env_card("cartpole"),
        references={},
        name="cartpole",
    )


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([[[0.0, log(3.0)], [2.0, 2.0], [9.0, -9.0]]])
    taken = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]])
    mask = torch.tensor([[True, True, False]])
    # -log(3/4) and -log(1/2); the third step is padding
    assert choice_loss(logits, taken, mask).item() == pytest.approx((log(4 / 3) + log(2)) / 2)


def test_batches_hold_a_one_among_zeros() -> None:
    data = trajectories((3, 2), actions=np.array([[2], [0], [1], [1], [2]], np.float32), choices=3)
    sampler = Sampler(data, 64, 2, 0, "windows")
    batch = sampler.sample()
    assert batch.actions.shape == (64, 2, 3)
    expected = np.eye(3)[[2, 0, 1, 1, 2]]
    for row in range(64):
        first = int(np.flatnonzero((data.observations == batch.observations[row, 0].numpy()).all(axis=1))[0])
        np.testing.assert_array_equal(batch.actions[row, 0], expected[first])
        before = np.zeros(3) if first in (0, 3) else expected[first - 1]
        np.testing.assert_array_equal(batch.previous_actions[row, 0], before)


def test_the_policy_takes_the_likeliest_choice_and_remembers_it() -> None:
    for tokens in ("merged", "interleaved"):
        model = cartpole_model(tokens=tokens, previous_action=tokens == "merged")
        policy = Policy(model)
        policy.reset(3, 10.0)
        generator = np.random.default_rng(0)
        seen = generator.standard_normal((6, 3, 4)).astype(np.float32)
        chosen = [policy.act(seen[t], None if t == 0 else np.ones(3, np.float32)) for t in range(6)]
        assert {choice.dtype for choice in chosen} == {np.dtype(np.int64)}
        taken = torch.from_numpy(np.eye(2, dtype=np.float32)[np.stack(chosen, axis=1)])
        previous = torch.cat([torch.zeros(3, 1, 2), taken[:, :-1]], dim=1)
        returns = 10.0 - torch.arange(6.0).expand(3, -1)
        with torch.no_grad():
            logits, _ = model(returns, torch.from_numpy(seen).transpose(0, 1), previous)
        np.testing.assert_array_equal(logits.argmax(dim=-1), np.stack(chosen, axis=1))


def test_sampled_choices_have_the_predicted_shares() -> None:
    model = cartpole_model()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 1.0]))
    policy = Policy(model, sampled=True)
    policy.reset(4000, 10.0)
    drawn = policy.act(np.zeros((4000, 4), np.float32))
    assert drawn.mean() == pytest.approx(exp(1) / (1 + exp(1)), abs=0.03)
    policy.reset(2, 10.0, seeds=[7, 7])
    twice = np.array([policy.act(np.zeros((2, 4), np.float32), np.zeros(2, np.float32)) for _ in range(50)])
    np.testing.assert_array_equal(twice[:, 0], twice[:, 1])
    assert 0 < twice[:, 0].mean() < 1


def test_only_discrete_actions_are_sampled() -> None:
    with pytest.raises(ConfigError, match="only discrete actions can be sampled"):
        Policy(random_model(), sampled=True)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("memory", ["carried", "window", "reset"])
def test_an_episode_does_not_depend_on_how_many_run_beside_it(memory: Any, sampled: bool) -> None:
    policy = Policy(cartpole_model(), memory, sampled=sampled)
    results = []
    for count in (1, 3, 20):
        with Environments("CartPole-v1", count) as environments:
            results.append(rollout(policy, environments, 30.0, range(100, 120)))
    assert results[0] == results[1] == results[2]
    assert len({result.length for result in results[0]}) > 3


def test_sampled_episodes_differ_from_the_likeliest_and_the_evaluation_says_so() -> None:
    policies = [Policy(cartpole_model(), sampled=sampled) for sampled in (False, True)]
    evaluations = [evaluate(policy, "CartPole-v1", [30.0]) for policy in policies]
    assert evaluations[0].targets[0].returns != evaluations[1].targets[0].returns
    assert [evaluation.sampled for evaluation in evaluations] == [False, True]


def test_choices_that_do_not_start_at_zero() -> None:
    class Counting(gymnasium.Env[np.ndarray, np.int64]):
        """Pays the action, and ends."""

        observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        action_space = gymnasium.spaces.Discrete(3, start=5)

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[np.ndarray, dict[str, Any]]:
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            assert self.action_space.contains(action)
            return np.zeros(1, np.float32), float(action), True, False, {}

    gymnasium.register("decision-minrnn-tests/Counting-v0", Counting)
    with Environments("decision-minrnn-tests/Counting-v0") as environments:
        environments.reset(0, seed=0)
        assert (environments.discrete, environments.action_size) == (True, 3)
        assert environments.step(0, np.int64(2)).reward == 7.0


@pytest.mark.parametrize("target", ["x.hdf5", "x.npz", "./x", "test/x-v0"])
def test_every_format_keeps_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    data = cartpole_data(4)
    again = load_dataset(save_dataset(data, target))
    assert (again.choices, again.action_size, again.env_id) == (2, 2, "CartPole-v1")
    np.testing.assert_array_equal(again.actions, data.actions, strict=True)
    np.testing.assert_array_equal(again.observations, data.observations, strict=True)


def test_whole_numbers_are_choices_and_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "cartpole-own.npz"
    steps = 6
    arrays: dict[str, Any] = {
        "observations": np.random.default_rng(0).standard_normal((steps, 4)),
        "rewards": np.ones(steps),
        "terminals": np.arange(steps) % 3 == 2,
        "timeouts": np.zeros(steps, bool),
    }
    np.savez(path, actions=np.array([0, 1, 0, 0, 1, 1]), **arrays)
    assert load_dataset(path).choices == 2
    np.savez(path, actions=np.array([[0.0], [1], [0], [0], [1], [1]]), **arrays)
    assert load_dataset(path, env="cartpole").choices == 2
    for wrong, message in ((2, "first 2 at step 4"), (-1, "first -1 at step 4"), (0.5, "first 0.5 at step 4")):
        np.savez(path, actions=np.array([[0.0], [1], [0], [0], [wrong], [1]]), **arrays)
        with pytest.raises(DataError, match=rf"whole numbers from 0 to 1, but 1 of 6 are not, {message}"):
            load_dataset(path)
        findings = [finding for finding in examine(str(path)).findings if finding.check == "bounds"]
        assert [finding.severity for finding in findings] == ["error"]
    arrays["observations"] = np.zeros((steps, 11))
    np.savez(tmp_path / "hopper-own.npz", actions=np.array([0, 1, 0, 0, 1, 1]), **arrays)
    with pytest.raises(DataError, match=r"the actions are whole numbers.*hopper .*has vectors"):
        load_dataset(tmp_path / "hopper-own.npz")


def test_a_run_is_saved_resumed_and_evaluated(tmp_path: Path) -> None:
    data = cartpole_data()
    run = train(train_config(tmp_path / "run", targets=(50.0,)), data)
    assert run.evaluation is not None
    assert run.evaluation.env_id == "CartPole-v1"
    loaded = load_policy(tmp_path / "run", sampled=True)
    assert asdict(loaded.model.config) == asdict(run.policy.model.config)
    for name, value in loaded.model.state_dict().items():
        torch.testing.assert_close(value, run.policy.model.state_dict()[name], rtol=0, atol=0)
    resume(tmp_path / "run", data)
    with pytest.raises(ConfigError, match=r"2 discrete actions, but the policy is trained for .*actions of size 1"):
        train(train_config(tmp_path / "other"), trajectories(env_id="CartPole-v1"))


def test_the_loss_falls_to_that_of_the_shares() -> None:
    """Random choices cannot be predicted better than by their entropy."""
    data = cartpole_data(60)
    config = train_config(Path("none"), updates=300, learning_rate=1e-2)
    learner = PolicyLearner(build_model(config, data), data, config)
    assert np.mean([learner.learn().loss for _ in range(300)][-50:]) == pytest.approx(log(2), abs=0.05)
    copied = replace(data, actions=(data.observations[:, 2:3] > 0).astype(np.float32))
    learner = PolicyLearner(build_model(config, copied), copied, config)
    assert np.mean([learner.learn().loss for _ in range(300)][-50:]) < 0.3
