"""`Policy`: what it feeds the model, and that each memory is the model's forward pass over what it remembers."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tiny import constant_model, random_model

from decision_minrnn.errors import ConfigError
from decision_minrnn.policy import Policy

B, T, CONTEXT = 3, 11, 4
TARGETS = np.array([40.0, 20.0, 60.0], np.float32)
RESTARTS = {5: 1, 7: 0}
"""Which row starts a new episode at which step."""
CHOOSING: dict[str, Any] = {"discrete": True, "action_size": 3, "action_low": (), "action_high": ()}


class Inputs:
    """What the model is given at each step."""

    def __init__(self, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
        self.returns: list[list[float]] = []
        self.previous: list[list[float]] = []
        act = policy._act_carried

        def spy(returns: Any, observations: Any) -> Any:
            self.returns.append(returns.tolist())
            self.previous.append(policy._previous_actions[:, 0].tolist())
            return act(returns, observations)

        monkeypatch.setattr(policy, "_act_carried", spy)


def test_the_target_falls_by_the_rewards_and_the_last_action_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(constant_model(0.5))
    inputs = Inputs(policy, monkeypatch)
    seen = np.zeros((2, 2), np.float32)
    policy.reset(2, [10.0, 20.0])
    np.testing.assert_allclose(policy.act(seen), [[0.5], [0.5]], atol=1e-6)
    policy.act(seen, np.array([1.0, 2.0]))
    policy.restart(np.array([False, True]), 50.0)
    policy.act(seen, np.array([3.0, 99.0]))
    policy.act(seen, np.array([4.0, 5.0]))
    assert inputs.returns == [[10, 20], [9, 18], [6, 50], [2, 45]]
    np.testing.assert_allclose(inputs.previous, [[0, 0], [0.5, 0.5], [0.5, 0], [0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize("encoder", ["mingru", "minlstm"])
@pytest.mark.parametrize("tokens", ["merged", "interleaved"])
@pytest.mark.parametrize("memory", ["carried", "window", "reset"])
def test_every_memory_is_a_forward_pass(memory: Any, tokens: str, encoder: str) -> None:
    model = random_model(tokens=tokens, encoder=encoder, layers=2, encoder_options={"convolution": 4})
    generator = np.random.default_rng(0)
    observations = generator.standard_normal((T, B, 2)).astype(np.float32)
    rewards = generator.uniform(0, 5, (T, B)).astype(np.float32)
    policy = Policy(model, memory)
    policy.reset(B, TARGETS)
    acted = np.empty((T, B, 1), np.float32)
    for t in range(T):
        if t in RESTARTS:
            policy.restart(np.arange(B) == RESTARTS[t], 33.0)
        acted[t] = policy.act(observations[t], None if t == 0 else rewards[t - 1])
    for row in range(B):
        for first, end, target in episodes_of(row):
            steps = slice(first, end)
            to_go = target - np.concatenate([[0], np.cumsum(rewards[steps, row])[:-1]])
            previous = np.concatenate([np.zeros((1, 1)), acted[steps, row][:-1]])
            inputs = [
                torch.tensor(values[None], dtype=torch.float32)
                for values in (to_go, observations[steps, row], previous)
            ]
            for age in range(end - first):
                start = {"carried": 0, "window": max(0, age + 1 - CONTEXT), "reset": age - age % CONTEXT}[memory]
                with torch.no_grad():
                    expected, _ = model(*(values[:, start : age + 1] for values in inputs))
                np.testing.assert_allclose(acted[first + age, row], expected[0, -1], atol=1e-5)


def episodes_of(row: int) -> Iterator[tuple[int, int, float]]:
    """First step, end and target of the row's episodes."""
    starts = [0, *(step for step, which in RESTARTS.items() if which == row)]
    targets = [float(TARGETS[row]), 33.0]
    return zip(starts, [*starts[1:], T], targets, strict=False)


@pytest.mark.parametrize("tokens", ["merged", "interleaved"])
@pytest.mark.parametrize("memory", ["carried", "window", "reset"])
def test_every_memory_chooses_the_likeliest(memory: Any, tokens: str) -> None:
    model = random_model(tokens=tokens, layers=2, previous_action=True, **CHOOSING)
    observations = np.random.default_rng(0).standard_normal((T, B, 2)).astype(np.float32)
    with torch.no_grad():  # no choice is to be the likeliest always
        usual, _ = model(torch.full((T, B), 30.0), torch.from_numpy(observations), torch.zeros(T, B, 3))
        model.head.bias -= usual.mean(dim=(0, 1))
    policy = Policy(model, memory)
    policy.reset(B, TARGETS)
    chosen = np.stack([policy.act(observations[t], None if t == 0 else np.ones(B)) for t in range(T)])
    assert chosen.shape == (T, B)
    assert chosen.dtype == np.int64
    assert set(chosen.ravel()) == {0, 1, 2}
    previous = np.concatenate([np.zeros((1, B, 3)), np.eye(3)[chosen[:-1]]])
    to_go = TARGETS - np.arange(T)[:, None]
    inputs = [torch.tensor(x.swapaxes(0, 1), dtype=torch.float32) for x in (to_go, observations, previous)]
    for age in range(T):
        start = {"carried": 0, "window": max(0, age + 1 - CONTEXT), "reset": age - age % CONTEXT}[memory]
        with torch.no_grad():
            logits, _ = model(*(x[:, start : age + 1] for x in inputs))
        np.testing.assert_array_equal(chosen[age], logits[:, -1].argmax(dim=1))


def drawn(policy: Policy, steps: int) -> np.ndarray:
    rows = len(policy._starts)
    return np.stack([policy.act(np.zeros((rows, 2)), np.ones(rows)) for _ in range(steps)])


def test_what_is_sampled_follows_from_the_seed_of_the_episode() -> None:
    policy = Policy(random_model(**CHOOSING), sampled=True)
    policy.reset(3, 10.0, [5, 6, 5])
    first = drawn(policy, 20)
    np.testing.assert_array_equal(first[:, 0], first[:, 2])
    assert (first[:, 0] != first[:, 1]).any()
    # a new episode with the seed of another begins as that one did, and the rest go on
    policy.restart(np.array([True, False, False]), 10.0, [6, 99, 99])
    again = drawn(policy, 20)
    np.testing.assert_array_equal(again[:, 0], first[:, 1])
    policy.reset(3, 10.0, [5, 6, 5])
    np.testing.assert_array_equal(drawn(policy, 40)[20:, 1:], again[:, 1:])


def test_sampled_actions_do_not_agree_with_the_start_that_an_environment_draws() -> None:
    model = random_model(**CHOOSING | {"action_size": 2})
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    policy = Policy(model, sampled=True)
    policy.reset(400, 10.0, range(400))
    high = [np.random.default_rng(seed).random() >= 0.5 for seed in range(400)]  # as gymnasium seeds an environment
    assert 0.4 < np.mean(policy.act(np.zeros((400, 2))) == high) < 0.6


def test_an_episode_does_not_feel_its_neighbour_restart() -> None:
    model = random_model()
    observations = np.random.default_rng(0).standard_normal((6, 2, 2)).astype(np.float32)
    acted = []
    for restarting in (False, True):
        policy = Policy(model)
        policy.reset(2, 10.0)
        for step, seen in enumerate(observations):
            if restarting and step == 3:
                policy.restart(np.array([False, True]), 10.0)
            actions = policy.act(seen, np.ones(2))
        acted.append(actions)
    assert acted[0][0] == acted[1][0]
    assert acted[0][1] != acted[1][1]


def test_a_context_of_its_own() -> None:
    model = random_model(context=None)
    with pytest.raises(ConfigError, match="got None; this model was trained on whole episodes"):
        Policy(model, "window")
    assert Policy(model, "window", context=3).context == 3
    assert Policy(random_model(), "window").context == CONTEXT
    with pytest.raises(ConfigError, match=r"memory reset expects a context of at least 1 step, got 0\.$"):
        Policy(model, "reset", context=0)


def test_an_unknown_memory_is_refused() -> None:
    with pytest.raises(ConfigError, match="carried, window, reset, got 'all'"):
        Policy(random_model(), "all")  # type: ignore[arg-type]


def test_arguments_that_do_not_fit() -> None:
    policy = Policy(random_model())
    policy.reset(2, 10.0)
    seen = np.zeros((2, 2))
    with pytest.raises(ValueError, match=r"observations of shape \(2, 2\), got \(3, 2\)"):
        policy.act(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"observations of shape \(2, 2\), got \(2, 5\)"):
        policy.act(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"rewards of shape \(2,\), got \(2, 1\)"):
        policy.act(seen, np.zeros((2, 1)))
    policy.act(seen)
    with pytest.raises(ValueError, match="only the first step of an episode has none"):
        policy.act(seen)
    with pytest.raises(ValueError, match=r"expects 2 marks, got an array of shape \(3,\)"):
        policy.restart(np.ones(3, bool), 1.0)


def test_acting_leaves_no_trace_in_the_model() -> None:
    model = random_model().train()
    policy = Policy(model)
    assert not policy.model.training
    policy.reset(1, 1.0)
    before = torch.get_rng_state()
    expected = policy.act(np.zeros((1, 2)))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(parameter.is_contiguous() for parameter in model.parameters())
    with torch.no_grad():
        model.head.bias += 1
    policy.reset(1, 1.0)
    np.testing.assert_array_equal(policy.act(np.zeros((1, 2))), expected)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_pickled_policy_goes_on_where_it_was() -> None:
    policy = Policy(random_model())
    policy.reset(2, [30.0, 10.0])
    for time in range(3):
        policy.act(np.full((2, 2), time, np.float32), np.ones(2, np.float32))
    other = pickle.loads(pickle.dumps(policy))
    for time in range(3):
        shown = np.full((2, 2), -time, np.float32)
        np.testing.assert_array_equal(other.act(shown, np.ones(2)), policy.act(shown, np.ones(2)))
