"""An exported step beside its policy: whether it acts the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from decision_minrnn.export.step import Arrays, ControlStep
from decision_minrnn.policy import Policy

Exported = Callable[[Arrays], dict[str, ndarray]]


def largest_difference(
    policy: Policy, step: ControlStep, exported: Exported, *, steps: int = 100, rows: int = 3, seed: int = 0
) -> float:
    """Run both through the same made-up episodes, which start anew at different times in different rows.

    Returns the largest difference of an action, as a share of the action space's reach. Of discrete actions it is by
    how much the exported logits prefer another choice to the policy's, since two choices may be all but equal.
    """
    generator, config = np.random.default_rng(seed), step.config
    mean, std = policy.model.observation_mean.cpu().numpy(), policy.model.observation_std.cpu().numpy()
    target = config.return_scale
    acting, first = Policy(policy.model), step.start(rows, target)
    acting.reset(rows, target)
    inputs, difference = first, 0.0
    for _ in range(steps):
        observations = (mean + std * generator.standard_normal((rows, mean.size))).astype(np.float32)
        expected = acting.act(observations, inputs["reward"])
        found = exported({"observation": observations, **inputs})
        if config.discrete:
            chosen = np.take_along_axis(found["logits"], expected[:, None], 1)[:, 0]
            differences = found["logits"].max(axis=1) - chosen
        else:
            differences = np.abs(found["action"] - expected) / policy.model.action_reach.cpu().numpy()
        difference = max(difference, float(differences.max()))
        if np.isnan(differences).any():
            return float("nan")
        rewards = generator.normal(0, 0.01 * target, rows).astype(np.float32)
        following = (rewards, expected, found["next_return_to_go"], found["next_state"])
        starting = generator.random(rows) < 0.05
        inputs = {
            name: np.where(starting.reshape(-1, *[1] * (later.ndim - 1)), first[name], later)
            for name, later in zip(first, following, strict=True)
        }
        acting.restart(starting, target)
    return difference
