"""Where tensors are computed, with how many threads, in how much memory, and with whose random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from decision_minrnn.errors import ConfigError


def torch_device(name: str) -> torch.device:
    """The device of that name; `auto` is a GPU where there is one. Raises `ConfigError` for one that cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # Apple's lacks the random numbers of dropout, and on others nothing was tried
        if device.type in ("cpu", "cuda"):
            torch.empty(0, device=device)
            return device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device {name} cannot be used on this machine: {str(error).splitlines()[0]}") from error
    raise ConfigError(f"--device expects auto, cpu, cuda or cuda:N, got {name}.")


@contextmanager
def seeded(seed: int, device: torch.device, threads: int | None = None) -> Iterator[None]:
    """Seed torch's generators and set its threads, if asked to, and give the caller's back afterwards.

    Raises `ConfigError` for less than one thread.
    """
    before = torch.get_num_threads()
    threads = before if threads is None else threads
    if threads < 1:
        raise ConfigError(f"--threads expects a whole number of at least 1, got {threads}.")
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def peak_bytes(device: torch.device) -> int | None:
    """The most memory that torch on a GPU, or this process, has held so far; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # unlike getrusage's, this peak is of this process alone: the other starts at that of the process that started it
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
