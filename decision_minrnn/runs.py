"""A run folder: what was trained, on what, and how it is to be evaluated.

RUN/config.json       settings, model, task, cards, versions
RUN/metrics.jsonl     one line of metrics each `log_every` updates, one for each evaluation
RUN/checkpoints/      see `checkpoint`
RUN/evaluation.json   the last evaluation with carried memory; evaluation-window.json and -reset.json with another
RUN/events.out.*      TensorBoard
RUN/log.txt           of a trial of a sweep: what would have been printed
RUN/.lock             while a process trains it
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from decision_minrnn.checkpoint import checkpoint_folders, latest_checkpoint, load_model, update_of
from decision_minrnn.config import Memory, ModelConfig, TrainConfig
from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.devices import torch_device
from decision_minrnn.errors import CheckpointError, ConfigError, UnknownNameError
from decision_minrnn.evaluation import Evaluation
from decision_minrnn.files import flush_names, holder, locked, read_json, write_json
from decision_minrnn.ops.kernels import kernels_on
from decision_minrnn.origin import Origin, RunInfo, Task
from decision_minrnn.policy import Policy
from decision_minrnn.records import record_from_dict
from decision_minrnn.sharing import is_shared
from decision_minrnn.tracking import is_evaluated
from decision_minrnn.versions import versions

FORMAT = 1
LOG = "log.txt"
LOCK = ".lock"


def runs_folder() -> Path:
    """Where runs are written that are not told where: `$DECISION_MINRNN_RUNS`, by default `runs`."""
    return Path(os.environ.get("DECISION_MINRNN_RUNS") or "runs")


def run_folder(config: TrainConfig, data: Trajectories) -> Path:
    """Where a run is to be written: `--out`, else a folder in `runs_folder()` named after what is trained, and when."""
    if config.out is not None:
        return Path(config.out)
    return runs_folder() / f"{data.name}__{config.encoder}__{config.seed}__{datetime.now():%Y%m%d-%H%M%S}"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a run folder, which is made if there is none, so that no other process trains it at the same time.

    It is free again when this process ends, however it ends. Raises `ConfigError` if another process holds it, or if it
    cannot be written.
    """
    lock = folder / LOCK

    def refuse() -> None:
        raise ConfigError(f"{folder} is being trained already, by {holder(lock)}. Wait for it to end, or stop it.")

    with ExitStack() as stack:
        try:
            if not folder.exists():
                folder.mkdir(parents=True)
                flush_names(folder.parent)
            stack.enter_context(locked(lock, refuse))
        except OSError as error:
            raise ConfigError(f"cannot write the run folder {folder}: {error.strerror}.") from error
        yield


def create_run(folder: Path, info: RunInfo) -> Path:
    """Make the folder and write `config.json`; refuses a folder in use, but for log and lock. Returns the folder."""
    if folder.exists() and (not folder.is_dir() or any(path.name not in (LOG, LOCK) for path in folder.iterdir())):
        what = "holds a run already" if (folder / "config.json").exists() else "exists and is not an empty folder"
        raise ConfigError(f"the output folder {folder} {what}. Choose another with --out, or continue with --resume.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", {"format": FORMAT, **asdict(info)})
    except OSError as error:
        raise ConfigError(f"cannot write the run folder {folder}: {error.strerror}.") from error
    return folder


def read_run(folder: Path) -> RunInfo:
    """The `config.json` of a run; raises `CheckpointError` if there is none, or it is damaged or of another version."""
    path = folder / "config.json"
    try:
        content: dict[str, Any] = read_json(path)
    except FileNotFoundError as error:
        what = "is not a run folder: it has no config.json" if folder.is_dir() else "does not exist"
        raise CheckpointError(f"{folder} {what}. Expected a folder that `decision-minrnn train` wrote.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path} is not of format {FORMAT}, which this version reads.")
    try:
        return record_from_dict(content, RunInfo, str(path))
    except ConfigError as error:
        raise CheckpointError(f"{error} The file is damaged, or was written by another version.") from error


def evaluation_path(folder: Path, memory: Memory = "carried") -> Path:
    """The file of a run's last evaluation with a memory mode: `evaluation.json`, or one named after the mode."""
    return folder / ("evaluation.json" if memory == "carried" else f"evaluation-{memory}.json")


def read_evaluation(folder: Path, memory: Memory = "carried") -> Evaluation:
    """A run's last evaluation with a memory mode; raises `CheckpointError` if there is none, or it is damaged."""
    path = evaluation_path(folder, memory)
    try:
        return record_from_dict(read_json(path), Evaluation, str(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}. `decision-minrnn evaluate` writes it anew.") from error


def is_finished(folder: Path, info: RunInfo) -> bool:
    """Whether nothing is left to do for a run: its last weights are there, and their evaluation if it was asked for."""
    if info.train.updates not in map(update_of, checkpoint_folders(folder)):
        return False
    evaluated = is_evaluated(folder, info.train.updates) and (folder / "evaluation.json").exists()
    return evaluated or not info.train.evaluate


def dataset_digest(data: Trajectories) -> str:
    """SHA-256 of everything in a dataset that training depends on."""
    digest = hashlib.sha256()
    for array in (data.observations, data.actions, data.rewards, data.offsets):
        digest.update(np.ravel(array).data)
    return digest.hexdigest()


def new_info(config: TrainConfig, model: ModelConfig, data: Trajectories) -> RunInfo:
    """What a run that starts now records of itself."""
    return RunInfo(
        train=config,
        model=model,
        task=Task.of(data, config.targets),
        dataset=data.source,
        dataset_sha256=dataset_digest(data),
        cards={"env": data.env.name if data.env else None, "dataset": data.card_name},
        versions=versions() | {"kernels": kernels_on(torch_device(config.device))},
    )


def choose_checkpoint(folder: Path, update: int | None = None) -> Path:
    """The checkpoint of an update, by default the last."""
    if update is None:
        return latest_checkpoint(folder)
    folders = {update_of(path): path for path in checkpoint_folders(folder)}
    if update not in folders:
        raise UnknownNameError("checkpoint", str(update), map(str, folders))
    return folders[update]


def load_policy(
    run: str | Path,
    *,
    memory: Memory = "carried",
    context: int | None = None,
    sampled: bool = False,
    checkpoint: int | None = None,
) -> Policy:
    """The policy of a run folder, or one that was shared.

    Args:
        run: the folder that training wrote; or the folder or hub id (`owner/name`, `hf://owner/name`) of a shared one.
        memory: what the policy remembers; see `Policy`.
        context: steps that `window` and `reset` memory hold; by default those of training.
        sampled: whether discrete actions are drawn, rather than the likeliest taken.
        checkpoint: update of the checkpoint; by default the last. A shared policy has no other.

    Raises:
        CheckpointError: no run or checkpoint there, a damaged one, or one of another version.
    """
    if is_shared(run):
        if checkpoint is not None:
            raise ConfigError(f"{run} is a shared policy, whose weights are those of one checkpoint; give none.")
        return Policy.from_pretrained(run, memory=memory, context=context, sampled=sampled)
    folder = Path(run)
    info = read_run(folder)
    chosen = choose_checkpoint(folder, checkpoint)
    update = update_of(chosen)
    weights = f"{'last' if checkpoint is None else 'chosen'}, update {update} of {info.train.updates}"
    origin = Origin(info, update, weights, _evaluation_of(folder, memory, weights))
    return Policy(load_model(chosen), memory, context, sampled, origin)


def _evaluation_of(folder: Path, memory: Memory, weights: str) -> Evaluation | None:
    """A run's evaluation, if it is there, whole, of this memory and these weights: a policy can act without."""
    with suppress(CheckpointError):
        evaluation = read_evaluation(folder, memory)
        if evaluation.checkpoint == weights:
            return evaluation
    return None
