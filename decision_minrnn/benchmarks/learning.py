"""The training loop's own update, for any model with the signature of `DecisionModel.forward`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from decision_minrnn.config import Precision, TrainConfig
from decision_minrnn.learner import Learner
from decision_minrnn.losses import action_loss
from decision_minrnn.types import Batch


class BatchLearner(Learner[Batch]):
    """Learns the actions of windows, each of which starts afresh."""

    def predict(self, batch: Batch) -> Tensor:
        """The actions."""
        return self.model(batch.returns_to_go, batch.observations, batch.previous_actions)[0]

    def loss(self, predicted: Tensor, batch: Batch) -> Tensor:
        """Mean squared error over valid steps."""
        return action_loss(predicted, batch.actions, batch.mask)


class OneBatch:
    """A sampler that knows a single batch, so that an update is timed without the reading of data."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def sample(self) -> Batch:
        """That batch."""
        return self.batch

    def state(self) -> dict[str, Any]:
        """Nothing changes."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def batch_learner(model: nn.Module, batch: Batch, precision: Precision = "float32") -> BatchLearner:
    """What `learn` of it does is an update as `train` does them: forward, loss, backward, clip, AdamW."""
    return BatchLearner(model, OneBatch(batch), TrainConfig("random numbers", precision=precision))
