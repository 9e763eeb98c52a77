"""What a GPU makes of the recurrences and of training: kernels beside the memory's speed, updates beside each other.

Recurrences of `tokens` steps in all, in rows of T, are timed beside the time that reading their inputs and writing
their outputs once takes at the speed at which this device copies memory; layers, with their input projection, beside
torch's GRU and LSTM, which are cuDNN's on a GPU; and, where they are installed, the scans of mamba-ssm and
accelerated-scan. Updates of the default policy are timed told kernel by kernel and replayed as a graph, of one seed and
of several at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from decision_minrnn.benchmarks.timing import Key, Work, measure
from decision_minrnn.config import TrainConfig
from decision_minrnn.data import Trajectories, load_dataset
from decision_minrnn.devices import torch_device
from decision_minrnn.encoders.mingru import MinGRU
from decision_minrnn.encoders.minimal import MinimalRNN
from decision_minrnn.encoders.minlstm import MinLSTM
from decision_minrnn.errors import ConfigError
from decision_minrnn.graphed import GraphedLearner
from decision_minrnn.learner import PolicyLearner, build_model
from decision_minrnn.ops import linear_scan
from decision_minrnn.ops.gated import gated_scan
from decision_minrnn.seeds.learner import SeedsLearner

LAYERS: dict[str, type[MinimalRNN]] = {"mingru": MinGRU, "minlstm": MinLSTM}
MODES = 16
"""Numbers of state for each channel of the selective scan, as in Mamba."""
REPEATS = 5
"""Calls of a kernel that are timed as one."""


@dataclass(frozen=True)
class KernelMeasurement:
    """One contestant at one T: medians in milliseconds."""

    contestant: str
    steps: int
    """T; there are as many rows as make up the tokens."""
    forward_ms: float
    both_ms: float
    """Forward and backward."""
    forward_floor_ms: float | None
    """What reading inputs and writing outputs once takes; None where it is not said."""
    both_floor_ms: float | None


@dataclass(frozen=True)
class UpdateMeasurement:
    """Updates a second of the default policy."""

    how: str
    """`plain`, `graphed`, or `graphed, N seeds`, of which each update is one of all seeds."""
    updates_per_second: float


@dataclass(frozen=True)
class GpuMeasurements:
    """All of it."""

    device: str
    copied_gb_per_second: float
    """Bytes read and written by a copy of a large tensor, a second."""
    kernels: tuple[KernelMeasurement, ...]
    updates: tuple[UpdateMeasurement, ...]


@dataclass(frozen=True)
class _Contestant:
    """Something to be timed: what it computes, of which leaves, and how many numbers it has to move."""

    run: Callable[[], Tensor]
    leaves: Sequence[Tensor]
    forward_numbers: int | None = None
    backward_numbers: int | None = None


def measure_gpu(
    device_name: str = "cuda",
    times: Sequence[int] = (64, 256, 512, 1024, 4096),
    tokens: int = 2**18,
    width: int = 128,
    updates: int = 300,
    seeds: int = 5,
    rounds: int = 10,
) -> GpuMeasurements:
    """Measure everything.

    Args:
        device_name: a GPU; a CPU measures the same code as it runs there.
        times: the steps in a row, T.
        tokens: steps in all rows.
        width: of the recurrences and of the policy.
        updates: of each kind of training, in each round.
        seeds: trained at once.
        rounds: how often each is timed, in turn with the others.

    Raises:
        ConfigError: there is no such device, or a number is below 1.
    """
    if min(*times, tokens, width, updates, seeds) < 1:
        raise ConfigError(
            "--times, --tokens, --width, --updates and --seeds expect whole numbers of at least 1, "
            f"got {list(times)}, {tokens}, {width}, {updates} and {seeds}."
        )
    if device_name.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "this measures a GPU, and PyTorch finds none that it can use on this machine. "
            "--device cpu runs the same code on the CPU, whose figures say nothing about a GPU."
        )
    device = torch_device(device_name)
    speed = copy_speed(device, tokens * width, rounds)
    kernels = [row for steps in times for row in measure_kernels(device, steps, tokens, width, rounds, speed)]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    trained = measure_updates(device, width, updates, seeds, rounds)
    return GpuMeasurements(name, speed / 1e9, tuple(kernels), tuple(trained))


def copy_speed(device: torch.device, numbers: int, rounds: int) -> float:
    """Bytes a second, read and written, of a copy of so many float32 numbers."""
    source = torch.rand(numbers, device=device)
    target = torch.empty_like(source)
    copy = "copy", "copy"
    milliseconds = _medians({copy: Work(lambda: target.copy_(source), REPEATS)}, device, rounds)[copy]
    return 2 * 4 * numbers / (milliseconds / 1e3)


def measure_kernels(
    device: torch.device, steps: int, tokens: int, width: int, rounds: int, speed: float
) -> Iterator[KernelMeasurement]:
    """All contestants at one T; `speed` is in bytes a second."""
    contestants = dict(_contestants(device, max(1, tokens // steps), steps, width))
    forward = {(name, "forward"): Work(contestant.run, REPEATS) for name, contestant in contestants.items()}
    both = {(name, "both"): Work(_with_gradient(contestant), REPEATS) for name, contestant in contestants.items()}
    medians = _medians(forward | both, device, rounds)
    for name, contestant in contestants.items():
        numbers, more = contestant.forward_numbers, contestant.backward_numbers
        floors = (None, None) if numbers is None or more is None else (numbers, numbers + more)
        floors_ms = (None if count is None else 4e3 * count / speed for count in floors)
        yield KernelMeasurement(name, steps, medians[name, "forward"], medians[name, "both"], *floors_ms)


def measure_updates(
    device: torch.device, width: int, updates: int, seeds: int, rounds: int
) -> Iterator[UpdateMeasurement]:
    """Plain, graphed, and of several seeds at once, on the embedded dataset."""
    data = load_dataset("hopper-medium")
    config = TrainConfig("hopper-medium", width=width, device=str(device))
    plain = _learner(PolicyLearner, config, data, device)
    graphed = _learner(GraphedLearner, config, data, device)
    several = SeedsLearner([_learner(PolicyLearner, config, data, device) for _ in range(seeds)])
    learners: dict[str, Any] = {"plain": plain, "graphed": graphed, f"graphed, {seeds} seeds": several}

    def learn(learner: Any) -> None:
        done = 0
        while done < updates:
            steps = learner.learn_on(updates - done)
            done += len(steps[0] if isinstance(learner, SeedsLearner) else steps)

    works = {(how, "updates"): Work(partial(learn, learner)) for how, learner in learners.items()}
    for (how, _), milliseconds in _medians(works, device, rounds).items():
        yield UpdateMeasurement(how, updates / (milliseconds / 1e3))


def _learner(kind: type[PolicyLearner], config: TrainConfig, data: Trajectories, device: torch.device) -> PolicyLearner:
    return kind(build_model(config, data).to(device), data, config)


def _contestants(device: torch.device, rows: int, steps: int, width: int) -> Iterator[tuple[str, _Contestant]]:
    """Recurrences alone, then layers, then the scans of other packages."""
    size = rows * steps * width

    def numbers(*shape: int) -> Tensor:
        return torch.rand(shape, device=device, requires_grad=True)

    a, b, state = numbers(rows, steps, width), numbers(rows, steps, width), numbers(rows, width)
    yield "linear scan", _Contestant(lambda: linear_scan(a, b, state)[0], (a, b, state), 3 * size, 5 * size)
    for name, layer in LAYERS.items():
        parts, gate = 1 + layer.gates, layer.gate
        projected = numbers(rows, steps, parts * width)
        yield (
            f"{name}: gates and scan",
            _Contestant(
                lambda projected=projected, gate=gate: gated_scan(projected, state, state, None, gate),  # type: ignore[misc]
                (projected, state),
                (parts + 1) * size,
                (2 * parts + 2) * size,
            ),
        )
    x = numbers(rows, steps, width)
    modules: dict[str, nn.Module] = {name: layer(width) for name, layer in LAYERS.items()}
    modules["torch gru"] = nn.GRU(width, width, batch_first=True)
    modules["torch lstm"] = nn.LSTM(width, width, batch_first=True)
    for name, module in modules.items():
        module.to(device)
        leaves = (x, *module.parameters())
        yield f"{name}: layer", _Contestant(lambda module=module: module(x)[0], leaves)  # type: ignore[misc]
    yield from _other_packages(device, rows, steps, width)


def _other_packages(device: torch.device, rows: int, steps: int, width: int) -> Iterator[tuple[str, _Contestant]]:
    """Those that are installed, on a GPU."""

    def numbers(*shape: int) -> Tensor:
        return torch.rand(shape, device=device, requires_grad=True)

    if device.type != "cuda":
        return
    if scan := _optional("accelerated_scan.warp", "scan"):
        gates, tokens = numbers(rows, width, steps), numbers(rows, width, steps)
        yield "accelerated-scan", _Contestant(lambda: scan(gates, tokens), (gates, tokens))
    if selective := _optional("mamba_ssm.ops.selective_scan_interface", "selective_scan_fn"):
        u, delta = numbers(rows, width, steps), numbers(rows, width, steps)
        decay = (-torch.rand(width, MODES, device=device)).requires_grad_()
        write, read = numbers(rows, MODES, steps), numbers(rows, MODES, steps)
        leaves = (u, delta, decay, write, read)
        yield f"mamba-ssm: selective scan, {MODES} modes", _Contestant(lambda: selective(*leaves), leaves)


def _optional(module: str, name: str) -> Callable[..., Tensor] | None:
    try:
        return getattr(import_module(module), name)
    except (ImportError, OSError, RuntimeError):  # accelerated-scan is compiled as it is imported, if it can be
        return None


def _with_gradient(contestant: _Contestant) -> Callable[[], object]:
    gradient = torch.ones_like(contestant.run())
    return lambda: torch.autograd.grad(contestant.run(), contestant.leaves, gradient, allow_unused=True)


def _medians(works: Mapping[Key, Work], device: torch.device, rounds: int) -> dict[Key, float]:
    """Median milliseconds of each, until the device has done it."""
    wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
    return {(row.contestant, row.what): row.median_ms for row in measure(works, rounds, wait=wait)}
