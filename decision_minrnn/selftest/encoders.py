"""Every encoder: steps with a carried state beside one forward pass over the whole sequence, with resets.

minGRU and minLSTM, whose gates and recurrence are one operation, also run a long sequence beside themselves in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch

from decision_minrnn.encoders import Encoder, build_encoder, encoder_names, reset_rows
from decision_minrnn.selftest.base import Finding, difference, register_check

WIDTH, DEPTH, BATCH, TIME = 16, 2, 3, 40
LONG = 20_000
BOUND = 1e-4
"""In float32, of what may be a Fourier transform."""


@register_check("encoders")
def encoders(device: torch.device) -> Iterator[Finding]:
    """Two layers of each, away from their initial weights."""
    for name in encoder_names():
        encoder = random_encoder(name, device)
        x = torch.randn(BATCH, TIME, WIDTH, generator=torch.Generator().manual_seed(0)).to(device)
        reset = torch.zeros(BATCH, TIME, dtype=torch.bool, device=device)
        reset[0, 7] = reset[1, 20] = reset[2, TIME - 1] = True
        # cuDNN's recurrences are else in TF32, whose rounding of 5e-4 would hide what is looked for
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            whole, _ = encoder(x, None, reset)
            initial = state = encoder.initial_state(BATCH)
            steps = []
            for t in range(TIME):
                y, state = encoder.step(x[:, t], reset_rows(state, initial, reset[:, t]))
                steps.append(y)
        yield Finding(f"{name}: {TIME} steps and one forward pass", difference(torch.stack(steps, 1), whole), BOUND)
    for name in ("mingru", "minlstm"):
        values, gradients = precision_errors(random_encoder(name, device), device)
        yield Finding(f"{name}: {LONG:,} steps and float64, values", values, BOUND)
        yield Finding(f"{name}: {LONG:,} steps and float64, gradients", gradients, BOUND)


def random_encoder(name: str, device: torch.device) -> Encoder:
    """One with weights away from what they are at first."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(1)
        encoder = build_encoder(name, WIDTH, DEPTH).eval()
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return encoder.to(device)


def precision_errors(encoder: Encoder, device: torch.device) -> tuple[float, float]:
    """How far outputs and the gradients of inputs are from those of the same encoder in float64."""
    generator = torch.Generator().manual_seed(0)
    x, weights = (torch.randn(1, LONG, WIDTH, generator=generator).to(device) for _ in range(2))
    results = []
    for module, dtype in ((encoder, torch.float32), (deepcopy(encoder).double(), torch.float64)):
        entered = x.detach().to(dtype).requires_grad_()
        y, _ = module(entered)
        (y * weights).sum().backward()
        assert entered.grad is not None
        results.append((y, entered.grad))
    (y, gradient), (expected, expected_gradient) = results
    return difference(y, expected), difference(gradient, expected_gradient)
