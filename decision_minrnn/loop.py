"""The loop of a training: update after update, with metrics, checkpoints and clean stops on the way.

What is learned and how the result is measured, a subclass says; `training.train` and the tasks of the paper are two.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

import numpy as np
import safetensors.torch
from rich.console import Console

from decision_minrnn.checkpoint import save_checkpoint
from decision_minrnn.config import RunConfig
from decision_minrnn.errors import TrainingError
from decision_minrnn.interruption import Interruption, StopRequested, TrainingInterrupted
from decision_minrnn.learner import Learner, NotFiniteError, Step
from decision_minrnn.progress import Progress
from decision_minrnn.tracking import Tracker

Result = TypeVar("Result")


class TrainingLoop(ABC, Generic[Result]):
    """One run, from its first or a later update to its end."""

    loss_tag = "losses/action"

    def __init__(self, folder: Path, config: RunConfig, learner: Learner, console: Console) -> None:
        self.folder, self.config, self.learner, self.console = folder, config, learner, console
        self.interruption = Interruption()
        self.steps: list[Step] = []
        """Since the last line of metrics."""
        self.logged_time = time.perf_counter()
        self.saved_at = learner.update

    @abstractmethod
    def announce(self) -> None:
        """Say what is trained on what."""

    @abstractmethod
    def evaluate_and_record(self) -> None:
        """Measure the present weights between two updates, and write the result down."""

    @abstractmethod
    def finish(self) -> Result:
        """Measure the last weights. The line of metrics comes last: where it stands, the rest was written."""

    @abstractmethod
    def continuation(self) -> str:
        """The command that goes on with this run."""

    @property
    def update(self) -> int:
        """Updates done."""
        return self.learner.update

    def run(self) -> Result:
        """Train to the end and evaluate."""
        try:
            with self.interruption, Progress(self.console) as self.progress:
                self.tracker = Tracker(self.folder, self.update)
                try:
                    self.announce()
                    if not self.update:
                        rows = [f"| {key} | {value} |" for key, value in self.settings().items()]
                        self.tracker.text("configuration", "\n".join(["| setting | value |", "|---|---|", *rows]))
                    with self.progress.updates(self.config.updates, self.update) as self.bar:
                        self.train()
                    return self.finish()
                finally:
                    self.tracker.close()
        except OSError as error:
            raise TrainingError(
                f"cannot write to {self.folder}: {error.strerror or error}. "
                f"When that is mended, continue with: {self.continuation()}"
            ) from error

    def settings(self) -> dict[str, object]:
        """What TensorBoard shows of the configuration."""
        return asdict(self.config)

    def train(self) -> None:
        """Update after update, to the last; a signal ends it after the update that it came in."""
        config = self.config
        while self.update < config.updates:
            if self.is_evaluation_due():
                self.evaluate_and_record()
            try:
                self.steps.append(self.learner.learn())
            except NotFiniteError as error:
                self.fail(error)
            last = self.update == config.updates
            # asked once: a signal that comes from here on is noticed after the next update
            stopping = self.interruption.signal_number is not None and not last
            if stopping or last or self.update % config.checkpoint_every == 0:
                self.save()
            elif self.update % config.log_every == 0:
                self.log()
            if stopping:
                self.stop()

    def is_evaluation_due(self) -> bool:
        """Whether the weights are to be evaluated before training goes on; a resumed run may have done so before."""
        every = self.config.evaluate_every
        return every > 0 and self.update > 0 and self.update % every == 0 and self.update not in self.tracker.evaluated

    @contextmanager
    def cut_by_signals(self) -> Iterator[None]:
        """Work that a signal ends at once, with the run saved: an evaluation, which loses nothing by it."""
        try:
            with self.interruption.at_once():
                yield
        except StopRequested:
            self.save()
            self.stop()
        self.logged_time = time.perf_counter()

    def enter_result(self, scalars: Mapping[str, float]) -> None:
        """Enter the run into TensorBoard's table of hyperparameters, beside what it came to."""
        self.tracker.hparams(self.settings(), scalars)

    def log(self) -> None:
        """Write the means since the last line of metrics."""
        if not self.steps:
            return
        now = time.perf_counter()
        values = {
            self.loss_tag: float(np.mean([step.loss for step in self.steps])),
            "charts/learning_rate": self.steps[-1].learning_rate,
            "charts/gradient_norm": float(np.mean([step.gradient_norm for step in self.steps])),
            "charts/updates_per_second": len(self.steps) / (now - self.logged_time),
        }
        self.tracker.scalars(self.update, values)
        self.bar.advance(f"loss {values[self.loss_tag]:.4f}", to=self.update)
        self.steps, self.logged_time = [], now

    def save(self) -> None:
        """Write a checkpoint, unless this update has one, and all metrics before it."""
        self.log()
        self.tracker.flush()
        if self.saved_at != self.update:
            save_checkpoint(
                self.folder,
                self.learner.model,
                self.learner.state(),
                self.config.keep_checkpoints,
                self.continuation(),
            )
            self.saved_at = self.update

    def stop(self) -> NoReturn:
        """Say that the run was saved, and end."""
        assert self.interruption.signal_number is not None
        raise TrainingInterrupted(
            f"stopped after update {self.update} of {self.config.updates}, and saved. "
            f"Continue with: {self.continuation()}",
            self.interruption.signal_number,
        )

    def fail(self, error: NotFiniteError) -> NoReturn:
        """Keep the weights and the batch that gave a loss or gradient that is not finite, and end."""
        folder = self.folder / f"not-finite-{self.update + 1:07d}"
        folder.mkdir(exist_ok=True)
        batch = {name: value for name, value in error.batch._asdict().items() if value is not None}
        for name, tensors in (("batch", batch), ("model", self.learner.model.state_dict())):
            content = {key: value.contiguous() for key, value in tensors.items()}
            safetensors.torch.save_file(content, folder / f"{name}.safetensors")
        raise TrainingError(
            f"update {self.update + 1}: {error}. The weights before it and the batch are in {folder}. "
            "A lower --learning-rate or --gradient-clip may help; so may a look at the data's range."
        ) from error
