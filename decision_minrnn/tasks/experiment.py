"""Several trainings that are compared: a folder with `experiment.json`, a run folder for each, and `results.json`.

An experiment that was stopped goes on where it was: finished runs are read, one that was cut continues from its last
checkpoint, the others follow. All runs draw from their own seeds, so that the order changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console

from decision_minrnn.config import OptionValue, RunConfig
from decision_minrnn.devices import torch_device
from decision_minrnn.errors import CheckpointError, ConfigError
from decision_minrnn.files import write_json
from decision_minrnn.records import record_from_dict
from decision_minrnn.runs import runs_folder
from decision_minrnn.tasks.base import Task
from decision_minrnn.tasks.model import TokenModel
from decision_minrnn.tasks.training import Outcome, label, model_config, train_or_resume
from decision_minrnn.versions import versions

FORMAT = 1

Config = TypeVar("Config", bound=RunConfig)


@dataclass(frozen=True)
class PlannedRun(Generic[Config]):
    """One training of an experiment."""

    name: str
    """Of its folder."""
    config: Config
    setting: str = ""
    """What is varied, where one thing is."""
    value: float = 0.0
    """What it is set to."""


@dataclass(frozen=True)
class FinishedRun(Generic[Config]):
    """One training and what came of it."""

    plan: PlannedRun[Config]
    outcome: Outcome


def unique_runs(runs: Sequence[PlannedRun[Config]]) -> list[PlannedRun[Config]]:
    """The runs, if no two have a name; raises `ConfigError` otherwise."""
    names = [run.name for run in runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"the same run was asked for twice: {', '.join(twice)}.")
    if not runs:
        raise ConfigError("nothing to run was asked for: expected at least one encoder, number of layers and seed.")
    return list(runs)


def start_experiment(
    command: str,
    runs: Sequence[PlannedRun[Config]],
    task_of: Callable[[Config], Task],
    *,
    out: str | None,
    console: Console,
) -> tuple[Path, list[FinishedRun[Config]]]:
    """Train all runs of a new experiment.

    Args:
        command: of the command line, for the folder's name and for what is said to go on.
        runs: what is trained, in this order.
        task_of: the task of a configuration.
        out: folder to write; by default one in `runs` that is named after command and time.
        console: where to show progress.

    Raises:
        ConfigError: a device that cannot be used, a model that cannot be built, or a folder that is in use; before
            anything is written.
        TrainingInterrupted: SIGINT or SIGTERM came; what was trained is saved.
    """
    runs = unique_runs(runs)
    for run in runs:
        torch_device(run.config.device)
        TokenModel(model_config(run.config, task_of(run.config)))
    folder = Path(out) if out else runs_folder() / f"{command}__{datetime.now():%Y%m%d-%H%M%S}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"the output folder {folder} exists and is not an empty folder. Choose another with --out, or continue "
            "with --resume."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            "command": command,
            "data": task_of(runs[0].config).digest(),
            "versions": versions(),
            "runs": [asdict(run) for run in runs],
        }
        write_json(folder / "experiment.json", content)
    except OSError as error:
        raise ConfigError(f"cannot write the folder {folder}: {error.strerror}.") from error
    return folder, _run_all(folder, command, runs, task_of, console)


def resume_experiment(
    folder: Path, command: str, config_type: type[Config], task_of: Callable[[Config], Task], console: Console
) -> list[FinishedRun[Config]]:
    """Go on with an experiment to the results that it would have had without the stop.

    Raises as `start_experiment`, and `CheckpointError` for a folder that holds no experiment of this command, or one
    with other data.
    """
    path = folder / "experiment.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} holds no experiment: it has no experiment.json.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of format {FORMAT}, which this version reads.")
    if content.get("command") != command:
        raise CheckpointError(
            f"{folder} was not made by this command. Continue with: "
            f"decision-minrnn paper {content.get('command')} --resume {folder}"
        )
    try:
        runs = [_planned_run(run, config_type, path) for run in content["runs"]]
    except (ConfigError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged, or was written by another version: {error}") from error
    if task_of(runs[0].config).digest() != content["data"]:
        raise CheckpointError(f"{folder} was trained on other data than there are now. Restore them, or start anew.")
    return _run_all(folder, command, runs, task_of, console)


def _planned_run(content: dict[str, Any], config_type: type[Config], path: Path) -> PlannedRun[Config]:
    """A run from an experiment.json, which may be someone else's: its name must not lead out of the folder."""
    if Path(content["name"]).name != content["name"]:
        raise ConfigError(f"'{content['name']}' is no name of a folder.")
    return PlannedRun(**{**content, "config": record_from_dict(content["config"], config_type, str(path))})


def _run_all(
    folder: Path,
    command: str,
    runs: Sequence[PlannedRun[Config]],
    task_of: Callable[[Config], Task],
    console: Console,
) -> list[FinishedRun[Config]]:
    continuation = f"decision-minrnn paper {command} --resume {folder}"
    console.print(task_of(runs[0].config).describe(), markup=False, highlight=False, soft_wrap=True)
    finished = []
    for run in runs:
        task = task_of(run.config)
        outcome = train_or_resume(folder / run.name, task, run.config, continuation, console)
        finished.append(FinishedRun(run, outcome))
    write_json(folder / "results.json", results(command, finished))
    return finished


def results(command: str, finished: Sequence[FinishedRun[Config]]) -> dict[str, Any]:
    """What an experiment came to, for JSON."""
    rows = [
        {
            "name": run.plan.name,
            **({"setting": run.plan.setting, "value": run.plan.value} if run.plan.setting else {}),
            **asdict(run.outcome),
        }
        for run in finished
    ]
    return {"command": command, "versions": versions(), "runs": rows}


def folder_name(encoder: str, options: Mapping[str, OptionValue]) -> str:
    """An encoder with its options, without spaces."""
    return label(encoder, options).replace(" ", "-").replace("=", "-")
