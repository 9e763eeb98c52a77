"""Time and peak memory of one training step against the length of the sequence.

A step is forward, a mean of squares of all outputs as loss, and backward, of one block without feed-forward network. A
transformer and Hyena see the whole sequence. Four families are told apart: linear recurrences, which can be scans;
attention and convolutions over everything before; torch's own GRU and LSTM, which go through time in compiled code; and
the same two as a plain loop of torch calls, against which the paper gives its speed-ups.

Each encoder is measured in a process of its own, from the shortest sequence to the longest, so that the peak of the
process's memory is that of the step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from decision_minrnn.devices import peak_bytes, seeded, torch_device
from decision_minrnn.encoders import build_encoder, encoder_names, encoder_options
from decision_minrnn.errors import ConfigError, UnknownNameError

LOOPS: Mapping[str, Callable[[int, int], nn.RNNCellBase]] = {"gru-loop": nn.GRUCell, "lstm-loop": nn.LSTMCell}
"""GRU and LSTM as a loop over time in Python."""

FAMILIES: Mapping[str, str] = {
    **dict.fromkeys(LOOPS, "plain loop"),
    **dict.fromkeys(("gru", "lstm"), "torch's own"),
    "transformer": "all pairs",
    "hyena": "long convolution",
    "mlp": "no memory",
}
"""All others are linear recurrences."""


@dataclass(frozen=True)
class ScalingConfig:
    """What is measured."""

    encoders: tuple[str, ...] = ()
    """Encoders, and gru-loop or lstm-loop; by default all."""

    lengths: tuple[int, ...] = (16, 64, 256, 1024, 4096)
    """Lengths of the sequence, in any order."""

    batch_size: int = 4
    """Sequences in a batch (paper: 64)."""

    width: int = 64
    """Width of the block."""

    repeats: int = 3
    """Steps timed at each length, after one that is not; the median counts."""

    longest: float = 20.0
    """Seconds: where one step took so long, longer sequences are left out."""

    device: str = "cpu"
    """Where to measure: cpu, cuda, or auto."""

    threads: int | None = None
    """CPU threads for tensor operations; by default PyTorch's own choice."""

    def __post_init__(self) -> None:
        known = [*encoder_names(), *LOOPS]
        for name in self.encoders:
            if name not in known:
                raise UnknownNameError("encoder", name, known)
        if not self.lengths or min(self.lengths) < 2:
            raise ConfigError(f"--lengths expects whole numbers of at least 2, got {list(self.lengths)}.")
        for name in ("batch_size", "width", "repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"--{name.replace('_', '-')} expects a whole number of at least 1, got {getattr(self, name)}."
                )


@dataclass(frozen=True)
class StepCost:
    """One point of a curve."""

    encoder: str
    family: str
    length: int
    milliseconds: float
    megabytes: float | None
    """Peak above what the process held before the first step; None where the system does not tell."""


class CellLoop(nn.Module):
    """A torch cell, called at every step."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Float[Tensor, "batch time width"]) -> tuple[Float[Tensor, "batch time width"], None]:
        """Outputs; from zeros."""
        state, outputs = None, []
        for step in x.unbind(dim=1):
            state = self.cell(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, dim=1), None


def measure_scaling(config: ScalingConfig, tell: Callable[[str], None] = lambda text: None) -> list[StepCost]:
    """Measure every encoder at every length; `tell` is called with each encoder's name before it is measured.

    Raises `ConfigError` for a device or a width that cannot be used, before anything is measured.
    """
    torch_device(config.device)
    names = config.encoders or (*encoder_names(), *LOOPS)
    for name in names:
        _layer(name, config.width, length=2)
    costs = []
    for name in names:
        tell(name)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            costs.extend(process.submit(measure_encoder, name, config).result())
    return costs


def measure_encoder(name: str, config: ScalingConfig) -> list[StepCost]:
    """Measure one encoder, in this process."""
    device = torch_device(config.device)
    costs: list[StepCost] = []
    with seeded(0, device, config.threads):
        _timed_step(_layer(name, config.width, 2).to(device), torch.zeros(1, 2, config.width, device=device))
        before = peak_bytes(device)
        for length in sorted(config.lengths):
            layer = _layer(name, config.width, length).to(device)
            x = torch.randn(config.batch_size, length, config.width, device=device, requires_grad=True)
            times = [_timed_step(layer, x)]
            peak = peak_bytes(device)
            times += [_timed_step(layer, x) for _ in range(config.repeats)]
            costs.append(
                StepCost(
                    encoder=name,
                    family=FAMILIES.get(name, "linear recurrence"),
                    length=length,
                    milliseconds=1000 * float(np.median(times[1:])),
                    megabytes=None if before is None or peak is None else (peak - before) / 1e6,
                )
            )
            if times[-1] > config.longest:
                break
    return costs


def slope(costs: Sequence[StepCost]) -> float | None:
    """Exponent p of time ~ length^p over the upper half of the lengths of one encoder; None for fewer than two."""
    ordered = sorted(costs, key=lambda cost: cost.length)
    upper = ordered[(len(ordered) - 1) // 2 :]
    if len(upper) < 2:
        return None
    lengths, times = [cost.length for cost in upper], [cost.milliseconds for cost in upper]
    return float(np.polyfit(np.log(lengths), np.log(times), 1)[0])


def _layer(name: str, width: int, length: int) -> nn.Module:
    if name in LOOPS:
        return CellLoop(LOOPS[name](width, width))
    context = {"context": length} if "context" in encoder_options(name) else {}
    return build_encoder(name, width, 1, feed_forward=0.0, dropout=0.0, **context)


def _timed_step(layer: nn.Module, x: Tensor) -> float:
    """Seconds of one step."""
    layer.zero_grad()
    x.grad = None
    began = time.perf_counter()
    layer(x)[0].square().mean().backward()
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - began
