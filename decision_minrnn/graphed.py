"""A `PolicyLearner` whose updates follow each other on the device, as `replay` says.

What it learns is what `PolicyLearner` learns, but for the rounding of the learning rate to float32. A loss or gradient
that is not finite stops the weights where they are; it is noticed, and `NotFiniteError` raised, when losses are read.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from decision_minrnn.config import TrainConfig
from decision_minrnn.data.gathering import StepTable, fits_on
from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.distributed import Ranks
from decision_minrnn.learner import NotFiniteError, PolicyLearner, Step
from decision_minrnn.model import DecisionModel
from decision_minrnn.ops import triton
from decision_minrnn.optimization import learning_rate
from decision_minrnn.replay import DeviceUpdates, kept
from decision_minrnn.types import Batch


class GraphedLearner(PolicyLearner):
    """Learns what `PolicyLearner` learns, many updates at a time."""

    def __init__(self, model: DecisionModel, data: Trajectories, config: TrainConfig) -> None:
        super().__init__(model, data, config)
        sampler = self.sampler
        table = sampler.table if sampler.table.device else StepTable(data, self.device)
        self.updates = DeviceUpdates(
            table, config.batch_size, sampler.context, sampler.marked, self.optimizer, self._gradient
        )

    def learn_on(self, limit: int) -> list[Step]:
        """As many updates as there is room for, one after another."""
        self.model.train()
        count = min(limit, self.updates.stride)
        drawn = [self.sampler.draw() for _ in range(count)]
        rates = [learning_rate(self.config, self.update + index) for index in range(count)]
        shown = self.updates.run(drawn, rates)[..., 0].tolist()
        steps = [Step(loss, norm, rate) for (loss, norm), rate in zip(shown, rates, strict=True)]
        for index, step in enumerate(steps):
            if not step.is_finite:
                self.update += index
                raise NotFiniteError(step, self.updates.batch(index))
        self.update += count
        return steps

    def learn(self) -> Step:
        """One update."""
        (step,) = self.learn_on(1)
        return step

    def restore_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """As of any learner; before the first update, since a graph would go on with what was there."""
        if self.updates.update.graph is not None:
            raise RuntimeError("a state is restored before the first update; expected a new GraphedLearner.")
        super().restore_tensors(tensors)

    def _gradient(self, batch: Batch) -> Tensor:
        (before,) = self.carried
        shown = torch.stack(self.gradient(batch))[:, None]
        self.carried[0] = kept(before, self.carried[0])
        return shown


def can_be_graphed(config: TrainConfig, data: Trajectories, device: torch.device) -> bool:
    """Whether an update can be recorded: whole, on a GPU that has kernels for all of it and room for the dataset."""
    kernels = triton.takes(torch.empty(0, device=device)) and config.encoder in ("mingru", "minlstm")
    whole = config.accumulate == 1 and config.encoder_options.get("scan", "auto") == "auto"
    return kernels and whole and fits_on(data, device)


def build_learner(
    model: DecisionModel, data: Trajectories, config: TrainConfig, ranks: Ranks | None = None
) -> PolicyLearner:
    """The learner of a run: graphed where it can be. Raises as `PolicyLearner`."""
    device = next(model.parameters()).device
    alone = ranks is None or ranks.count == 1
    if alone and config.cuda_graph and can_be_graphed(config, data, device):
        return GraphedLearner(model, data, config)
    return PolicyLearner(model, data, config, ranks)
