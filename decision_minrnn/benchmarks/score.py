"""How long a model trains until it scores: our default beside Decision Transformers, on the embedded data.

All are trained by the same loop, optimiser and learning rate on as many steps a batch, and evaluated at one target,
chosen beforehand, on the way. A Decision Transformer is trained on windows of 20 steps and fed its last 20 again at
each step, as its authors do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from decision_minrnn.benchmarks.learning import BatchLearner
from decision_minrnn.benchmarks.public.huggingface import HuggingFaceModel
from decision_minrnn.config import Memory, OptionValue, TrainConfig, require
from decision_minrnn.data import Trajectories, load_dataset
from decision_minrnn.data.sampling import Sampler
from decision_minrnn.devices import seeded
from decision_minrnn.errors import MissingExtraError, UnknownNameError
from decision_minrnn.learner import build_model
from decision_minrnn.model import DecisionModel
from decision_minrnn.origin import Task
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate

DATASET = "hopper-medium"


@dataclass(frozen=True)
class ScoreConfig:
    """How the models are trained and when they are evaluated."""

    updates: int = 3000
    """Updates of a training for its score."""

    evaluate_every: int = 250
    """Updates between two evaluations of it."""

    episodes: int = 10
    """Episodes of an evaluation."""

    target: float = 3600.0
    """Target return of an evaluation."""

    level: float = 40.0
    """Normalised score that is to be reached in two evaluations in a row."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the trainings."""

    def __post_init__(self) -> None:
        for name in ("updates", "evaluate_every", "episodes"):
            require(self, name, getattr(self, name) >= 1, "a whole number of at least 1")
        require(self, "seeds", bool(self.seeds) and min(self.seeds) >= 0, "whole numbers of at least 0")


@dataclass(frozen=True)
class Scored:
    """One evaluation on the way."""

    update: int
    seconds: float
    """Of training so far, evaluations excluded."""
    loss: float
    """Mean over the updates since the evaluation before."""
    score: float
    """Mean of the episodes' normalised scores."""


@dataclass(frozen=True)
class Training:
    """One row: a contestant and a seed."""

    contestant: str
    seed: int
    reached: Scored | None
    """The first of two evaluations in a row that reach the level; None where there are none."""
    evaluations: tuple[Scored, ...]


@dataclass(frozen=True)
class Learning:
    """How a contestant is trained and acts."""

    config: TrainConfig
    memory: Memory
    build: Callable[[TrainConfig, Trajectories], DecisionModel] = build_model


def _huggingface(config: TrainConfig, data: Trajectories) -> DecisionModel:
    return HuggingFaceModel(build_model(config, data).config, data.statistics)


_WINDOWS = TrainConfig(DATASET, tokens="interleaved", context=20, batch_size=64, encoder="transformer")
_ONE_HEAD: dict[str, OptionValue] = {"heads": 1, "context": 60}

CONTESTANTS = {
    "mingru/merged": Learning(TrainConfig(DATASET), "carried"),
    "huggingface": Learning(_WINDOWS, "window", _huggingface),
    "transformer/interleaved": Learning(replace(_WINDOWS, encoder_options=_ONE_HEAD), "window"),
}
"""The first is what `decision-minrnn train hopper-medium` trains."""


def scored_names(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the names that this part knows; all that it knows, if none is given.

    Raises `UnknownNameError` where names are given and it knows none of them.
    """
    known = tuple(name for name in names or CONTESTANTS if name in CONTESTANTS)
    if not known:
        raise UnknownNameError("contestant of the part score", names[0], CONTESTANTS)
    return known


def measure_scores(
    names: Sequence[str], config: ScoreConfig, threads: int | None = None, tell: Callable[[str], None] = lambda _: None
) -> tuple[list[Training], dict[str, str]]:
    """Train each contestant with each seed; seeds come first, so that contestants take turns.

    Args:
        names: of `CONTESTANTS`.
        config: of the trainings.
        threads: CPU threads for tensor operations.
        tell: called with a line for each evaluation.

    Returns:
        The trainings, and who is left out with the reason: a package that is not installed.
    """
    data = load_dataset(DATASET)
    trainings, left_out = [], {}
    for seed in config.seeds:
        for name in names:
            if name in left_out:
                continue
            try:
                trainings.append(_train(name, seed, config, data, threads, tell))
            except MissingExtraError as error:
                left_out[name] = str(error)
    return trainings, left_out


def _train(
    name: str, seed: int, config: ScoreConfig, data: Trajectories, threads: int | None, tell: Callable[[str], None]
) -> Training:
    contestant, task = CONTESTANTS[name], Task.of(data)
    settings = replace(contestant.config, updates=config.updates, seed=seed)
    assert isinstance(settings.context, int)
    assert task.env_id is not None
    seconds, losses, evaluations = 0.0, [], []
    with seeded(seed, torch.device("cpu"), threads):
        model = contestant.build(settings, data)
        sampler = Sampler(data, settings.batch_size, settings.context, seed, settings.sampling)
        learner = BatchLearner(model, sampler, settings)
        while learner.update < config.updates:
            began = time.perf_counter()
            losses.append(learner.learn().loss)
            seconds += time.perf_counter() - began
            if learner.update % config.evaluate_every == 0 or learner.update == config.updates:
                result = evaluate(
                    Policy(model, contestant.memory),
                    task.env_id,
                    [config.target],
                    episodes=config.episodes,
                    reference=task.reference,
                )
                score = result.targets[0].normalized_mean
                assert score is not None
                loss = float(np.mean(losses))
                evaluations.append(Scored(learner.update, seconds, loss, score))
                tell(
                    f"{name} seed {seed}, update {learner.update}: {seconds:.0f} s, loss {loss:.4f}, score {score:.1f}"
                )
                losses = []
    return Training(name, seed, first_above(evaluations, config.level), tuple(evaluations))


def first_above(evaluations: Sequence[Scored], level: float) -> Scored | None:
    """The first of two evaluations in a row whose scores are not below the level."""
    for one, following in pairwise(evaluations):
        if min(one.score, following.score) >= level:
            return one
    return None
