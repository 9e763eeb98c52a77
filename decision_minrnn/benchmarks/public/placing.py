"""Another implementation in the place of `DecisionModel`'s encoder: its tokens, head and bounds stay ours."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from decision_minrnn.config import ModelConfig
from decision_minrnn.model import DecisionModel


def with_encoder(config: ModelConfig, encoder: nn.Module) -> DecisionModel:
    """A model around an encoder that `build_encoder` does not know; what the configuration says of one is ignored."""
    model = DecisionModel(replace(config, encoder="mlp", encoder_options={}, layers=1))
    model.encoder = encoder  # type: ignore[assignment]
    return model
