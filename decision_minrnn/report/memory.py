"""What a trained policy remembers, measured on one episode of its dataset.

Of minGRU and minLSTM, the write gates w_t of h_t = (1 - w_t) h_{t-1} + w_t g(c_t), at every step and in every dimension
of the state: 0 keeps, 1 overwrites. And of any encoder, how far back its actions depend on what it saw:

    || d action_t / d observation_{t-k} ||      over lags k

the Frobenius norm of the Jacobian through all layers, with observations in standard deviations and actions (of discrete
ones, their logits) in the environment's units. The episode is fed as recorded, returns-to-go included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor

from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.encoders.minimal import MinimalRNN, at_least_float32
from decision_minrnn.model import DecisionModel

LONGEST = 500
"""First steps of an episode that are looked at."""

PROBES = 6
"""Steps t of an episode whose actions are differentiated."""

QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class EpisodeInputs:
    """What a policy would have been fed in one episode, as a batch of one."""

    index: int
    episode_return: float
    returns_to_go: Float[Tensor, "1 time"]
    observations: Float[Tensor, "1 time observation"]
    previous_actions: Float[Tensor, "1 time action"]


@dataclass(frozen=True)
class Influence:
    """How much an action depends on the observation k steps before it."""

    lags: Int64[ndarray, " lags"]
    quantiles: Float[ndarray, "quantiles lags"]
    """`QUANTILES` of the norm over the steps that were probed."""


def best_episode(data: Trajectories) -> EpisodeInputs:
    """The finished episode of highest return (of all, if none is finished), its first `LONGEST` steps."""
    allowed = data.finished if data.finished.any() else ~data.finished
    index = int(np.argmax(np.where(allowed, data.returns, -np.inf)))
    steps = slice(int(data.offsets[index]), min(int(data.offsets[index + 1]), int(data.offsets[index]) + LONGEST))
    actions = np.eye(data.choices, dtype=np.float32)[data.indices[steps]] if data.choices else data.actions[steps]
    previous = np.concatenate([np.zeros_like(actions[:1]), actions[:-1]])
    returns, observations = data.returns_to_go[steps], data.observations[steps]
    tensors = (torch.from_numpy(np.array(array, np.float32))[None] for array in (returns, observations, previous))
    return EpisodeInputs(index, float(data.returns[index]), *tensors)


@torch.no_grad()
def write_gates(model: DecisionModel, episode: EpisodeInputs) -> list[Float[ndarray, "time state"]]:
    """w_t of every minGRU or minLSTM layer, from the first to the last; empty for a model without any.

    With interleaved tokens, those of the observation's token, after which the action is predicted.
    """
    layers = [module for module in model.encoder.modules() if isinstance(module, MinimalRNN)]
    inputs: dict[MinimalRNN, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda layer, arguments: inputs.update({layer: arguments[0]}))
        for layer in layers
    ]
    try:
        model(episode.returns_to_go, episode.observations, episode.previous_actions)
    finally:
        for hook in hooks:
            hook.remove()
    tokens = slice(None) if model.config.tokens == "merged" else slice(1, None, 3)
    return [_write_gate(layer, inputs[layer][0, tokens]).numpy() for layer in layers]


def _write_gate(layer: MinimalRNN, inputs: Float[Tensor, "time width"]) -> Float[Tensor, "time state"]:
    gates = at_least_float32(layer.project_in(inputs))[:, layer.initial.numel() :]
    return layer.gate.write(torch.sigmoid(gates))


def influence(model: DecisionModel, episode: EpisodeInputs) -> Influence:
    """Of actions in the second half of an episode on the observations up to half of it before."""
    steps, dimensions = episode.observations.shape[1], model.config.action_size
    probes = np.unique(np.linspace(steps // 2, steps - 1, PROBES).astype(int))
    lags = np.arange(probes[0] + 1)
    norms = []
    for probe in probes:
        # a row for each dimension of the action, so that one backward pass gives the whole Jacobian
        fed = (episode.returns_to_go, episode.observations, episode.previous_actions)
        returns, observations, previous = (x[:, : probe + 1].repeat_interleave(dimensions, dim=0) for x in fed)
        actions, _ = model(returns, observations.requires_grad_(), previous)
        (jacobian,) = torch.autograd.grad(actions[:, -1].diagonal().sum(), observations)
        norms.append((jacobian * model.observation_std).square().sum(dim=(0, 2)).sqrt().numpy()[probe - lags])
    return Influence(lags, np.quantile(norms, QUANTILES, axis=0))
