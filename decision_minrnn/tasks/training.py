"""Training one model on a task, or going on with it: what `training` is to policies.

A run folder holds what that of a policy holds, with what was measured of the last weights in `evaluation.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from torch import Tensor

from decision_minrnn.checkpoint import load_configured, load_training_state, whole_checkpoint
from decision_minrnn.config import OptionValue, RunConfig
from decision_minrnn.devices import seeded, torch_device
from decision_minrnn.errors import CheckpointError
from decision_minrnn.files import read_json, write_json
from decision_minrnn.learner import Learner
from decision_minrnn.loop import TrainingLoop
from decision_minrnn.progress import Progress
from decision_minrnn.records import record_from_dict
from decision_minrnn.runs import FORMAT, claimed
from decision_minrnn.tasks.base import Task, TokenBatch, token_loss
from decision_minrnn.tasks.model import TokenModel, TokenModelConfig
from decision_minrnn.tracking import is_evaluated, read_metrics
from decision_minrnn.versions import versions


@dataclass(frozen=True)
class TaskRunInfo:
    """The content of a run's `config.json`, which says to people what was trained."""

    task: str
    train: RunConfig
    model: TokenModelConfig
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """The content of a run's `evaluation.json`."""

    encoder: str
    encoder_options: Mapping[str, OptionValue]
    layers: int
    width: int
    seed: int
    parameters: int
    updates: int
    updates_per_second: float
    """Median over the lines of metrics."""
    scalars: Mapping[str, float]
    """Measured of the last weights, by tag."""

    @property
    def label(self) -> str:
        """The encoder with its options, for people."""
        return label(self.encoder, self.encoder_options)


def label(encoder: str, options: Mapping[str, OptionValue]) -> str:
    """An encoder with its options, for people."""
    return " ".join([encoder, *(f"{key}={value}" for key, value in options.items())])


class TokenLearner(Learner[TokenBatch]):
    """A token model that learns to predict the targets of a task."""

    model: TokenModel

    def predict(self, batch: TokenBatch) -> Tensor:
        """Logits; every sequence is entered afresh."""
        return self.model(batch.tokens)[0]

    def loss(self, predicted: Tensor, batch: TokenBatch) -> Tensor:
        """Nats for each target."""
        return token_loss(predicted, batch.targets)


def model_config(config: RunConfig, task: Task) -> TokenModelConfig:
    """The model that a configuration asks for and a task determines."""
    return TokenModelConfig(
        vocabulary=task.vocabulary,
        encoder=config.encoder,
        encoder_options={"dropout": config.dropout, **config.encoder_options},
        width=config.width,
        layers=config.layers,
    )


def train_or_resume(folder: Path, task: Task, config: RunConfig, continuation: str, console: Console) -> Outcome:
    """Train a model on a task, from the last checkpoint in a folder on, or from the beginning if there is none.

    Args:
        folder: the run folder; one that holds the whole run is read.
        task: what is learned.
        config: every setting.
        continuation: the command that goes on with the run if it is stopped.
        console: where to show progress.

    Raises as `training.train`.
    """
    if is_evaluated(folder, config.updates) and (folder / "evaluation.json").exists():
        return _read_outcome(folder)
    with claimed(folder):
        checkpoint = whole_checkpoint(folder, lambda message: Progress(console).message(message, style="yellow"))
        state = load_training_state(checkpoint) if checkpoint else None
        device = torch_device(config.device)
        with seeded(config.seed, device, config.threads):
            model = (
                load_configured(checkpoint, TokenModelConfig, TokenModel)
                if checkpoint
                else TokenModel(model_config(config, task))
            )
            learner = TokenLearner(model.to(device), task.sampler(), config)
            if state:
                learner.restore(state)
            if not (folder / "config.json").exists():
                info = TaskRunInfo(task.name, config, model.config, versions())
                write_json(folder / "config.json", {"format": FORMAT, **asdict(info)})
            return _TaskTraining(folder, task, learner, continuation, console).run()


class _TaskTraining(TrainingLoop[Outcome]):
    """The training of a token model, which its task measures."""

    loss_tag = "losses/nats"

    def __init__(self, folder: Path, task: Task, learner: TokenLearner, continuation: str, console: Console) -> None:
        super().__init__(folder, learner.config, learner, console)
        self.task, self.model, self.command = task, learner.model, continuation

    def announce(self) -> None:
        """Say what is trained."""
        config, place = self.config, f", from update {self.update}" if self.update else ""
        self.progress.message(
            f"{label(config.encoder, config.encoder_options)}, width {config.width}, {config.layers} layers, seed "
            f"{config.seed}: {self.model.parameter_count:,} parameters{place}"
        )

    def evaluate_and_record(self) -> None:
        """Measure the present weights."""
        with self.interruption.at_once():
            scalars = self.task.evaluate(self.model)
        self.record(scalars)

    def finish(self) -> Outcome:
        """Measure the last weights."""
        with self.interruption.at_once():
            scalars = {**self.task.evaluate(self.model), **self.task.conclude(self.model, self.folder)}
        speeds = [row["charts/updates_per_second"] for row in read_metrics(self.folder) if self.loss_tag in row]
        outcome = Outcome(
            encoder=self.config.encoder,
            encoder_options=self.config.encoder_options,
            layers=self.config.layers,
            width=self.config.width,
            seed=self.config.seed,
            parameters=self.model.parameter_count,
            updates=self.update,
            updates_per_second=float(np.median(speeds)),
            scalars=scalars,
        )
        write_json(self.folder / "evaluation.json", asdict(outcome))
        if self.update not in self.tracker.evaluated:
            self.enter_result(scalars)
            self.record(scalars)
        self.tracker.flush()
        return outcome

    def record(self, scalars: Mapping[str, float]) -> None:
        """Write scalars down and show those that stand for the whole."""
        self.tracker.scalars(self.update, scalars)
        shown = ", ".join(
            f"{tag.removeprefix('eval/')} {value:.4g}" for tag, value in scalars.items() if tag.count("/") == 1
        )
        self.progress.message(f"update {self.update}: {shown}")

    def continuation(self) -> str:
        """The command that goes on with the experiment that the run belongs to."""
        return self.command


def _read_outcome(folder: Path) -> Outcome:
    path = folder / "evaluation.json"
    try:
        return record_from_dict(read_json(path), Outcome, str(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}. Remove it to measure the last weights anew.") from error
