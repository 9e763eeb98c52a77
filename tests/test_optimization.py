"""The learning rate by hand, what decays, and moments that survive being saved."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn

from decision_minrnn.config import ModelConfig, TrainConfig
from decision_minrnn.model import DecisionModel
from decision_minrnn.optimization import (
    build_optimizer,
    clip_gradient,
    learning_rate,
    optimizer_tensors,
    restore_optimizer,
)


def test_learning_rate_by_hand() -> None:
    config = TrainConfig("d", learning_rate=0.8, warmup=4, updates=12)
    assert [learning_rate(config, update) for update in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    # a quarter, a half and three quarters of the way down the cosine, then the last update
    assert learning_rate(config, 6) == pytest.approx(0.4 * (1 + sqrt(0.5)))
    assert learning_rate(config, 8) == pytest.approx(0.4)
    assert learning_rate(config, 10) == pytest.approx(0.4 * (1 - sqrt(0.5)))
    assert 0 < learning_rate(config, 11) < 0.04


def test_learning_rate_at_the_edges() -> None:
    without = TrainConfig("d", learning_rate=0.8, warmup=0, updates=10)
    assert learning_rate(without, 0) == 0.8
    assert 0 < learning_rate(without, 9) < 0.03
    assert learning_rate(TrainConfig("d", learning_rate=0.8, warmup=0, updates=1), 0) == 0.8
    longer = TrainConfig("d", learning_rate=0.8, warmup=100, updates=10)
    assert learning_rate(longer, 9) == pytest.approx(0.08)


@pytest.mark.parametrize("tokens", ["merged", "interleaved"])
@pytest.mark.parametrize("encoder", ["mingru", "minlstm"])
def test_only_weight_matrices_decay(tokens: str, encoder: str) -> None:
    model = small_model(tokens=tokens, encoder=encoder, encoder_options={"convolution": 4, "expansion": 2.0})
    decayed, spared = build_optimizer(model, TrainConfig("d", weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for parameter in decayed["params"]:
        assert names[parameter].endswith("weight")
        assert "norm" not in names[parameter]
    for parameter in spared["params"]:
        name = names[parameter]
        assert name.endswith(("bias", "initial")) or "norm" in name or name.endswith("feed_forward.norm.weight")
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def small_model(**settings: object) -> DecisionModel:
    config = {"observation_size": 2, "action_size": 1, "action_low": (-1.0,), "action_high": (1.0,)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DecisionModel(ModelConfig(**(config | {"width": 4, "layers": 1} | settings)))  # type: ignore[arg-type]


def descend(model: nn.Module, optimizer: torch.optim.Optimizer, updates: range) -> None:
    for update in updates:
        generator = torch.Generator().manual_seed(update)
        optimizer.zero_grad()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("frozen", [False, True])
def test_saved_moments_go_on_to_the_bit(frozen: bool) -> None:
    """Also with a parameter that never has a gradient, which AdamW keeps no moments for."""
    config = TrainConfig("d", learning_rate=0.01, weight_decay=0.1)
    model, other = small_model(), small_model()
    model.head.weight.requires_grad_(not frozen)
    other.head.weight.requires_grad_(not frozen)
    optimizer = build_optimizer(model, config)
    descend(model, optimizer, range(3))
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moments = {name: tensor.clone() for name, tensor in optimizer_tensors(model, optimizer).items()}
    assert moments["optimizer/head.bias/step"] == 3
    assert moments["optimizer/head.weight/step"] == (0 if frozen else 3)
    descend(model, optimizer, range(3, 6))

    other.load_state_dict(weights)
    restored = build_optimizer(other, config)
    restore_optimizer(other, restored, moments)
    descend(other, restored, range(3, 6))
    for name, tensor in other.state_dict().items():
        assert tensor.equal(model.state_dict()[name]), name
    for name, tensor in optimizer_tensors(other, restored).items():
        assert tensor.equal(optimizer_tensors(model, optimizer)[name]), name


def test_moments_before_the_first_update_are_those_that_adamw_starts_with() -> None:
    config = TrainConfig("d", learning_rate=0.01)
    model, other = small_model(), small_model()
    optimizer, restored = build_optimizer(model, config), build_optimizer(other, config)
    restore_optimizer(other, restored, optimizer_tensors(model, optimizer))
    descend(model, optimizer, range(2))
    descend(other, restored, range(2))
    for name, tensor in other.state_dict().items():
        assert tensor.equal(model.state_dict()[name]), name


@pytest.mark.parametrize("limit", [1e-3, 0.5, 1e3])
def test_clipping_is_that_of_torch(limit: float) -> None:
    config = TrainConfig("d", learning_rate=0.01, weight_decay=0.1)
    model, other = small_model(), small_model()
    optimizer, expected = build_optimizer(model, config), build_optimizer(other, config)
    for update in range(3):
        for trained in (model, other):
            generator = torch.Generator().manual_seed(update)
            for parameter in trained.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        norm = clip_gradient(optimizer, limit)
        torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(other.parameters(), limit))
        optimizer.step()
        expected.step()
    for parameter, wanted in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter, wanted, rtol=1e-4, atol=1e-5)


def test_a_missing_moment_is_named() -> None:
    model = small_model()
    optimizer = build_optimizer(model, TrainConfig("d"))
    descend(model, optimizer, range(1))
    moments = optimizer_tensors(model, optimizer)
    del moments["optimizer/head.bias/exp_avg"]
    with pytest.raises(KeyError, match=r"optimizer/head\.bias/exp_avg"):
        restore_optimizer(model, optimizer, moments)
