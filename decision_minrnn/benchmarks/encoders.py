"""Every registered encoder beside the others: does it step as it trains, how large is it, how fast.

All models have Hopper's sizes and one width, depth and batch; they take their turns in one process, round after round.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from decision_minrnn.benchmarks.speed import model_config, random_batch, step_task, update_task
from decision_minrnn.config import Tokens
from decision_minrnn.encoders import encoder_names
from decision_minrnn.errors import UnknownNameError
from decision_minrnn.model import DecisionModel

ENVIRONMENTS = (1, 10)


@dataclass(frozen=True)
class EncoderMeasurement:
    """One row of the table."""

    encoder: str
    parameters: int
    state: int
    """Numbers that one environment carries from step to step."""
    error: float
    """Largest difference between the actions of one forward pass and of as many steps, in the action's units."""
    update_ms: float
    """Median of an update: forward, loss, backward, clip, AdamW."""
    step_ms: tuple[float, ...]
    """Median of a step of a rollout, for each number of environments."""


def measure_encoders(
    names: Sequence[str] = (), tokens: Tokens = "merged", batch: int = 20, context: int = 64, rounds: int = 10
) -> list[EncoderMeasurement]:
    """Measure encoders.

    Args:
        names: which; by default all that are registered.
        tokens: of the models.
        batch: rows of an update.
        context: steps of a row.
        rounds: how often each is timed.

    Raises:
        UnknownNameError: a name that is no encoder.
    """
    for name in names:
        if name not in encoder_names():
            raise UnknownNameError("encoder", name, encoder_names())
    models = {name: DecisionModel(model_config(name, tokens, context)) for name in names or encoder_names()}
    inputs = random_batch(batch, context)
    errors = {name: step_error(model) for name, model in models.items()}
    tasks = {}
    for name, model in models.items():
        tasks[name, 0] = update_task(model, inputs)
        for count in ENVIRONMENTS:
            tasks[name, count] = step_task(model, count)
    times: dict[tuple[str, int], list[float]] = {key: [] for key in tasks}
    for _ in range(rounds + 1):
        for key, task in tasks.items():
            if key[1]:
                task()
            began = time.perf_counter()
            task()
            times[key].append(1000 * (time.perf_counter() - began))
    # the first round warms up
    medians = {key: float(np.median(values[1:])) for key, values in times.items()}
    return [
        EncoderMeasurement(
            encoder=name,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            state=sum(part.numel() for part in model.initial_state(1)),
            error=errors[name],
            update_ms=medians[name, 0],
            step_ms=tuple(medians[name, count] for count in ENVIRONMENTS),
        )
        for name, model in models.items()
    ]


@torch.no_grad()
def step_error(model: DecisionModel, batch: int = 4, time: int = 200) -> float:
    """Largest difference between the actions of one forward pass and of the same steps one by one."""
    was_training = model.training
    model.eval()
    inputs = random_batch(batch, time)
    expected, _ = model(inputs.returns_to_go, inputs.observations, inputs.previous_actions)
    step, state, error = model.stepper(), None, 0.0
    for t in range(time):
        taken, state = step(inputs.returns_to_go[:, t], inputs.observations[:, t], inputs.previous_actions[:, t], state)
        error = max(error, float((taken - expected[:, t]).abs().max()))
    model.train(was_training)
    return error
