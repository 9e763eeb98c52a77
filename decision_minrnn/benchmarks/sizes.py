"""What is measured on: Decision Transformer's sizes on Hopper (Chen et al. 2021, appendix A), and random batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from decision_minrnn.config import ModelConfig, OptionValue, Tokens, require
from decision_minrnn.types import Batch

OBSERVATION, ACTION = 11, 3
"""Hopper's."""


@dataclass(frozen=True)
class Sizes:
    """Of every model and batch of a benchmark."""

    batch_size: int = 64
    """Rows of an update."""

    context: int = 20
    """Steps of a row, and of the window that a model without a state is fed again."""

    width: int = 128
    """Width of the models."""

    layers: int = 3
    """Blocks of the models."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "context", "width", "layers"):
            require(self, name, getattr(self, name) >= 1, "a whole number of at least 1")


def model_config(
    encoder: str, tokens: Tokens, sizes: Sizes, options: Mapping[str, OptionValue] | None = None
) -> ModelConfig:
    """Of a model with Hopper's observations and actions."""
    return ModelConfig(
        observation_size=OBSERVATION,
        action_size=ACTION,
        action_low=(-1.0,) * ACTION,
        action_high=(1.0,) * ACTION,
        tokens=tokens,
        encoder=encoder,
        encoder_options=options or {},
        width=sizes.width,
        layers=sizes.layers,
        context=sizes.context,
    )


def random_batch(batch_size: int, context: int) -> Batch:
    """What one update is computed from."""
    shape = (batch_size, context)
    return Batch(
        returns_to_go=torch.rand(shape),
        observations=torch.randn(*shape, OBSERVATION),
        previous_actions=torch.rand(*shape, ACTION) * 2 - 1,
        actions=torch.rand(*shape, ACTION) * 2 - 1,
        mask=torch.ones(shape, dtype=torch.bool),
    )
