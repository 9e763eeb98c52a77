"""Every registered encoder beside the others: does it step as it trains, how large is it, how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from decision_minrnn.benchmarks.contestant import CarriedContestant
from decision_minrnn.benchmarks.sizes import Sizes, model_config, random_batch
from decision_minrnn.benchmarks.speed import measure_steps, measure_updates
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


def check_encoders(names: Sequence[str]) -> None:
    """Raise `UnknownNameError` for a name that is no encoder."""
    for name in names:
        if name not in encoder_names():
            raise UnknownNameError("encoder", name, encoder_names())


def measure_encoders(names: Sequence[str], tokens: Tokens, sizes: Sizes, rounds: int = 10) -> list[EncoderMeasurement]:
    """Measure encoders.

    Args:
        names: which; none for all that are registered.
        tokens: of the models.
        sizes: of models and batches.
        rounds: how often each is timed.

    Raises:
        UnknownNameError: a name that is no encoder.
    """
    check_encoders(names)
    models = {name: DecisionModel(model_config(name, tokens, sizes)) for name in names or encoder_names()}
    errors = {name: step_error(model) for name, model in models.items()}
    contestants = {name: CarriedContestant(model) for name, model in models.items()}
    times = measure_updates(contestants, sizes, ["float32"], rounds) + measure_steps(contestants, ENVIRONMENTS, rounds)
    medians = {(row.contestant, row.what): row.median_ms for row in times}
    return [
        EncoderMeasurement(
            encoder=name,
            parameters=contestants[name].parameters,
            state=sum(part.numel() for part in model.initial_state(1)),
            error=errors[name],
            update_ms=medians[name, "update/float32"],
            step_ms=tuple(medians[name, f"step/{count}"] for count in ENVIRONMENTS),
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
