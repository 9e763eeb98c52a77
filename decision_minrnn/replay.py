"""Updates that follow each other on a device without waiting for the host, recorded as a CUDA graph.

A small model leaves a GPU idle while Python launches its next kernel. Here one update, from the batch's steps to the
changed weights, is recorded once and replayed by a single launch. For that it works on tensors that stay where they
are, and asks nothing of them: the steps of the next batches, drawn by the same sampler as ever, and their learning
rates are copied to the device for up to `STRIDE` updates at a time; losses stay there until these are done.

On a CPU the same updates run without a graph, which is how they are tested.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy import ndarray
from torch import Tensor

from decision_minrnn.data.gathering import StepTable
from decision_minrnn.types import Batch, State

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
            # not on torch's own stream, which lies on the GPU that was current when it first recorded anything
            with torch.cuda.device(self.device), torch.cuda.graph(self.graph, stream=torch.cuda.Stream()):
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


class DeviceUpdates:
    """Updates of one or several models, whose rows lie one model's after another's, by one optimiser."""

    def __init__(
        self,
        table: StepTable,
        rows: int,
        context: int,
        marked: bool,
        optimizer: torch.optim.AdamW,
        gradient: Callable[[Batch], Float[Tensor, "two models"]],
        models: int = 1,
    ) -> None:
        """`gradient` leaves the gradient of a batch with the parameters, and gives losses and norms.

        The optimiser's learning rate becomes a tensor.
        """
        assert table.device is not None, "the steps lie on the device"
        self.table, self.marked, device = table, marked, table.device
        self.optimizer, self.gradient = optimizer, gradient
        self.stride = max(1, min(STRIDE, MOST_STEPS // (rows * context)))
        self.steps = torch.zeros(self.stride, rows, context, dtype=torch.int64, device=device)
        self.masks = torch.zeros(self.stride, rows, context, dtype=torch.bool, device=device)
        self.rates = torch.zeros(self.stride, device=device)
        self.shown = torch.zeros(self.stride, 2, models, device=device)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        """Which update is the next."""
        self.failed = torch.zeros((), device=device)
        """One after a loss or gradient that is not finite: AdamW then leaves weights and moments as they are."""
        self.rate = torch.zeros((), device=device)
        for group in optimizer.param_groups:
            group.update(lr=self.rate, capturable=device.type == "cuda")
        optimizer.found_inf = self.failed  # type: ignore[attr-defined]
        self.update = Replayed(self._update, device)

    def run(
        self, drawn: Sequence[tuple[Int64[ndarray, "rows time"], Bool[ndarray, "rows time"]]], rates: Sequence[float]
    ) -> Float[ndarray, "updates two models"]:
        """One update for each batch drawn, at most `stride`; the losses of each, and the norms of their gradients.

        From the first that is not finite on, none changes anything.
        """
        count = len(drawn)
        for tensor, values in zip((self.steps, self.masks), zip(*drawn, strict=True), strict=True):
            tensor[:count] = torch.from_numpy(np.stack(values))
        self.rates[:count] = torch.tensor(rates)
        self.place.zero_()
        for _ in range(count):
            self.update()
        return self.shown[:count].cpu().numpy()

    def batch(self, index: int) -> Batch:
        """Of one of the updates last run."""
        return self.table.gather(self.steps[index], self.masks[index], self.marked)

    def _update(self) -> None:
        """What is recorded: nothing in it may depend on a number that the host would have to read."""
        steps, mask = self.steps.index_select(0, self.place)[0], self.masks.index_select(0, self.place)[0]
        self.rate.copy_(self.rates.index_select(0, self.place)[0])
        shown = self.gradient(self.table.gather(steps, mask, self.marked))
        self.failed.copy_(torch.maximum(self.failed, 1 - shown.isfinite().all().float()))
        self.optimizer.step()
        self.shown.index_copy_(0, self.place, shown[None])
        self.place.add_(1)


def kept(before: State | None, after: State | None) -> State | None:
    """What streams carry on, always in the same tensors: a graph finds there what it left."""
    if before is None or after is None:
        return after and tuple(tensor.clone() for tensor in after)
    for tensor, new in zip(before, after, strict=True):
        tensor.copy_(new)
    return before
