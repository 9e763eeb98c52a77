"""Training: a dataset in, a run folder out. What one update does is in `learner`, how they follow each other in `loop`.

The protocol is Decision Transformer's (Chen et al. 2021, appendix A): AdamW, linear warm-up, clipped gradient norm,
windows of steps, observations standardised. What differs was chosen by measurement: longer windows and fewer of them,
since a state that is carried on has to be one that training has shown; a higher learning rate that falls along a
cosine; fewer updates.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from decision_minrnn.cards import EnvCard, is_card_path
from decision_minrnn.checkpoint import load_model, load_training_state, whole_checkpoint
from decision_minrnn.config import TrainConfig
from decision_minrnn.data import Trajectories, load_dataset
from decision_minrnn.devices import seeded
from decision_minrnn.distributed import Ranks, join_ranks
from decision_minrnn.envs import Environments
from decision_minrnn.errors import CheckpointError, ConfigError
from decision_minrnn.evaluation import Evaluation
from decision_minrnn.files import write_json
from decision_minrnn.graphed import build_learner
from decision_minrnn.learner import PolicyLearner, build_model
from decision_minrnn.loop import TrainingLoop
from decision_minrnn.origin import RunInfo
from decision_minrnn.policy import Policy
from decision_minrnn.progress import DownloadDisplay, Progress
from decision_minrnn.rollout import evaluate
from decision_minrnn.runs import (
    claimed,
    create_run,
    dataset_digest,
    is_finished,
    load_policy,
    new_info,
    read_evaluation,
    read_run,
    run_folder,
)


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

    Started by `torchrun`, its processes train one policy together, and each gives the same run.

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
    data = best_of(load_data(config, console) if data is None else data, config)
    with join_ranks(config.device) as (ranks, device), seeded(config.seed, device, config.threads):
        learner = build_learner(build_model(config, data).to(device), data, config, ranks)
        with ExitStack() as claims:
            return begin(learner, config, data, console, claims).run()


def begin(
    learner: PolicyLearner, config: TrainConfig, data: Trajectories, console: Console, claims: ExitStack
) -> TrainingLoop[Run]:
    """The loop of a run that starts now, whose folder is made, and held until `claims` are given up.

    Raises as `train`, before anything is written.
    """
    info = new_info(config, learner.model.config, data)
    _check_evaluation(info, data.env)

    def claim() -> Path:
        folder = run_folder(config, data)
        claims.enter_context(claimed(folder))
        return create_run(folder, info)

    return _Training(learner.ranks.at_first(claim), info, learner, console)


def resume(
    folder: str | Path, data: Trajectories | None = None, *, env: str | None = None, console: Console | None = None
) -> Run:
    """Go on with a run from its last checkpoint, to the weights that it would have had without the stop.

    A checkpoint that is damaged is set aside, with a warning, and the one before it is gone on from. A run that was
    stopped before its first checkpoint begins again; of a finished one, the evaluation is returned.

    Args:
        folder: the run folder.
        data: what it was trained on; by default its dataset is loaded.
        env: the environment to load the dataset with. Must be given anew where the run was given the path of a card,
            since a card may name code to run, and a run folder may come from someone else.
        console: where to show progress; by default nowhere.

    Raises as `train`, and `CheckpointError` for a folder that holds no run, for checkpoints that are all damaged and
    for another dataset.
    """
    folder, console = Path(folder), console or Console(quiet=True)
    info = read_run(folder)
    with join_ranks(info.train.device) as (ranks, device), ExitStack() as claim:
        ranks.at_first(lambda: claim.enter_context(claimed(folder)))
        return _resume(folder, info, data, env, console, ranks, device)


def _resume(
    folder: Path,
    info: RunInfo,
    data: Trajectories | None,
    env: str | None,
    console: Console,
    ranks: Ranks,
    device: torch.device,
) -> Run:
    """Go on with a run whose folder is held."""
    checkpoint = ranks.at_first(
        lambda: whole_checkpoint(folder, lambda message: Progress(console).message(message, style="yellow"))
    )
    state = load_training_state(checkpoint) if checkpoint else None
    if state and is_finished(folder, info):
        console.print(f"{folder} is finished.", markup=False, highlight=False, soft_wrap=True)
        return Run(folder, read_evaluation(folder) if info.train.evaluate else None)
    data = best_of(load_data(_with_env(folder, info.train, env), console) if data is None else data, info.train)
    if dataset_digest(data) != info.dataset_sha256:
        raise CheckpointError(
            f"{folder} was trained on other data: {info.dataset}. The dataset is now: {data.source}. "
            "Restore the dataset, or train anew."
        )
    _check_evaluation(info, data.env)
    with seeded(info.train.seed, device, info.train.threads):
        model = load_model(checkpoint) if checkpoint else build_model(info.train, data)
        learner = build_learner(model.to(device), data, info.train, ranks)
        if state:
            learner.restore(state)
        return _Training(folder, info, learner, console).run()


class _Training(TrainingLoop[Run]):
    """The training of a policy, which is evaluated in its environment."""

    config: TrainConfig

    def __init__(self, folder: Path, info: RunInfo, learner: PolicyLearner, console: Console) -> None:
        super().__init__(folder, info.train, learner, console)
        self.info, self.policy_learner = info, learner

    def announce(self) -> None:
        """Say what is trained on what."""
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

    def finish(self) -> Run:
        """Evaluate the last weights, and enter the run into TensorBoard's table of hyperparameters."""
        if not self.config.evaluate:
            self.enter_result({})
            return Run(self.folder, None)
        evaluation = self.evaluate()
        write_json(self.folder / "evaluation.json", evaluation.to_dict())
        if self.update not in self.tracker.evaluated:
            self.enter_result(evaluation.scalars())
            self.record(evaluation)
        self.tracker.flush()
        return Run(self.folder, evaluation)

    def evaluate_and_record(self) -> None:
        """Evaluate between two updates."""
        self.record(self.evaluate())

    def evaluate(self) -> Evaluation:
        """Roll the present weights out."""
        task, config = self.info.task, self.config
        assert task.env_id is not None
        with self.interruption.at_once(), self.progress.episodes(len(task.targets) * config.episodes) as bar:
            return evaluate(
                Policy(self.policy_learner.model),
                task.env_id,
                task.targets,
                card=self.policy_learner.sampler.data.env,
                episodes=config.episodes,
                reference=task.reference,
                reference_name=task.reference_name,
                checkpoint=f"last, update {self.update} of {config.updates}",
                on_episode=lambda episode: bar.advance(f"return {episode.episode_return:.0f}"),
            )

    def record(self, evaluation: Evaluation) -> None:
        """Write scores down and show them."""
        self.tracker.scalars(self.update, evaluation.scalars())
        for result in evaluation.targets:
            score = "" if result.normalized_mean is None else f", normalised {result.normalized_mean:.1f}"
            self.progress.message(
                f"update {self.update}: return {result.return_mean:.0f} ± {result.return_std:.0f}{score} "
                f"at target {result.target_return:g}"
            )

    def continuation(self) -> str:
        """The command that goes on with this run."""
        return f"decision-minrnn train --resume {self.folder}"


def load_data(config: TrainConfig, console: Console) -> Trajectories:
    """The dataset of a run, downloaded if it is not here."""
    with DownloadDisplay(console) as display:
        return load_dataset(
            config.dataset, env=config.env, keep_unfinished=config.unfinished_episode, on_download=display.show
        )


def best_of(data: Trajectories, config: TrainConfig) -> Trajectories:
    """What a run is to learn from."""
    return data if config.top_percent == 100 else data.best(config.top_percent)


def _with_env(folder: Path, config: TrainConfig, env: str | None) -> TrainConfig:
    """The settings of a run to be resumed, with the environment that is named now."""
    if env is None and config.env is not None and is_card_path(config.env):
        raise ConfigError(
            f"{folder} was trained with the environment card {config.env}, given by its path. Give it anew: "
            f"decision-minrnn train --resume {folder} --env {config.env}"
        )
    return replace(config, env=env or config.env)


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
