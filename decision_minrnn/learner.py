"""What is trained: a model with its optimiser and its sampler, and one update of them.

`Learner` is any such model, `PolicyLearner` a `DecisionModel` on trajectories.

Knows nothing of run folders, evaluations or progress; `training` does.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from decision_minrnn.checkpoint import TrainingState
from decision_minrnn.config import ModelConfig, RunConfig, TrainConfig
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


class TensorBatch(Protocol):
    """What one update is computed from: a `NamedTuple` of tensors."""

    def to(self, device: torch.device | str) -> Any:
        """The same batch on another device."""

    def _asdict(self) -> dict[str, Any]:
        """Its tensors by name."""


AnyBatch = TypeVar("AnyBatch", bound=TensorBatch)
SampledBatch = TypeVar("SampledBatch", bound=TensorBatch, covariant=True)


class BatchSampler(Protocol[SampledBatch]):
    """An endless source of batches that can be stopped and go on."""

    def sample(self) -> SampledBatch:
        """The next batch."""

    def state(self) -> dict[str, Any]:
        """Where it is, as plain data."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""


class NotFiniteError(Exception):
    """A loss or a gradient that is NaN or infinite; the weights are those before the update."""

    def __init__(self, step: Step, batch: TensorBatch) -> None:
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
            return_conditioning=config.return_conditioning,
            return_scale=scale or max(1.0, float(np.abs(data.returns).max())),
            context=None if config.context == "episode" else config.context,
        ),
        data.statistics,
    )


class Learner(ABC, Generic[AnyBatch]):
    """A model in training. The random generators that it draws from, beside its sampler's own, are torch's."""

    def __init__(self, model: nn.Module, sampler: BatchSampler[AnyBatch], config: RunConfig) -> None:
        self.model, self.sampler, self.config = model, sampler, config
        self.device = next(model.parameters()).device
        self.optimizer = build_optimizer(model, config)
        self.update = 0
        """Updates done."""

    @abstractmethod
    def predict(self, batch: AnyBatch) -> Tensor:
        """What the model makes of a batch; its matrix products may be in bfloat16."""

    @abstractmethod
    def loss(self, predicted: Tensor, batch: AnyBatch) -> Tensor:
        """What is to become small."""

    def learn(self) -> Step:
        """Sample, predict, descend: one update. Raises `NotFiniteError` in its place."""
        self.model.train()
        rate = learning_rate(self.config, self.update)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.sampler.sample().to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            predicted = self.predict(batch)
        loss = self.loss(predicted, batch)
        self.optimizer.zero_grad()
        loss.backward()
        norm = clip_gradient(self.optimizer, self.config.gradient_clip)
        step = Step(loss.item(), norm.item(), rate)
        if not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm)):
            raise NotFiniteError(step, batch)
        self.optimizer.step()
        self.update += 1
        return step

    def state(self) -> TrainingState:
        """What training goes on from, beside the weights."""
        return TrainingState(self.update, self.tensors(), self.sampler.state())

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`, with a model whose weights are loaded.

        Raises `CheckpointError` for a state of another model or version.
        """
        try:
            self.sampler.restore(state.sampler)
            self.restore_tensors(state.tensors)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"the training state of update {state.update} does not fit this model and version: {error}."
            ) from error
        self.update = state.update

    def tensors(self) -> dict[str, Tensor]:
        """The optimiser's moments and the generators' states."""
        tensors = optimizer_tensors(self.model, self.optimizer)
        tensors["generator/cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["generator/cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors

    def restore_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        restore_optimizer(self.model, self.optimizer, tensors)
        torch.set_rng_state(tensors["generator/cpu"])
        if self.device.type == "cuda" and "generator/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["generator/cuda"], self.device)


class PolicyLearner(Learner[Batch]):
    """A policy that learns to predict the actions of trajectories."""

    model: DecisionModel
    sampler: Sampler

    def __init__(self, model: DecisionModel, data: Trajectories, config: TrainConfig) -> None:
        if config.context == "episode":
            sampler = Sampler(data, config.batch_size, int(data.lengths.max()), config.seed, "streams")
        else:
            sampler = Sampler(data, config.batch_size, config.context, config.seed, config.sampling)
        super().__init__(model, sampler, config)
        self.carried: State | None = None
        """What the streams carry from batch to batch."""

    def predict(self, batch: Batch) -> Tensor:
        """The actions; streams go on from the state of the batch before."""
        predicted, state = self.model(
            batch.returns_to_go, batch.observations, batch.previous_actions, self.carried, batch.reset
        )
        if self.sampler.sampling == "streams":
            self.carried = tuple(tensor.detach() for tensor in state)
        return predicted

    def loss(self, predicted: Tensor, batch: Batch) -> Tensor:
        """How far they are from those of the data, over valid steps."""
        loss = choice_loss if self.model.config.discrete else action_loss
        return loss(predicted, batch.actions, batch.mask)

    def tensors(self) -> dict[str, Tensor]:
        """As of any learner, and the carried state."""
        return super().tensors() | {f"carried/{index}": tensor for index, tensor in enumerate(self.carried or ())}

    def restore_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        super().restore_tensors(tensors)
        if self.sampler.sampling == "streams":
            count = len(self.model.initial_state(1))
            self.carried = tuple(tensors[f"carried/{index}"].to(self.device) for index in range(count))
