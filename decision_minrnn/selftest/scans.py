"""Every scan backend beside a loop in float64: values, gradients, a carried state and resets.

    h_t = a_t h_{t-1} + b_t,   L = sum_t w_t h_t,   G_t = w_t + a_{t+1} G_{t+1}
    dL/db_t = G_t,   dL/da_t = G_t h_{t-1},   dL/dh_0 = a_1 G_1

Where a reset is marked, h_{t-1} counts as zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from decision_minrnn.ops import backends, linear_scan
from decision_minrnn.selftest.base import Finding, difference, register_check

BATCH, WIDTH = 3, 5
LENGTHS = (1, 33, 300, 20_000)
BOUND = 5e-6
"""As a share of the largest number. Gradients come back in the inputs' precision, whose rounding is added."""
LOOSE = {"log_space": (300, 5e-3)}
"""Backends that are kept for reference: the longest sequence, and the error, which grows with it."""


class Case(NamedTuple):
    """What goes into a scan, rounded to the precision in which it does."""

    coefficients: Tensor
    values: Tensor
    state: Tensor
    weights: Tensor
    """What h is weighted with in the sum that is differentiated."""
    reset: Tensor


@register_check("scans")
def scans(device: torch.device) -> Iterator[Finding]:
    """Up to 20,000 steps, in three precisions."""
    for backend in backends(device):
        longest, bound = LOOSE.get(backend, (20_000, BOUND))
        for time in LENGTHS:
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                if time <= longest and (dtype == torch.float32 or time == 300):
                    case = make_case(time, dtype)
                    values, gradients = errors(case, backend, device)
                    what = f"{backend}, {time:,} steps, {str(dtype).removeprefix('torch.')}"
                    yield Finding(f"{what}: values", values, bound)
                    yield Finding(f"{what}: gradients", gradients, bound + torch.finfo(dtype).eps)


def make_case(time: int, dtype: torch.dtype) -> Case:
    """Coefficients from 0.1 to 1 and positive values, which every backend takes; resets in about one step of 50."""
    generator = torch.Generator().manual_seed(time)

    def uniform(*shape: int) -> Tensor:
        return (0.1 + 0.9 * torch.rand(*shape, generator=generator)).to(dtype)

    reset = torch.rand(BATCH, time, generator=generator) < 0.02
    weights = torch.randn(BATCH, time, WIDTH, generator=generator)
    return Case(uniform(BATCH, time, WIDTH), uniform(BATCH, time, WIDTH), uniform(BATCH, WIDTH), weights, reset)


def errors(case: Case, backend: str, device: torch.device) -> tuple[float, float]:
    """The errors of h and of the three gradients. The second half starts from the state of the first."""
    expected, expected_gradients = oracle(case)
    leaves = [x.to(device).requires_grad_() for x in (case.coefficients, case.values, case.state)]
    coefficients, values, state = leaves
    reset, middle = case.reset.to(device), case.reset.shape[1] // 2
    parts = []
    for steps in (slice(0, middle), slice(middle, None)):
        if coefficients[:, steps].shape[1]:
            h, state = linear_scan(
                coefficients[:, steps], values[:, steps], state, reset=reset[:, steps], backend=backend
            )
            parts.append(h)
    h = torch.cat(parts, dim=1)
    (h * case.weights.to(device)).sum().backward()
    found = [leaf.grad for leaf in leaves]
    return difference(h, expected), max(
        difference(gradient, right)
        for gradient, right in zip(found, expected_gradients, strict=True)
        if gradient is not None
    )


def oracle(case: Case) -> tuple[Tensor, list[Tensor]]:
    """h and the gradients of coefficients, values and state, by the loops that stand above."""
    a, b, state, weights = (x.double().numpy() for x in case[:4])
    kept = np.where(case.reset.numpy()[..., None], 0.0, 1.0)
    before, h = np.empty_like(b), np.empty_like(b)
    previous = state
    for t in range(b.shape[1]):
        before[:, t] = kept[:, t] * previous
        previous = h[:, t] = a[:, t] * before[:, t] + b[:, t]
    of_values, reaching = np.empty_like(b), np.zeros_like(state)
    for t in reversed(range(b.shape[1])):
        of_values[:, t] = weights[:, t] + reaching
        reaching = kept[:, t] * a[:, t] * of_values[:, t]
    return torch.from_numpy(h), [torch.from_numpy(x) for x in (of_values * before, of_values, reaching)]
