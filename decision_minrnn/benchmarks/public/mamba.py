"""`MambaModel` of transformers in the place of an encoder; on a CPU, and without its kernels, its reference path."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from decision_minrnn.benchmarks.public.placing import with_encoder
from decision_minrnn.config import ModelConfig
from decision_minrnn.errors import MissingExtraError
from decision_minrnn.model import DecisionModel


class PublicMamba(nn.Module):
    """Mamba's blocks and last norm."""

    def __init__(self, width: int, layers: int, expand: int) -> None:
        super().__init__()
        try:
            from transformers import MambaConfig, MambaModel
        except ImportError as error:
            raise MissingExtraError("transformers", "bench") from error
        config = MambaConfig(vocab_size=1, hidden_size=width, state_size=16, num_hidden_layers=layers, expand=expand)
        self.model = MambaModel(config)

    def forward(self, x: Tensor, state: Any = None, reset: Tensor | None = None) -> tuple[Tensor, None]:
        """Over a sequence, from its start."""
        return self.model(inputs_embeds=x, use_cache=False).last_hidden_state, None


def public_mamba_model(config: ModelConfig, expand: int = 2) -> DecisionModel:
    """A model with `MambaModel` as its encoder. Raises `MissingExtraError`."""
    return with_encoder(config, PublicMamba(config.width, config.layers, expand))
