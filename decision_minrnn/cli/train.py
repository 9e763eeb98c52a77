"""`decision-minrnn train`: train a policy and evaluate it, or resume a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import tyro
from rich.console import Console

from decision_minrnn.cli.console import progress_console
from decision_minrnn.cli.parsing import run_command
from decision_minrnn.config import TrainConfig


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    resuming = any(argument.partition("=")[0] == "--resume" for argument in arguments)
    if resuming and {"-h", "--help"} & set(arguments):
        arguments = ["--help"]
    elif resuming and not _nothing_else(arguments):
        print(
            "error: --resume takes the folder of a run and nothing else but --env: the run goes on with its own "
            "settings, which its config.json holds.",
            file=sys.stderr,
        )
        raise SystemExit(2)
    run_command(_resume if resuming else _train, "train", arguments)


def _nothing_else(arguments: Sequence[str]) -> bool:
    """Whether the flags are --resume and --env, with one value each."""
    words = iter(arguments)
    for word in words:
        flag, sign, _ = word.partition("=")
        if flag not in ("--resume", "--env"):
            return False
        if not sign:
            next(words, None)
    return True


def _train(
    config: tyro.conf.OmitArgPrefixes[tyro.conf.PositionalRequiredArgs[TrainConfig]], seeds: tuple[int, ...] = ()
) -> None:
    """Train a policy on a dataset, evaluate it, and write a run folder.

    A run that was stopped goes on with: decision-minrnn train --resume FOLDER

    Args:
        config: Every setting.
        seeds: Train a policy for each of these seeds in place of --seed, with a run folder for each (below --out, if it
            is given): all at once on a GPU, one after another on a CPU.
    """
    from decision_minrnn.seeds import train_seeds
    from decision_minrnn.training import train

    console = _console()
    for run in train_seeds(config, seeds, console=console) if seeds else [train(config, console=console)]:
        _conclude(run)


def _resume(resume: str, env: str | None = None) -> None:
    """Go on with a run from its last checkpoint, with the settings it was started with.

    Args:
        resume: The run folder.
        env: The environment card that the run was started with, if it was given by its path.
    """
    from decision_minrnn.training import resume as resume_run

    _conclude(resume_run(resume, env=env, console=_console()))


def _console() -> Console:
    """Where to show progress: of the processes that torchrun starts, the first alone does."""
    from decision_minrnn.distributed import is_first_rank

    return progress_console() if is_first_rank() else Console(quiet=True)


def _conclude(run: Any) -> None:
    from decision_minrnn.board import show_evaluation
    from decision_minrnn.cli.tables import evaluation_table
    from decision_minrnn.distributed import is_first_rank
    from decision_minrnn.runs import read_run

    if not is_first_rank():
        return
    console = Console()
    if run.evaluation:
        console.print(evaluation_table(run.evaluation))
        show_evaluation(run.folder, read_run(run.folder).train.updates, run.evaluation)
    console.print(f"run folder: {run.folder}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"watch it:   tensorboard --logdir {run.folder.parent}", markup=False, highlight=False, soft_wrap=True
    )
