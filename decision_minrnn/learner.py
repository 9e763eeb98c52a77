"""What is trained: a model with its optimiser and its sampler, and one update of them.

`Learner` is any such model, `PolicyLearner` a `DecisionModel` on trajectories.

Knows nothing of run folders, evaluations or progress; `training` does.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from decision_minrnn.checkpoint import TrainingState
from decision_minrnn.config import ModelConfig, RunConfig, TrainConfig
from decision_minrnn.data.gathering import fits_on
from decision_minrnn.data.sampling import Sampler
from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.distributed import Ranks, unsynchronised
from decision_minrnn.errors import CheckpointError, ConfigError
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

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are numbers."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


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

    partly_used = False
    """Whether there may be parameters that have no part in an update."""

    def __init__(
        self, model: nn.Module, sampler: BatchSampler[AnyBatch], config: RunConfig, ranks: Ranks | None = None
    ) -> None:
        self.model, self.sampler, self.config, self.ranks = model, sampler, config, ranks or Ranks()
        self.device = next(model.parameters()).device
        self.called = self.ranks.parallel(model, self.partly_used)
        """The model as `predict` calls it."""
        self.optimizer = build_optimizer(model, config)
        self.update = 0
        """Updates done."""
        self._seed_rank()

    @abstractmethod
    def predict(self, batch: AnyBatch) -> Tensor:
        """What the model makes of a batch; its matrix products may be in bfloat16."""

    @abstractmethod
    def loss(self, predicted: Tensor, batch: AnyBatch) -> Tensor:
        """What is to become small."""

    def parts(self, batch: AnyBatch) -> Sequence[tuple[AnyBatch, float]]:
        """What is gone through at a time, and its weight in the loss of the whole batch, of all ranks."""
        return [(batch, 1.0)]

    def learn(self) -> Step:
        """Sample, predict, descend: one update. Raises `NotFiniteError` in its place."""
        if not self.model.training:
            self.model.train()
        rate = learning_rate(self.config, self.update)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.sampler.sample().to(self.device)
        loss, norm = self.gradient(batch)
        step = Step(loss.item(), norm.item(), rate)
        if not step.is_finite:
            raise NotFiniteError(step, batch)
        self.optimizer.step()
        self.update += 1
        return step

    def learn_on(self, limit: int) -> list[Step]:
        """At least one update, and at most `limit`: what each showed. Raises as `learn`."""
        return [self.learn()]

    def gradient(self, batch: AnyBatch) -> tuple[Tensor, Tensor]:
        """Leave the gradient, clipped, for the optimiser's next step; gives the loss and the gradient's norm before."""
        *others, last = self.parts(batch)
        self.optimizer.zero_grad()
        with unsynchronised(self.called):
            losses = [self._descend(*part) for part in others]
        losses.append(self._descend(*last))
        norm = clip_gradient(self.optimizer, self.config.gradient_clip)
        return self.ranks.total(sum(losses[1:], losses[0])), norm

    def _descend(self, batch: AnyBatch, weight: float) -> Tensor:
        """Add to the gradient that of a part of a batch; gives what it adds to the loss."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            predicted = self.predict(batch)
        loss = self.loss(predicted, batch) * weight
        # of the gradients of all ranks, each gets the mean
        (loss * self.ranks.count).backward()
        return loss.detach()

    def state(self) -> TrainingState:
        """What training goes on from, beside the weights. Collective, as `Ranks` says."""
        return TrainingState(self.update, self.tensors(), self.sampler.state())

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`, with a model whose weights are loaded.

        Raises `CheckpointError` for a state of another model or version.
        """
        self.update = state.update
        try:
            self.sampler.restore(state.sampler)
            self.restore_tensors(state.tensors)
        except Exception as error:  # whatever the generators and the optimiser make of a state that is not theirs
            raise CheckpointError(
                f"the training state of update {state.update} does not fit this model and version: {error}."
            ) from error

    def tensors(self) -> dict[str, Tensor]:
        """The optimiser's moments and the generators' states."""
        tensors = optimizer_tensors(self.model, self.optimizer)
        for kind, state in self._generator_states().items():
            states = self.ranks.joined(state[None].to(self.device)).cpu()
            tensors |= {_generator_name(kind, rank): state for rank, state in enumerate(states)}
        return tensors

    def _generator_states(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _seed_rank(self) -> None:
        """Give every rank random numbers of its own; those of the first are what one alone would draw."""
        if not self.ranks.is_first:
            key = (self.config.seed, self.ranks.rank, self.update)
            torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))

    def restore_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`; a rank that was not there when they were saved draws anew."""
        restore_optimizer(self.model, self.optimizer, tensors)
        cpu, cuda = (_generator_name(kind, self.ranks.rank) for kind in ("cpu", "cuda"))
        if cpu in tensors:
            torch.set_rng_state(tensors[cpu])
        else:
            self._seed_rank()
        if self.device.type == "cuda" and cuda in tensors:
            torch.cuda.set_rng_state(tensors[cuda], self.device)


class PolicyLearner(Learner[Batch]):
    """A policy that learns to predict the actions of trajectories."""

    model: DecisionModel
    sampler: Sampler

    config: TrainConfig

    def __init__(
        self, model: DecisionModel, data: Trajectories, config: TrainConfig, ranks: Ranks | None = None
    ) -> None:
        """Raises `ConfigError` for a batch that cannot be divided among the ranks."""
        ranks = ranks or Ranks()
        if config.batch_size % (ranks.count * config.accumulate):
            raise ConfigError(
                f"--batch-size expects a multiple of the {ranks.count} ranks times --accumulate {config.accumulate}, "
                f"got {config.batch_size}."
            )
        context, sampling = config.context, config.sampling
        if context == "episode":
            context, sampling = int(data.lengths.max()), "streams"
        # initial states have no part in a batch in which no episode starts
        self.partly_used = sampling == "streams"
        rows, device = ranks.share(config.batch_size), next(model.parameters()).device
        place = device if fits_on(data, device) else None
        sampler = Sampler(data, config.batch_size, context, config.seed, sampling, rows, place)
        super().__init__(model, sampler, config, ranks)
        self.carried: deque[State | None] = deque([None] * config.accumulate)
        """What the streams carry from batch to batch: a state for each part, the one that is next first."""

    def parts(self, batch: Batch) -> Sequence[tuple[Batch, float]]:
        """As many as `accumulate`, each with its share of the steps that are not padding."""
        count = self.config.accumulate
        if count == self.ranks.count == 1:
            return [(batch, 1.0)]
        fields = [[None] * count if field is None else field.chunk(count) for field in batch]
        parts = [Batch._make(part) for part in zip(*fields, strict=True)]
        return [(part, part.mask.sum().item() / self.sampler.valid_steps) for part in parts]

    def predict(self, batch: Batch) -> Tensor:
        """The actions; streams go on from the state of the batch before."""
        before = self.carried.popleft()
        predicted, state = self.called(
            batch.returns_to_go, batch.observations, batch.previous_actions, before, batch.reset
        )
        streams = self.sampler.sampling == "streams"
        self.carried.append(tuple(tensor.detach() for tensor in state) if streams else None)
        return predicted

    def loss(self, predicted: Tensor, batch: Batch) -> Tensor:
        """How far they are from those of the data, over valid steps."""
        loss = choice_loss if self.model.config.discrete else action_loss
        return loss(predicted, batch.actions, batch.mask)

    def tensors(self) -> dict[str, Tensor]:
        """As of any learner, and the carried state, of the rows of all ranks."""
        states = zip(*(state for state in self.carried if state is not None), strict=True)
        carried = {f"carried/{index}": self.ranks.joined(torch.cat(parts)) for index, parts in enumerate(states)}
        return super().tensors() | carried

    def restore_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        super().restore_tensors(tensors)
        if self.sampler.sampling == "streams":
            count = len(self.model.initial_state(1))
            rows = self.ranks.share(self.config.batch_size)
            carried = [tensors[f"carried/{index}"][rows].to(self.device) for index in range(count)]
            parts = [tensor.chunk(self.config.accumulate) for tensor in carried]
            # an encoder without memory carries nothing, as often
            self.carried = deque(tuple(part[index] for part in parts) for index in range(self.config.accumulate))


def _generator_name(kind: str, rank: int) -> str:
    """Under which a rank's generator is saved."""
    return f"generator/{kind}" if rank == 0 else f"generator/{kind}/{rank}"
