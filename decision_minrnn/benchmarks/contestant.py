"""What takes part in a benchmark: something that can be updated from a batch, and perhaps be stepped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy

import numpy as np
import torch

from decision_minrnn.benchmarks.learning import batch_learner
from decision_minrnn.benchmarks.timing import Task
from decision_minrnn.config import Precision
from decision_minrnn.model import DecisionModel
from decision_minrnn.ops import native
from decision_minrnn.policy import Policy
from decision_minrnn.types import Batch


class Contestant(ABC):
    """One row of a table."""

    parameters: int

    @abstractmethod
    def update(self, batch: Batch, precision: Precision) -> Task | None:
        """A function that makes one update; None where the contestant has no such precision."""

    @abstractmethod
    def step(self, count: int) -> Task | None:
        """A function that takes one step in `count` environments, from numpy observations and rewards to numpy actions.

        None where the contestant cannot step, or not so many at once.
        """


class TrainedContestant(Contestant):
    """A model that our training loop updates, and that does not step."""

    def __init__(self, model: DecisionModel) -> None:
        self.model = model
        self.parameters = sum(parameter.numel() for parameter in model.parameters())

    def update(self, batch: Batch, precision: Precision) -> Task | None:
        """As in `train`, with the batch at hand: forward, loss, backward, clip, AdamW."""
        return batch_learner(self.model, batch, precision).learn

    def step(self, count: int) -> Task | None:
        """Not at all."""
        return None


class CarriedContestant(TrainedContestant):
    """A model that carries a state from step to step."""

    def step(self, count: int) -> Task | None:
        """As in `evaluate`."""
        config, policy = self.model.config, Policy(self.model)
        observations, rewards = np.zeros((count, config.observation_size), np.float32), np.zeros(count, np.float32)
        policy.reset(count, 0.0)
        return lambda: policy.act(observations, rewards)


class PlainContestant(CarriedContestant):
    """A model that is trained with PyTorch's operations, where there are compiled kernels for it."""

    def update(self, batch: Batch, precision: Precision) -> Task | None:
        """As in `train` with DECISION_MINRNN_KERNELS=off."""
        task = super().update(batch, precision)
        assert task is not None

        def without_kernels() -> object:
            with native.switched_off():
                return task()

        return without_kernels


class WindowContestant(TrainedContestant):
    """A model that is fed its last steps again at each step, as the documentation of HuggingFace's does."""

    def step(self, count: int) -> Task | None:
        """The window moves by one step and is run through the whole model."""
        config, model = self.model.config, deepcopy(self.model).eval()
        assert config.context is not None
        observations, rewards = np.zeros((count, config.observation_size), np.float32), np.zeros(count, np.float32)
        returns, seen = torch.zeros(count, config.context), torch.zeros(count, config.context, config.observation_size)
        actions = torch.zeros(count, config.context, config.action_size)

        @torch.inference_mode()
        def feed_again() -> object:
            nonlocal returns, seen, actions
            returns = torch.cat([returns[:, 1:], returns[:, -1:] - torch.from_numpy(rewards)[:, None]], dim=1)
            seen = torch.cat([seen[:, 1:], torch.from_numpy(observations)[:, None]], dim=1)
            predicted = model(returns, seen, actions)[0][:, -1]
            actions = torch.cat([actions[:, 1:], predicted[:, None]], dim=1)
            return predicted.numpy()

        return feed_again
