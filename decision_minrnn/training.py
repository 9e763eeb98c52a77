"""Training: a dataset in, a run folder out. What one update does is in `learner`; when what is written, is here.

The protocol is Decision Transformer's (Chen et al. 2021, appendix A): AdamW, linear warm-up, clipped gradient norm,
windows of steps, observations standardised. What differs was chosen by measurement: longer windows and fewer of them,
since a state that is carried on has to be one that training has shown; a higher learning rate that falls along a
cosine; fewer updates.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import safetensors.torch
from rich.console import Console

from decision_minrnn.cards import EnvCard, is_card_path
from decision_minrnn.checkpoint import checkpoint_folders, load_model, load_training_state, save_checkpoint
from decision_minrnn.config import TrainConfig
from decision_minrnn.data import Trajectories, load_dataset
from decision_minrnn.devices import seeded, torch_device
from decision_minrnn.envs import Environments
from decision_minrnn.errors import CheckpointError, ConfigError, TrainingError
from decision_minrnn.files import write_json
from decision_minrnn.interruption import Interruption, StopRequested, TrainingInterrupted
from decision_minrnn.learner import Learner, NotFiniteError, Step, build_model
from decision_minrnn.policy import Policy
from decision_minrnn.progress import DownloadDisplay, Progress
from decision_minrnn.rollout import Evaluation, evaluate
from decision_minrnn.runs import (
    RunInfo,
    create_run,
    dataset_digest,
    load_policy,
    new_info,
    read_evaluation,
    read_run,
    run_folder,
)
from decision_minrnn.tracking import Tracker, read_metrics


class Run:
    """A finished run."""

    def __init__(self, folder: Path, evaluation: Evaluation | None) -> None:
        self.folder = folder
        self.evaluation = evaluation
        """Of the last weights; None if the run was not to be evaluated."""

    @property
    def policy(self) -> Policy:
        """The policy with the last weights, read from the run folder."""
        return load_policy(self.folder)


def train(config: TrainConfig, data: Trajectories | None = None, *, console: Console | None = None) -> Run:
    """Train a policy as configured, evaluate it, and write a run folder.

    Args:
        config: every setting.
        data: what to train on; by default `config.dataset` is loaded.
        console: where to show progress; by default nowhere.

    Raises:
        DecisionMinRNNError: a setting, dataset or folder that cannot be used, before anything is written.
        TrainingError: a loss that is not finite, or a disk that is full.
        TrainingInterrupted: SIGINT or SIGTERM came; the run is saved and can be resumed.
    """
    console = console or Console(quiet=True)
    data = _load(config, console) if data is None else data
    device = torch_device(config.device)
    with seeded(config.seed, device, config.threads):
        learner = Learner(build_model(config, data).to(device), data, config)
        info = new_info(config, learner.model.config, data)
        _check_evaluation(info, data.env)
        folder = run_folder(config, data)
        create_run(folder, info)
        return _Training(folder, info, learner, console).run()


def resume(
    folder: str | Path, data: Trajectories | None = None, *, env: str | None = None, console: Console | None = None
) -> Run:
    """Go on with a run from its last checkpoint, to the weights that it would have had without the stop.

    A run that was stopped before its first checkpoint begins again; of a finished one, the evaluation is returned.

    Args:
        folder: the run folder.
        data: what it was trained on; by default its dataset is loaded.
        env: the environment to load the dataset with. Must be given anew where the run was given the path of a card,
            since a card may name code to run, and a run folder may come from someone else.
        console: where to show progress; by default nowhere.

    Raises as `train`, and `CheckpointError` for a folder that holds no run, a damaged checkpoint or another dataset.
    """
    folder, console = Path(folder), console or Console(quiet=True)
    info = read_run(folder)
    checkpoint = next(reversed(checkpoint_folders(folder)), None)
    state = load_training_state(checkpoint) if checkpoint else None
    if state and state.update == info.train.updates and _is_evaluated(folder, info):
        console.print(f"{folder} is finished.", markup=False, highlight=False, soft_wrap=True)
        return Run(folder, read_evaluation(folder) if info.train.evaluate else None)
    data = _load(_with_env(folder, info.train, env), console) if data is None else data
    if dataset_digest(data) != info.dataset_sha256:
        raise CheckpointError(
            f"{folder} was trained on other data: {info.dataset}. The dataset is now: {data.source}. "
            "Restore the dataset, or train anew."
        )
    _check_evaluation(info, data.env)
    device = torch_device(info.train.device)
    with seeded(info.train.seed, device, info.train.threads):
        model = load_model(checkpoint) if checkpoint else build_model(info.train, data)
        learner = Learner(model.to(device), data, info.train)
        if state:
            learner.restore(state)
        return _Training(folder, info, learner, console).run()


class _Training:
    """One run, from its first or a later update to its end."""

    def __init__(self, folder: Path, info: RunInfo, learner: Learner, console: Console) -> None:
        self.folder, self.info, self.config, self.learner = folder, info, info.train, learner
        self.console, self.interruption = console, Interruption()
        self.steps: list[Step] = []
        """Since the last line of metrics."""
        self.logged_time = time.perf_counter()
        self.saved_at = learner.update

    @property
    def update(self) -> int:
        """Updates done."""
        return self.learner.update

    def run(self) -> Run:
        """Train to the end and evaluate."""
        try:
            with self.interruption, Progress(self.console) as self.progress:
                self.tracker = Tracker(self.folder, self.update)
                try:
                    self.announce()
                    with self.progress.updates(self.config.updates, self.update) as self.bar:
                        self.train()
                    return Run(self.folder, self.finish())
                finally:
                    self.tracker.close()
        except OSError as error:
            raise TrainingError(
                f"cannot write to {self.folder}: {error.strerror or error}. "
                f"When that is mended, continue with: {self.continuation()}"
            ) from error

    def announce(self) -> None:
        """Say what is trained on what, and keep it in TensorBoard."""
        config, tell = self.config, self.progress.message
        parameters = sum(p.numel() for p in self.learner.model.parameters())
        tell(f"data      {self.info.dataset}")
        tell(
            f"model     {config.encoder}, {config.tokens} tokens, width {config.width}, {config.layers} layers: "
            f"{parameters:,} parameters"
        )
        tell(f"run       {self.folder}" + (f", from update {self.update}" if self.update else ""))
        if config.evaluate or config.evaluate_every:
            task = self.info.task
            if not config.targets and task.targets == (task.return_max,):
                tell(f"target    {task.return_max:g}, the highest return in the data; --targets names others")
            for warning in task.target_warnings(task.targets):
                tell(warning, style="yellow")
        if not self.update:
            rows = [f"| {key} | {value} |" for key, value in asdict(config).items()]
            self.tracker.text("configuration", "\n".join(["| setting | value |", "|---|---|", *rows]))

    def train(self) -> None:
        """Update after update, to the last; a signal ends it after the update that it came in."""
        config = self.config
        while self.update < config.updates:
            if self.is_evaluation_due():
                self.record(self.evaluate())
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

    def finish(self) -> Evaluation | None:
        """Evaluate the last weights, and enter the run into TensorBoard's table of hyperparameters.

        The line of metrics comes last: where it stands, the rest was written.
        """
        settings = asdict(self.config)
        if not self.config.evaluate:
            self.tracker.hparams(settings, {})
            return None
        evaluation = self.evaluate()
        write_json(self.folder / "evaluation.json", evaluation.to_dict())
        if self.update not in self.tracker.evaluated:
            self.tracker.hparams(settings, evaluation.scalars())
            self.record(evaluation)
        self.tracker.flush()
        return evaluation

    def is_evaluation_due(self) -> bool:
        """Whether the weights are to be evaluated before training goes on; a resumed run may have done so before."""
        every = self.config.evaluate_every
        return every > 0 and self.update > 0 and self.update % every == 0 and self.update not in self.tracker.evaluated

    def evaluate(self) -> Evaluation:
        """Roll the present weights out."""
        task, config = self.info.task, self.config
        assert task.env_id is not None
        try:
            with self.progress.episodes(len(task.targets) * config.episodes) as bar, self.interruption.at_once():
                evaluation = evaluate(
                    Policy(self.learner.model),
                    task.env_id,
                    task.targets,
                    card=self.learner.sampler.data.env,
                    episodes=config.episodes,
                    reference=task.reference,
                    reference_name=task.reference_name,
                    checkpoint=f"last, update {self.update} of {config.updates}",
                    on_episode=lambda episode: bar.advance(f"return {episode.episode_return:.0f}"),
                )
        except StopRequested:
            self.save()
            self.stop()
        self.logged_time = time.perf_counter()
        return evaluation

    def record(self, evaluation: Evaluation) -> None:
        """Write scores down and show them."""
        self.tracker.scalars(self.update, evaluation.scalars())
        for result in evaluation.targets:
            score = "" if result.normalized_mean is None else f", normalised {result.normalized_mean:.1f}"
            self.progress.message(
                f"update {self.update}: return {result.return_mean:.0f} ± {result.return_std:.0f}{score} "
                f"at target {result.target_return:g}"
            )

    def log(self) -> None:
        """Write the means since the last line of metrics."""
        if not self.steps:
            return
        now = time.perf_counter()
        values = {
            "losses/action": float(np.mean([step.loss for step in self.steps])),
            "charts/learning_rate": self.steps[-1].learning_rate,
            "charts/gradient_norm": float(np.mean([step.gradient_norm for step in self.steps])),
            "charts/updates_per_second": len(self.steps) / (now - self.logged_time),
        }
        self.tracker.scalars(self.update, values)
        self.bar.advance(f"loss {values['losses/action']:.4f}", to=self.update)
        self.steps, self.logged_time = [], now

    def save(self) -> None:
        """Write a checkpoint, unless this update has one, and all metrics before it."""
        self.log()
        self.tracker.flush()
        if self.saved_at != self.update:
            save_checkpoint(self.folder, self.learner.model, self.learner.state(), self.config.keep_checkpoints)
            self.saved_at = self.update

    def continuation(self) -> str:
        """The command that goes on with this run."""
        return f"decision-minrnn train --resume {self.folder}"

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


def _load(config: TrainConfig, console: Console) -> Trajectories:
    """The dataset of a run, downloaded if it is not here."""
    with DownloadDisplay(console) as display:
        return load_dataset(
            config.dataset, env=config.env, keep_unfinished=config.unfinished_episode, on_download=display.show
        )


def _with_env(folder: Path, config: TrainConfig, env: str | None) -> TrainConfig:
    """The settings of a run to be resumed, with the environment that is named now."""
    if env is None and config.env is not None and is_card_path(config.env):
        raise ConfigError(
            f"{folder} was trained with the environment card {config.env}, given by its path. Give it anew: "
            f"decision-minrnn train --resume {folder} --env {config.env}"
        )
    return replace(config, env=env or config.env)


def _is_evaluated(folder: Path, info: RunInfo) -> bool:
    """Whether nothing is left to do for a run whose last update is done."""
    if not info.train.evaluate:
        return True
    rows = [row for row in read_metrics(folder) if row["update"] == info.train.updates]
    return any(tag.startswith("eval/") for row in rows for tag in row) and (folder / "evaluation.json").exists()


def _check_evaluation(info: RunInfo, card: EnvCard | None) -> None:
    """Find out before training whether the evaluation after it can be done."""
    if not (info.train.evaluate or info.train.evaluate_every):
        return
    if info.task.env_id is None:
        raise ConfigError(
            f"there is no environment to evaluate in. Name one with --env, or give --no-evaluate. "
            f"The dataset is {info.dataset}."
        )
    with Environments(info.task.env_id, card=card) as environment:
        environment.check_sizes(info.model.observation_size, info.model.action_size, info.model.discrete)
