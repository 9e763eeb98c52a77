"""AdamW, its learning rate, and its moments as named tensors that a checkpoint can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from decision_minrnn.config import RunConfig

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def build_optimizer(model: nn.Module, config: RunConfig, models_axis: int = 0) -> torch.optim.AdamW:
    """AdamW that decays weight matrices, and leaves biases, norms and initial states alone."""
    parameters, axes = list(model.parameters()), 2 + models_axis
    groups = [
        {"params": [p for p in parameters if p.ndim >= axes], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < axes], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def stacked_optimizer(model: nn.Module, config: RunConfig) -> torch.optim.AdamW:
    """The same for several models, whose parameters have one axis more; its moments are there before an update."""
    optimizer = build_optimizer(model, config, models_axis=1)
    optimizer.state.update({parameter: _moments(optimizer, parameter) for parameter in model.parameters()})
    return optimizer


def clip_gradient(optimizer: torch.optim.AdamW, limit: float) -> Tensor:
    """The gradient's norm; where it is above `limit`, the optimiser's next step will shrink the gradient to it.

    `torch.nn.utils.clip_grad_norm_`, but AdamW divides the gradient as it reads it, which saves a pass over memory.
    """
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    optimizer.grad_scale = (norm / limit).clamp_min(1.0)  # type: ignore[attr-defined]
    return norm


def learning_rate(config: RunConfig, update: int) -> float:
    """The rate of an update, counted from 0: linear warm-up, then a cosine that ends at zero."""
    if update < config.warmup:
        return config.learning_rate * (update + 1) / config.warmup
    progress = (update - config.warmup) / max(1, config.updates - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """The optimiser's moments, named after the model's parameters: the tensors themselves, not copies."""
    return {
        f"optimizer/{name}/{moment}": tensor
        for name, parameter in model.named_parameters()
        for moment, tensor in _moments(optimizer, parameter).items()
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.AdamW, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`. Raises `KeyError` with the name of a moment that is missing."""
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {
            moment: tensors[f"optimizer/{name}/{moment}"].to(parameter.device) for moment in _MOMENTS
        }


def _moments(optimizer: torch.optim.AdamW, parameter: Tensor) -> dict[str, Tensor]:
    """A parameter's moments; zeros, with which AdamW starts, for one that has had no gradient so far."""
    if parameter in optimizer.state:
        return optimizer.state[parameter]
    step = torch.zeros((), device=parameter.device)
    return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
