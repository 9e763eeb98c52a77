"""torch's own sequence models in the place of an encoder: `nn.GRU`, `nn.LSTM` and `nn.TransformerEncoder`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from decision_minrnn.benchmarks.public.placing import with_encoder
from decision_minrnn.config import ModelConfig
from decision_minrnn.model import DecisionModel

DROPOUT = 0.1


class TorchTransformer(nn.Module):
    """Pre-norm blocks with a causal mask, ReLU and one head; it knows no positions."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 1, 4 * width, DROPOUT, batch_first=True, norm_first=True)
        self.model = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x: Tensor, state: Any = None, reset: Tensor | None = None) -> tuple[Tensor, None]:
        """Over a sequence, from its start."""
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        return self.model(x, mask=mask, is_causal=True), None


def torch_transformer_model(config: ModelConfig) -> DecisionModel:
    """A model with `nn.TransformerEncoder` as its encoder."""
    return with_encoder(config, TorchTransformer(config.width, config.layers))


def torch_recurrent_model(config: ModelConfig, module: Callable[..., nn.RNNBase]) -> DecisionModel:
    """A model with `nn.GRU` or `nn.LSTM` of as many layers as its encoder: no norms, residuals or feed-forward."""
    layers = module(config.width, config.width, config.layers, batch_first=True, dropout=DROPOUT)
    return with_encoder(config, _Recurrent(layers))


class _Recurrent(nn.Module):
    def __init__(self, module: nn.RNNBase) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, state: Any = None, reset: Tensor | None = None) -> tuple[Tensor, None]:
        return self.module(x)[0], None
