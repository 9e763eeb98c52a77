"""Training: windows or packed episodes in, a run folder out.

The optimiser is AdamW with weight decay on matrices only, a linear warm-up, a cosine decay to zero and a clipped gradient
norm (Chen et al. 2021, appendix; the paper's table of hyperparameters for minRNNs is the same but for its widths and rates).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from torch import Tensor

from decision_minrnn.checkpoint import TrainingState, latest_checkpoint, load_model, load_training_state, save_checkpoint
from decision_minrnn.config import ModelConfig, TrainConfig
from decision_minrnn.data import Trajectories, load_dataset
from decision_minrnn.data.sampling import Sampler
from decision_minrnn.envs import Environments
from decision_minrnn.errors import CheckpointError, ConfigError, TrainingError
from decision_minrnn.files import write_json
from decision_minrnn.interruption import Interruption, StopRequested, TrainingInterrupted
from decision_minrnn.losses import action_loss
from decision_minrnn.model import DecisionModel
from decision_minrnn.policy import Policy
from decision_minrnn.progress import TrainingProgress
from decision_minrnn.rollout import Evaluation, evaluate
from decision_minrnn.runs import RunInfo, create_run, load_policy, new_info, read_run
from decision_minrnn.tracking import Tracker
from decision_minrnn.types import Batch


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
        TrainingError: a loss that is not finite.
        TrainingInterrupted: SIGINT or SIGTERM came; the run is saved and can be resumed.
    """
    data = load_dataset(config.dataset, env=config.env) if data is None else data
    device = _device(config.device)
    with _seeded(config, device):
        model = DecisionModel(_model_config(config, data), data.statistics).to(device)
        info = new_info(config, model.config, data, _digest(data))
        _check_evaluation(info)
        folder = _run_folder(config, data)
        create_run(folder, info)
        return _Training(folder, info, model, data, console or Console(quiet=True)).run()


def resume(folder: str | Path, data: Trajectories | None = None, *, console: Console | None = None) -> Run:
    """Go on with a run from its last checkpoint, to the weights that it would have had without the stop.

    Raises as `train`, and `CheckpointError` for a folder that holds no run, a damaged checkpoint or another dataset.
    """
    folder = Path(folder)
    info = read_run(folder)
    checkpoint = latest_checkpoint(folder)
    state = load_training_state(checkpoint)
    data = load_dataset(info.train.dataset, env=info.train.env) if data is None else data
    if _digest(data) != info.dataset_sha256:
        raise CheckpointError(
            f"{folder} was trained on other data: {info.dataset}. The dataset is now: {data.source}. "
            "Restore the dataset, or train anew."
        )
    device = _device(info.train.device)
    with _seeded(info.train, device):
        model = load_model(checkpoint).to(device)
        return _Training(folder, info, model, data, console or Console(quiet=True), state).run()


class _Training:
    """One run, from its first or a later update to its end."""

    def __init__(
        self,
        folder: Path,
        info: RunInfo,
        model: DecisionModel,
        data: Trajectories,
        console: Console,
        state: TrainingState | None = None,
    ) -> None:
        self.folder, self.info, self.config, self.model = folder, info, info.train, model
        self.console, self.data = console, data
        self.device = model.head.weight.device
        self.sampler = Sampler(data, self.config.batch_size, model.config.context, self.config.seed)
        self.optimizer = _optimizer(model, self.config)
        self.update = 0
        if state is not None:
            self.restore(state)
        self.started_at = self.update
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.logged_time = time.perf_counter()

    def run(self) -> Run:
        """Train to the end and evaluate."""
        config, tracker = self.config, Tracker(self.folder, self.started_at)
        evaluation = None
        try:
            with (
                Interruption() as interruption,
                TrainingProgress(self.console, config.updates, self.update) as progress,
            ):
                self.tracker, self.progress, self.interruption = tracker, progress, interruption
                self.announce()
                while self.update < config.updates:
                    self.train_one_update()
                    last = self.update == config.updates
                    saving = last or self.update % config.checkpoint_every == 0 or interruption.signal_number
                    if saving or self.update % config.log_every == 0:
                        self.log()
                    if saving:
                        self.save()
                    if interruption.signal_number and not last:
                        self.stop()
                    if not last and config.evaluate_every and self.update % config.evaluate_every == 0:
                        self.evaluate()
                if config.evaluate:
                    evaluation = self.evaluate()
                    write_json(self.folder / "evaluation.json", evaluation.to_dict())
                self.finish(evaluation)
        finally:
            tracker.close()
        return Run(self.folder, evaluation)

    def announce(self) -> None:
        """Say what is trained on what, and keep it in TensorBoard."""
        parameters = sum(p.numel() for p in self.model.parameters())
        self.progress.message(f"data      {self.data.source}")
        self.progress.message(
            f"model     {self.config.encoder}, {self.config.tokens} tokens, width {self.config.width}, "
            f"{self.config.layers} layers: {parameters:,} parameters"
        )
        self.progress.message(f"run       {self.folder}" + (f", from update {self.update}" if self.update else ""))
        if not self.update:
            rows = [f"| {key} | {value} |" for key, value in asdict(self.config).items()]
            self.tracker.text("configuration", "\n".join(["| setting | value |", "|---|---|", *rows]))

    def train_one_update(self) -> None:
        """Sample, predict, descend."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.update)
        batch = self.sampler.sample().to(self.device)
        predicted, _ = self.model(batch.returns_to_go, batch.observations, batch.previous_actions, reset=batch.reset)
        loss = action_loss(predicted, batch.actions, batch.mask)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.losses.append(loss.item())
        self.norms.append(norm.item())
        if not (math.isfinite(self.losses[-1]) and math.isfinite(self.norms[-1])):
            self.fail(batch)
        self.optimizer.step()
        self.update += 1

    def log(self) -> None:
        """Write the means since the last line of metrics."""
        if not self.losses:
            return
        now = time.perf_counter()
        values = {
            "losses/action": float(np.mean(self.losses)),
            "charts/learning_rate": learning_rate(self.config, self.update - 1),
            "charts/gradient_norm": float(np.mean(self.norms)),
            "charts/updates_per_second": len(self.losses) / (now - self.logged_time),
        }
        self.tracker.scalars(self.update, values)
        self.progress.update(self.update, values["losses/action"])
        self.losses, self.norms, self.logged_time = [], [], now

    def evaluate(self) -> Evaluation:
        """Roll the present weights out and write the scores down."""
        task = self.info.task
        assert task.env_id is not None
        try:
            with self.interruption.at_once():
                evaluation = evaluate(
                    Policy(self.model),
                    task.env_id,
                    task.targets,
                    episodes=self.config.episodes,
                    reference=task.reference,
                    reference_name=task.reference_name,
                    checkpoint=f"last, update {self.update}" if self.update == self.config.updates else f"update {self.update}",
                )
        except StopRequested:
            self.save()
            self.stop()
        self.tracker.scalars(self.update, scalars_of(evaluation))
        self.logged_time = time.perf_counter()
        for result in evaluation.targets:
            score = "" if result.normalized_mean is None else f", normalised {result.normalized_mean:.1f}"
            self.progress.message(
                f"update {self.update}: return {result.return_mean:.0f} ± {result.return_std:.0f}{score} "
                f"at target {result.target_return:g}"
            )
        return evaluation

    def save(self) -> None:
        """Write a checkpoint."""
        save_checkpoint(self.folder, self.model, self.state(), self.config.keep_checkpoints)

    def stop(self) -> None:
        """Say that the run was saved, and end."""
        assert self.interruption.signal_number is not None
        raise TrainingInterrupted(
            f"stopped after update {self.update} of {self.config.updates}, and saved. "
            f"Continue with: decision-minrnn train --resume {self.folder}",
            self.interruption.signal_number,
        )

    def fail(self, batch: Batch) -> None:
        """Keep the weights and the batch that gave a loss or gradient that is not finite, and end."""
        folder = self.folder / f"not-finite-{self.update + 1:07d}"
        folder.mkdir(exist_ok=True)
        tensors = {name: value.contiguous() for name, value in batch._asdict().items() if value is not None}
        safetensors.torch.save_file(tensors, folder / "batch.safetensors")
        safetensors.torch.save_file(
            {name: value.contiguous() for name, value in self.model.state_dict().items()}, folder / "model.safetensors"
        )
        raise TrainingError(
            f"update {self.update + 1}: the loss is {self.losses[-1]} and the gradient's norm {self.norms[-1]}. "
            f"The weights before it and the batch are in {folder}. A lower --learning-rate or --gradient-clip may help; "
            "so may a look at the data's range."
        )

    def finish(self, evaluation: Evaluation | None) -> None:
        """Enter the run into TensorBoard's table of hyperparameters."""
        results = scalars_of(evaluation) if evaluation else {}
        self.tracker.hparams(asdict(self.config), {f"hparam/{tag.removeprefix('eval/')}": v for tag, v in results.items()})

    def state(self) -> TrainingState:
        """What training goes on from."""
        tensors = {"generator/cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["generator/cuda"] = torch.cuda.get_rng_state(self.device)
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer/{name}/{key}"] = value
        return TrainingState(self.update, tensors, self.sampler.state())

    def restore(self, state: TrainingState) -> None:
        """The inverse of `state`, onto a model whose weights are loaded."""
        self.update = state.update
        self.sampler.restore(state.sampler)
        for name, parameter in self.model.named_parameters():
            moments = {key: self._moment(state.tensors, f"optimizer/{name}/{key}") for key in ("step", "exp_avg", "exp_avg_sq")}
            self.optimizer.state[parameter] = moments
        torch.set_rng_state(state.tensors["generator/cpu"])
        if self.device.type == "cuda" and "generator/cuda" in state.tensors:
            torch.cuda.set_rng_state(state.tensors["generator/cuda"], self.device)

    def _moment(self, tensors: Mapping[str, Tensor], name: str) -> Tensor:
        if name not in tensors:
            raise CheckpointError(f"the checkpoint in {self.folder} lacks {name}: it is of another model or version.")
        return tensors[name].to(self.device)


def learning_rate(config: TrainConfig, update: int) -> float:
    """The rate of an update, counted from 0: linear warm-up, then a cosine to zero at the last update."""
    if update < config.warmup:
        return config.learning_rate * (update + 1) / config.warmup
    progress = (update - config.warmup) / max(1, config.updates - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def scalars_of(evaluation: Evaluation) -> dict[str, float]:
    """An evaluation as TensorBoard scalars, one set for each target."""
    scalars = {}
    for result in evaluation.targets:
        target = f"{result.target_return:g}"
        scalars[f"eval/return/{target}"] = result.return_mean
        scalars[f"eval/length/{target}"] = result.length_mean
        if result.normalized_mean is not None:
            scalars[f"eval/normalized_score/{target}"] = result.normalized_mean
    return scalars


def _optimizer(model: DecisionModel, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices, and leaves biases, norms and initial states alone."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def _model_config(config: TrainConfig, data: Trajectories) -> ModelConfig:
    return ModelConfig(
        observation_size=data.observations.shape[1],
        action_size=data.actions.shape[1],
        action_low=tuple(data.action_low.tolist()),
        action_high=tuple(data.action_high.tolist()),
        tokens=config.tokens,
        encoder=config.encoder,
        encoder_options={"dropout": config.dropout, **config.encoder_options},
        width=config.width,
        layers=config.layers,
        previous_action=config.previous_action,
        return_scale=data.env.return_scale if data.env else max(1.0, float(np.abs(data.returns).max())),
        context=None if config.context == "episode" else config.context,
    )


def _check_evaluation(info: RunInfo) -> None:
    """Find out before training whether the evaluation after it can be done."""
    if not (info.train.evaluate or info.train.evaluate_every):
        return
    if info.task.env_id is None:
        raise ConfigError(f"{info.dataset} does not say its environment. Name one with --env, or give --no-evaluate.")
    if not info.task.targets:
        raise ConfigError("there is no environment card with usual targets. Give --targets, or --no-evaluate.")
    with Environments(info.task.env_id) as environment:
        sizes = (environment.observation_size, environment.action_size)
    if sizes != (info.model.observation_size, info.model.action_size):
        raise ConfigError(
            f"{info.task.env_id} has observations of size {sizes[0]} and actions of size {sizes[1]}, the data has "
            f"{info.model.observation_size} and {info.model.action_size}. Name another with --env, or give --no-evaluate."
        )


def _run_folder(config: TrainConfig, data: Trajectories) -> Path:
    if config.out is not None:
        return Path(config.out)
    return Path("runs") / f"{data.name}__{config.encoder}__{config.seed}__{datetime.now():%Y%m%d-%H%M%S}"


def _digest(data: Trajectories) -> str:
    content = hashlib.sha256(data.rewards.tobytes())
    content.update(data.offsets.tobytes())
    return content.hexdigest()


@contextmanager
def _seeded(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Seed torch's generators and set its threads, and give the caller's back afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads or threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device {name} cannot be used on this machine: {str(error).splitlines()[0]}") from error
    return device
