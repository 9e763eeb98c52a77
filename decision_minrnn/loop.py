"""The loop of a training: update after update, with metrics, checkpoints and clean stops on the way.

What is learned and how the result is measured, a subclass says; `training.train` and the tasks of the paper are two.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import numpy as np
import safetensors.torch
from rich.console import Console

from decision_minrnn.checkpoint import save_checkpoint
from decision_minrnn.config import RunConfig
from decision_minrnn.errors import TrainingError
from decision_minrnn.interruption import Interruption, StopRequested, TrainingInterrupted
from decision_minrnn.learner import Learner, NotFiniteError, Step
from decision_minrnn.progress import Progress
from decision_minrnn.tracking import NoTracker, Tracker

Result = TypeVar("Result")


class TrainingLoop(ABC, Generic[Result]):
    """One run, from its first or a later update to its end.

    Where several ranks train it, all go through the same updates; the first alone writes, measures and shows.
    """

    loss_tag = "losses/action"

    def __init__(self, folder: Path, config: RunConfig, learner: Learner, console: Console) -> None:
        self.folder, self.config, self.learner, self.ranks = folder, config, learner, learner.ranks
        self.console = console if self.ranks.is_first else Console(quiet=True)
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
        """Measure the present weights between two updates, and write the result down. Of the first rank alone."""

    @abstractmethod
    def finish(self) -> Result:
        """Measure the last weights, and write the result down. Of the first rank alone.

        The line of metrics comes last: where it stands, the rest was written.
        """

    @abstractmethod
    def continuation(self) -> str:
        """The command that goes on with this run."""

    @property
    def update(self) -> int:
        """Updates done."""
        return self.learner.update

    def run(self) -> Result:
        """Train to the end and evaluate."""
        with self.interruption, self.opened():
            self.train()
            return self.by_first(self.finish)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """While metrics are written and progress is shown."""
        try:
            with Progress(self.console) as self.progress:
                self.tracker = Tracker(self.folder, self.update) if self.ranks.is_first else NoTracker()
                try:
                    self.announce()
                    if not self.update:
                        rows = [f"| {key} | {value} |" for key, value in self.settings().items()]
                        self.tracker.text("configuration", "\n".join(["| setting | value |", "|---|---|", *rows]))
                    with self.progress.updates(self.config.updates, self.update) as self.bar:
                        yield
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
        while self.update < self.config.updates:
            if self.is_evaluation_due():
                self.by_first(self.evaluate_and_record)
            try:
                steps = self.learner.learn_on(self.updates_to_stop())
            except NotFiniteError as error:
                self.fail(error)
            # asked once: a signal that comes from here on is noticed after the next update
            stopping = self.is_stopped() and self.update < self.config.updates
            self.take(steps, stopping)
            if stopping:
                self.stop()

    def take(self, steps: list[Step], stopping: bool = False) -> None:
        """Enter updates that were done: what is to be written after the last of them is."""
        self.steps += steps
        if stopping or self.is_checkpoint_due():
            self.save()
        elif self.update % self.config.log_every == 0:
            self.log()

    def is_checkpoint_due(self) -> bool:
        """Whether a checkpoint is to be written after this update."""
        every = (self.config.checkpoint_every, self.config.keep_every)
        return self.update == self.config.updates or any(each and self.update % each == 0 for each in every)

    def updates_to_stop(self) -> int:
        """How many updates may follow each other before something is to be written or measured."""
        config = self.config
        every = (config.log_every, config.checkpoint_every, config.keep_every, config.evaluate_every)
        return min(config.updates - self.update, *(each - self.update % each for each in every if each))

    def is_evaluation_due(self) -> bool:
        """Whether the weights are to be evaluated before training goes on; a resumed run may have done so before."""
        every = self.config.evaluate_every
        due = every > 0 and self.update > 0 and self.update % every == 0
        return due and self.ranks.at_first(lambda: self.update not in self.tracker.evaluated)

    def is_stopped(self) -> bool:
        """Whether a signal has come, to any rank."""
        number = self.ranks.largest(self.interruption.signal_number or 0, self.learner.device)
        self.interruption.signal_number = number or None
        return number > 0

    def by_first(self, work: Callable[[], Any]) -> Any:
        """What the first rank works out while the others wait.

        Under `interruption.at_once` a signal ends it right away, with the run saved: an evaluation loses nothing by it.
        """

        def work_or_stop() -> tuple[bool, Any]:
            try:
                return False, work()
            except StopRequested:
                return True, None

        stopped, result = self.ranks.at_first(work_or_stop)
        if stopped:
            self.is_stopped()
            self.save()
            self.stop()
        self.logged_time = time.perf_counter()
        return result

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
            state, config = self.learner.state(), self.config
            if self.ranks.is_first:
                save_checkpoint(
                    self.folder,
                    self.learner.model,
                    state,
                    config.keep_checkpoints,
                    self.continuation(),
                    config.keep_every,
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
        rank = "" if self.ranks.is_first else f"-rank-{self.ranks.rank}"
        folder = self.folder / f"not-finite-{self.update + 1:07d}{rank}"
        folder.mkdir(exist_ok=True)
        batch = {name: value for name, value in error.batch._asdict().items() if value is not None}
        for name, tensors in (("batch", batch), ("model", self.learner.model.state_dict())):
            content = {key: value.contiguous() for key, value in tensors.items()}
            safetensors.torch.save_file(content, folder / f"{name}.safetensors")
        raise TrainingError(
            f"update {self.update + 1}: {error}. The weights before it and the batch are in {folder}. "
            "A lower --learning-rate or --gradient-clip may help; so may a look at the data's range."
        ) from error
