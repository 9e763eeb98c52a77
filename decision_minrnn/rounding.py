"""How many rows a policy is given, so that no episode's result depends on how many others run beside it.

Other numbers of rows may be rounded differently, by a matrix product as by the last few numbers of a sigmoid, and a
simulated body that falls turns a rounding into another return. Multiples of `ROW_BLOCK` rows are rounded alike; so are
most other numbers of rows, but which depends on the processor, the model's sizes and the number of threads. It is tried
out, at the cost of some steps: one environment then costs two rows or so, and not a whole block.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from decision_minrnn.model import DecisionModel
from decision_minrnn.policy import Policy

ROW_BLOCK = 16
TRIALS = 64
"""Steps that are compared. Where rounding differs, it does so in every hundredth number or more often."""


_FOUND: WeakKeyDictionary[DecisionModel, dict[tuple[str, int | None, int, int], int]] = WeakKeyDictionary()
"""What was found out of a policy's model, by memory, context, threads and count."""


def rows_for(policy: Policy, count: int) -> int:
    """Two rows or a multiple of four, at least `count`, rounded like those of a multiple of `ROW_BLOCK`."""
    found, key = _FOUND.setdefault(policy.model, {}), (policy.memory, policy.context, torch.get_num_threads(), count)
    if key not in found:
        found[key] = _search(policy, count)
    return found[key]


@torch.inference_mode()
def _search(policy: Policy, count: int) -> int:
    block = -(-count // ROW_BLOCK) * ROW_BLOCK
    expected = _predictions(policy, block, block)
    for rows in (2, *range(4, block, 4)):
        if rows >= count and torch.equal(_predictions(policy, rows, block), expected[:, :rows]):
            return rows
    return block


def _predictions(policy: Policy, rows: int, block: int) -> Tensor:
    """What the model answers to the first of `block` rows of random inputs, [step, row, ...]."""
    model, window = policy.model, policy.context if policy.memory == "window" else None
    generator = torch.Generator().manual_seed(0)
    returns, observations, actions = (
        torch.randn(TRIALS, block, window or 1, size, generator=generator).to(model.observation_mean.device)[:, :rows]
        for size in (1, model.config.observation_size, model.config.action_size)
    )
    returns = returns[..., 0] * model.config.return_scale
    observations = model.observation_mean + model.observation_std * observations
    if window:
        return torch.stack([model(*inputs)[0] for inputs in zip(returns, observations, actions, strict=True)])
    step, state, predictions = model.stepper(rows), None, []
    for inputs in zip(returns[:, :, 0], observations[:, :, 0], actions[:, :, 0], strict=True):
        predicted, state = step(*inputs, state)
        predictions.append(torch.cat([predicted, *(part.flatten(1) for part in state)], dim=1))
    return torch.stack(predictions)
