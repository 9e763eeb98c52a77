"""The processes that train one model together: one, or as many ranks as `torchrun` has started.

Every rank draws the same numbers for a batch and reads only the rows that are its own; gradients are averaged by
`torch.nn.parallel.DistributedDataParallel`, so that ranks with parts of a batch make the update that one makes with
the whole. The first rank alone writes and evaluates.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from decision_minrnn.devices import torch_device
from decision_minrnn.errors import ConfigError

Result = TypeVar("Result")

LONGEST_WAIT = timedelta(days=1)
"""How long the other ranks wait for the first one's evaluation."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many ranks this process is. Every method that is said to be collective is called by all of them."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """This rank's part of the rows of a batch, which are as many for each."""
        size = rows // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def parallel(self, model: nn.Module, partly_used: bool = False) -> nn.Module:
        """Collective: the model as it is to be called in training, which averages gradients over the ranks.

        `partly_used` says that some parameters may have no part in an update.
        """
        return model if self.count == 1 else DistributedDataParallel(model, find_unused_parameters=partly_used)

    def total(self, value: Tensor) -> Tensor:
        """Collective: the sum over all ranks."""
        if self.count > 1:
            dist.all_reduce(value)
        return value

    def largest(self, value: int, device: torch.device) -> int:
        """Collective: the largest number of any rank."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, device=device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor.item())

    def joined(self, rows: Tensor) -> Tensor:
        """Collective: the rows of all ranks, of which each has as many, along the first axis."""
        if self.count == 1:
            return rows
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(self.count)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def at_first(self, work: Callable[[], Result]) -> Result:
        """Collective: what the first rank alone works out. What is raised there is raised everywhere."""
        if self.count == 1:
            return work()
        outcome: list[tuple[Result | None, Exception | None]] = [(None, None)]
        if self.is_first:
            try:
                outcome = [(work(), None)]
            except Exception as error:
                outcome = [(None, error)]
        dist.broadcast_object_list(outcome)
        ((result, raised),) = outcome
        if raised is not None:
            raise raised
        return result  # type: ignore[return-value]


def is_first_rank() -> bool:
    """Whether this process is the first of those that `torchrun` started, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


def rank_count() -> int:
    """How many processes `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def join_ranks(device_name: str) -> Iterator[tuple[Ranks, torch.device]]:
    """Meet the other ranks that `torchrun` started, until the end of the context.

    Gives this rank and its device: where there are GPUs, the one of its place on its machine. Ranks speak gloo on CPUs
    and NCCL on GPUs. Raises `ConfigError` for a device that cannot be used.
    """
    if rank_count() == 1:
        yield Ranks(), torch_device(device_name)
        return
    device = torch_device(device_name)
    if device.type == "cuda":
        device = torch_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(device)
    if not dist.is_available():
        raise ConfigError("this build of PyTorch has no torch.distributed; train without torchrun.")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()


def unsynchronised(model: nn.Module) -> AbstractContextManager[None]:
    """While gradients of parts of a batch add up, ranks need not speak: DDP does only for the last part."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()
