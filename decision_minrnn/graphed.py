"""Updates that follow each other on a GPU without waiting for the host: a `PolicyLearner` captured as a CUDA graph.

A small model leaves a GPU idle while Python launches its next kernel. Here one update, from the batch's steps to the
changed weights, is recorded once and replayed by a single launch. For that it works on tensors that stay where they
are, and asks nothing of them: the steps of the next batches, drawn by the same sampler as ever, and their learning
rates are copied to the device for up to `STRIDE` updates at a time; losses stay there until these are done.

A loss or gradient that is not finite stops the weights where they are, on the device; it is noticed, and
`NotFiniteError` raised, when the losses are read. On a CPU the same updates run without a graph, which is how they are
tested: what they show is what `PolicyLearner` shows, but for the rounding of the learning rate to float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
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
from decision_minrnn.types import State

STRIDE = 100
"""Updates at most between two looks at their losses."""
MOST_STEPS = 2**22
"""Steps of batches at most that wait on the device, 38 megabytes."""


class Replayed:
    """A function over tensors that stay where they are, run on a GPU as a CUDA graph.

    Its first calls run it as it is, in which libraries choose and compile their kernels; the next one records it.
    """

    WARM_UP = 3

    def __init__(self, function: Callable[[], None], device: torch.device) -> None:
        self.function, self.device = function, device
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Run it once more."""
        if self.graph is not None:
            self.graph.replay()
        elif self.device.type != "cuda":
            self.function()
        elif self.calls < self.WARM_UP:
            self.calls += 1
            self._run_beside()
        else:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.function()
            self.graph.replay()

    def _run_beside(self) -> None:
        """On a stream of its own, as what is to be recorded has to run."""
        here, beside = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        beside.wait_stream(here)
        with torch.cuda.stream(beside), warnings.catch_warnings():
            # of an optimiser that is made to be recorded and is not: it will be
            warnings.filterwarnings("ignore", message=".*capturable=True")
            self.function()
        here.wait_stream(beside)


class GraphedLearner(PolicyLearner):
    """Learns what `PolicyLearner` learns, many updates at a time."""

    def __init__(self, model: DecisionModel, data: Trajectories, config: TrainConfig) -> None:
        super().__init__(model, data, config)
        rows = config.batch_size * self.sampler.context
        stride = max(1, min(STRIDE, MOST_STEPS // rows))
        shape = (stride, config.batch_size, self.sampler.context)
        # on a GPU the sampler's own; on a CPU that one holds arrays, which are not what is to be tested
        self.table = self.sampler.table if self.sampler.table.device else StepTable(data, self.device)
        self.steps = torch.zeros(shape, dtype=torch.int64, device=self.device)
        self.masks = torch.zeros(shape, dtype=torch.bool, device=self.device)
        self.rates = torch.zeros(stride, device=self.device)
        self.shown = torch.zeros(stride, 2, device=self.device)
        """Loss and gradient norm of each update."""
        self.place = torch.zeros(1, dtype=torch.int64, device=self.device)
        """Which of them is the next."""
        self.failed = torch.zeros((), device=self.device)
        """One after a loss or gradient that is not finite: AdamW then leaves weights and moments as they are."""
        self.rate = torch.zeros((), device=self.device)
        for group in self.optimizer.param_groups:
            group.update(lr=self.rate, capturable=self.device.type == "cuda")
        self.optimizer.found_inf = self.failed  # type: ignore[attr-defined]
        self.updated = Replayed(self._update, self.device)

    def learn_on(self, limit: int) -> list[Step]:
        """As many updates as there is room for, one after another."""
        self.model.train()
        count = min(limit, len(self.steps))
        drawn = [self.sampler.draw() for _ in range(count)]
        rates = [learning_rate(self.config, self.update + index) for index in range(count)]
        for tensor, values in zip((self.steps, self.masks), zip(*drawn, strict=True), strict=True):
            tensor[:count] = torch.from_numpy(np.stack(values))
        self.rates[:count] = torch.tensor(rates)
        self.place.zero_()
        for _ in range(count):
            self.updated()
        shown = self.shown[:count].tolist()
        steps = [Step(loss, norm, rate) for (loss, norm), rate in zip(shown, rates, strict=True)]
        for index, step in enumerate(steps):
            if not step.is_finite:
                self.update += index
                raise NotFiniteError(step, self.table.gather(self.steps[index], self.masks[index], self.sampler.marked))
        self.update += count
        return steps

    def learn(self) -> Step:
        """One update."""
        (step,) = self.learn_on(1)
        return step

    def restore_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """As of any learner; before the first update, since a graph would go on with what was there."""
        if self.updated.graph is not None:
            raise RuntimeError("a state is restored before the first update; expected a new GraphedLearner.")
        super().restore_tensors(tensors)

    def _update(self) -> None:
        """What is recorded: nothing in it may depend on a number that the host would have to read."""
        steps, mask = self.steps.index_select(0, self.place)[0], self.masks.index_select(0, self.place)[0]
        self.rate.copy_(self.rates.index_select(0, self.place)[0])
        (before,) = self.carried
        loss, norm = self.gradient(self.table.gather(steps, mask, self.sampler.marked))
        self.failed.copy_(torch.maximum(self.failed, 1 - (loss.isfinite() & norm.isfinite()).float()))
        self.optimizer.step()
        self._carry_on(before)
        self.shown.index_copy_(0, self.place, torch.stack([loss, norm])[None])
        self.place.add_(1)

    def _carry_on(self, before: State | None) -> None:
        """Keep what streams carry in the same tensors from the first update on."""
        (after,) = self.carried
        if before is None or after is None:
            self.carried[0] = after and tuple(tensor.clone() for tensor in after)
            return
        for tensor, new in zip(before, after, strict=True):
            tensor.copy_(new)
        self.carried[0] = before


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
