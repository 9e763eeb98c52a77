"""What is trained: a model with its optimiser and its source of batches, and one update of them.

Knows nothing of run folders, evaluations or progress; `training` does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from decision_minrnn.checkpoint import TrainingState
from decision_minrnn.config import ModelConfig, TrainConfig
from decision_minrnn.data.sampling import Sampler
from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.errors import CheckpointError
from decision_minrnn.losses import action_loss, choice_loss
from decision_minrnn.model import DecisionModel
from decision_minrnn.optimization import (
    build_optimizer,
    clip_gradient,
    learning_rate,
    optimizer_tensors,
    restore_optimizer,
)
from decision_minrnn.types import Batch, State


class Step(NamedTuple):
    """What one update showed."""

    loss: float
    gradient_norm: float
    """Before it was clipped."""
    learning_rate: float


class NotFiniteError(Exception):
    """A loss or a gradient that is NaN or infinite; the weights are those before the update."""

    def __init__(self, step: Step, batch: Batch) -> None:
        super().__init__(f"the loss is {step.loss} and the gradient's norm {step.gradient_norm}")
        self.batch = batch


def build_model(config: TrainConfig, data: Trajectories) -> DecisionModel:
    """The model that a configuration asks for and a dataset determines, with initial weights from torch's generator."""
    scale = data.env.return_scale if data.env else None
    return DecisionModel(
        ModelConfig(
            observation_size=data.observations.shape[1],
            action_size=data.action_size,
            action_low=() if data.choices else tuple(data.action_low.tolist()),
            action_high=() if data.choices else tuple(data.action_high.tolist()),
            discrete=data.choices is not None,
            tokens=config.tokens,
            encoder=config.encoder,
            encoder_options={"dropout": config.dropout, **config.encoder_options},
            width=config.width,
            layers=config.layers,
            previous_action=config.previous_action,
            return_scale=scale or max(1.0, float(np.abs(data.returns).max())),
            context=None if config.context == "episode" else config.context,
        ),
        data.statistics,
    )


class Learner:
    """A model in training. The random generators that it draws from, beside its sampler's own, are torch's."""

    def __init__(self, model: DecisionModel, data: Trajectories, config: TrainConfig) -> None:
        self.model, self.config = model, config
        self.device = model.head.weight.device
        if config.context == "episode":
            self.sampler = Sampler(data, config.batch_size, int(data.lengths.max()), config.seed, "streams")
        else:
            self.sampler = Sampler(data, config.batch_size, config.context, config.seed, config.sampling)
        self.carried: State | None = None
        """What the streams carry from batch to batch."""
        self.loss = choice_loss if model.config.discrete else action_loss
        self.optimizer = build_optimizer(model, config)
        self.update = 0
        """Updates done."""

    def learn(self) -> Step:
        """Sample, predict, descend: one update. Raises `NotFiniteError` in its place."""
        self.model.train()
        rate = learning_rate(self.config, self.update)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.sampler.sample().to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            predicted, state = self.model(
                batch.returns_to_go, batch.observations, batch.previous_actions, self.carried, batch.reset
            )
        loss = self.loss(predicted, batch.actions, batch.mask)
        self.optimizer.zero_grad()
        loss.backward()
        norm = clip_gradient(self.optimizer, self.config.gradient_clip)
        step = Step(loss.item(), norm.item(), rate)
        if not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm)):
            raise NotFiniteError(step, batch)
        self.optimizer.step()
        if self.sampler.sampling == "streams":
            self.carried = tuple(tensor.detach() for tensor in state)
        self.update += 1
        return step

    def state(self) -> TrainingState:
        """What training goes on from, beside the weights."""
        tensors = optimizer_tensors(self.model, self.optimizer)
        tensors["generator/cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["generator/cuda"] = torch.cuda.get_rng_state(self.device)
        for index, tensor in enumerate(self.carried or ()):
            tensors[f"carried/{index}"] = tensor
        return TrainingState(self.update, tensors, self.sampler.state())

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`, with a model whose weights are loaded.

        Raises `CheckpointError` for a state of another model or version.
        """
        try:
            self.sampler.restore(state.sampler)
            restore_optimizer(self.model, self.optimizer, state.tensors)
            if self.sampler.sampling == "streams":
                count = len(self.model.initial_state(1))
                self.carried = tuple(state.tensors[f"carried/{index}"].to(self.device) for index in range(count))
            torch.set_rng_state(state.tensors["generator/cpu"])
            if self.device.type == "cuda" and "generator/cuda" in state.tensors:
                torch.cuda.set_rng_state(state.tensors["generator/cuda"], self.device)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"the training state of update {state.update} does not fit this model and version: {error}."
            ) from error
        self.update = state.update
