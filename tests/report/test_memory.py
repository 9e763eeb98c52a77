"""Gates and influence, worked out by hand, against finite differences, and where there is no memory at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import random_model, trajectories

from decision_minrnn.config import Tokens
from decision_minrnn.encoders.minimal import MinimalRNN
from decision_minrnn.report.memory import LONGEST, best_episode, influence, write_gates

NAMES = ("returns_to_go", "observations", "previous_actions")


def test_the_best_finished_episode_as_the_policy_would_see_it() -> None:
    data = trajectories((4, 3, 6), rewards=np.array([1, 2, 3, 4, 5, 6, 7, *[9.0] * 6], np.float32))
    unfinished = trajectories(
        (4, 3, 6),
        rewards=data.rewards,
        terminated=np.array([True, True, False]),
        truncated=np.zeros(3, bool),
    )
    assert (best_episode(data).index, best_episode(unfinished).index) == (2, 1)
    episode = best_episode(unfinished)
    assert episode.episode_return == 18
    assert episode.returns_to_go.tolist() == [[18, 13, 7]]
    np.testing.assert_array_equal(episode.observations[0], data.observations[4:7])
    np.testing.assert_array_equal(episode.previous_actions[0], [[0], *data.actions[4:6]])


def test_a_long_episode_is_cut() -> None:
    assert best_episode(trajectories((LONGEST + 30,))).observations.shape == (1, LONGEST, 2)


@pytest.mark.parametrize("tokens", ["merged", "interleaved"])
@pytest.mark.parametrize(("encoder", "expected"), [("mingru", 0.25), ("minlstm", 0.5)])
def test_gates_that_biases_alone_determine(tokens: Tokens, encoder: str, expected: float) -> None:
    model = random_model(tokens=tokens, encoder=encoder, layers=2)
    for layer in model.modules():
        if isinstance(layer, MinimalRNN):
            torch.nn.init.zeros_(layer.project_in.weight)
            # sigmoid(-ln 3) = 1/4; two gates that are alike share the state
            torch.nn.init.constant_(layer.project_in.bias, -np.log(3))
    gates = write_gates(model, best_episode(trajectories((7,))))
    assert [layer.shape for layer in gates] == [(7, 8), (7, 8)]
    np.testing.assert_allclose(np.array(gates), expected, rtol=1e-6)


def test_gates_follow_the_observation_of_their_step() -> None:
    model, episode = random_model(tokens="interleaved"), best_episode(trajectories((7,)))
    (before,) = write_gates(model, episode)
    episode.observations[0, 4] += 3
    (after,) = write_gates(model, episode)
    assert (np.abs(after - before).max(axis=1) > 1e-3).tolist() == [step == 4 for step in range(7)]


def test_other_encoders_have_no_such_gates() -> None:
    assert write_gates(random_model(encoder="lstm"), best_episode(trajectories((7,)))) == []


@pytest.mark.parametrize("tokens", ["merged", "interleaved"])
def test_influence_is_the_slope_of_actions(tokens: Tokens) -> None:
    model = random_model(deviation=0.3, tokens=tokens, action_size=2, action_low=(-1.0,) * 2, action_high=(1.0,) * 2)
    model.observation_std.copy_(torch.tensor([2.0, 0.5]))
    model.double()
    episode = best_episode(trajectories((9,), actions=np.random.default_rng(0).uniform(-1, 1, (9, 2)).astype("f")))
    inputs = [episode.returns_to_go.double(), episode.observations.double(), episode.previous_actions.double()]
    found = influence(model, replace(episode, **dict(zip(NAMES, inputs, strict=True))))
    slopes = np.zeros((9, 9))
    for step in range(9):
        for dimension, deviation in enumerate((2.0, 0.5)):
            moved = inputs[1].clone()
            moved[0, step, dimension] += 1e-6 * deviation
            with torch.no_grad():
                change = model(inputs[0], moved, inputs[2])[0] - model(*inputs)[0]
            slopes[:, step] += (change[0] / 1e-6).square().sum(dim=1).numpy()
    probes = [4, 5, 6, 7, 8]
    expected = [[np.sqrt(slopes[probe, probe - lag]) for lag in range(5)] for probe in probes]
    assert found.lags.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.quantiles, np.quantile(expected, [0.25, 0.5, 0.75], axis=0), rtol=1e-3)


def test_without_memory_only_the_present_counts() -> None:
    found = influence(random_model(encoder="mlp"), best_episode(trajectories((20,))))
    assert found.quantiles[1, 0] > 0
    assert not found.quantiles[:, 1:].any()


def test_discrete_actions() -> None:
    model = random_model(discrete=True, action_size=3, action_low=(), action_high=())
    data = trajectories((9,), actions=np.arange(9).reshape(9, 1) % 3, choices=3)
    episode = best_episode(data)
    assert episode.previous_actions[0, :3].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert influence(model, episode).quantiles.shape == (3, 5)
    assert len(write_gates(model, episode)) == 1
