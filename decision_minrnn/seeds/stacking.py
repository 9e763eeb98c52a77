"""Several models of one architecture as a single one, whose rows lie one model's after another's.

A batch of S models with B rows each has S B rows. Linear maps and norms have S sets of weights, each for its own rows,
and everything else, recurrences above all, sees a larger batch: S small products become one batched product. The
parameters lie stacked, [S, ...]; those of the single models become views of them, so that each stays usable by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from decision_minrnn.config import TrainConfig
from decision_minrnn.encoders.minimal import MinimalRNN
from decision_minrnn.encoders.stack import FeedForward
from decision_minrnn.model import DecisionModel
from decision_minrnn.ops.dropout import Mask
from decision_minrnn.ops.residual import add_branch


class StackedLinear(nn.Module):
    """Linear maps of one size, each of its own rows."""

    def __init__(self, members: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _stack([member.weight for member in members])
        self.bias = _stack([member.bias for member in members])

    def forward(self, x: Float[Tensor, "rows ... inputs"]) -> Float[Tensor, "rows ... outputs"]:
        """One batched product."""
        rows = x.reshape(len(self.weight), -1, x.shape[-1])
        return torch.baddbmm(self.bias[:, None], rows, self.weight.transpose(1, 2)).view(*x.shape[:-1], -1)


class StackedLayerNorm(nn.Module):
    """Norms over the last axis, each of its own rows."""

    def __init__(self, members: Sequence[nn.LayerNorm]) -> None:
        super().__init__()
        self.eps = members[0].eps
        self.weight = _stack([member.weight for member in members])
        self.bias = _stack([member.bias for member in members])

    def forward(self, x: Float[Tensor, "rows ... width"]) -> Float[Tensor, "rows ... width"]:
        """The norm without weights, then those of each model."""
        rows = nn.functional.layer_norm(x, x.shape[-1:], eps=self.eps).view(len(self.weight), -1, x.shape[-1])
        return torch.addcmul(self.bias[:, None], rows, self.weight[:, None]).view(x.shape)


class StackedFeedForward(nn.Module):
    """The feed-forward branches of several models; `stack` gives it their norms and maps."""

    norm: nn.Module
    up: nn.Module
    down: nn.Module

    def forward(
        self, x: Float[Tensor, "rows time width"], mask: Mask | None = None
    ) -> Float[Tensor, "rows time width"]:
        """As `FeedForward`."""
        return add_branch(x, self.down(torch.relu_(self.up(self.norm(x)))), mask)


def can_be_stacked(config: TrainConfig) -> bool:
    """Whether `stack` knows all layers of a model: minGRU's and minLSTM's, without convolutions."""
    options = config.encoder_options
    plain = not options.get("convolution") and options.get("style", "plain") == "plain"
    return plain and config.encoder in ("mingru", "minlstm") and options.get("scan", "auto") == "auto"


def stack(models: Sequence[DecisionModel]) -> DecisionModel:
    """One model for the rows of all, which share its parameters from now on."""
    result = deepcopy(models[0])
    for name, module in models[0].named_modules():
        members = [model.get_submodule(name) for model in models]
        parent, _, child = name.rpartition(".")
        if isinstance(module, nn.Linear):
            setattr(result.get_submodule(parent), child, StackedLinear(members))  # type: ignore[arg-type]
        elif isinstance(module, nn.LayerNorm):
            setattr(result.get_submodule(parent), child, StackedLayerNorm(members))  # type: ignore[arg-type]
        elif isinstance(module, FeedForward):
            setattr(result.get_submodule(parent), child, StackedFeedForward())
        elif isinstance(module, MinimalRNN):
            result.get_submodule(name).initial = _stack([member.initial for member in members])
    for name, parameter in result.named_parameters():
        for model, share in zip(models, parameter.data, strict=True):
            model.get_parameter(name).data = share
    return result


def _stack(parameters: Sequence[Any]) -> nn.Parameter:
    return nn.Parameter(torch.stack([parameter.detach() for parameter in parameters]))
