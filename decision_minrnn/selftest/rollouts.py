"""The bookkeeping of a rollout, in an environment whose returns can be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from math import atanh

import numpy as np
import torch

from decision_minrnn.config import ModelConfig
from decision_minrnn.envs import Environments
from decision_minrnn.episodes import rollout
from decision_minrnn.model import DecisionModel
from decision_minrnn.policy import Policy
from decision_minrnn.selftest.base import Finding, register_check
from decision_minrnn.selftest.ledger import CARD, LEDGER, constant_return, length

ACTION = 0.25
SEEDS = tuple(range(10, 21))


@register_check("rollouts")
def rollouts(device: torch.device) -> Iterator[Finding]:
    """Returns, lengths, ends and returns-to-go of episodes that run beside each other, in other numbers each time."""
    expected = np.array([constant_return(seed, ACTION) for seed in SEEDS])
    for count in (1, 3, 20):
        with Environments(LEDGER, count, card=CARD) as environments:
            episodes = rollout(Policy(small_model(device, ACTION)), environments, 30.0, SEEDS)
        returns = np.array([episode.episode_return for episode in episodes])
        beside = f"{count} at once"
        yield Finding(f"returns, {beside}", float(np.abs(returns - expected).max()), 1e-5)
        lengths = [episode.length - length(seed) for episode, seed in zip(episodes, SEEDS, strict=True)]
        yield Finding(f"lengths, {beside}", max(map(abs, lengths)), 0)
        wrong = [episode.terminated is not (episode.seed % 2 == 0) for episode in episodes]
        yield Finding(f"episodes whose end was mistaken, {beside}", sum(wrong), 0)
    yield Finding("return-to-go after three rewards", return_to_go_error(device), 0)


def return_to_go_error(device: torch.device) -> float:
    """What a policy feeds its model is the target less the rewards so far: 10, then 9, 7 and 6.5."""
    model = small_model(device, ACTION)
    seen: list[float] = []
    policy = Policy(model)
    entered = policy._step

    def spy(returns: torch.Tensor, *others: object) -> object:
        seen.append(float(returns[0]))
        return entered(returns, *others)

    policy._step = spy  # type: ignore[assignment]
    policy.reset(1, 10.0)
    for reward in (None, 1.0, 2.0, 0.5):
        policy.act(np.zeros((1, 2)), None if reward is None else np.array([reward]))
    return max(abs(found - right) for found, right in zip(seen, (10.0, 9.0, 7.0, 6.5), strict=True))


def small_model(device: torch.device, action: float | None = None) -> DecisionModel:
    """A model for the environment, with weights away from zero; or one that always takes the same action."""
    config = ModelConfig(2, 1, (-1.0,), (1.0,), width=16, layers=2, return_scale=10.0, context=8)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(0)
        model = DecisionModel(config)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
        if action is not None:
            model.head.weight.zero_()
            model.head.bias.fill_(atanh(action))
    return model.to(device).eval()
