"""One trial of a sweep, as it runs in a process of its own.

What training needs is imported when it starts, so that a process that is made for a trial is under control at once.
"""

from __future__ import annotations

import os
import platform
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from decision_minrnn.config import TrainConfig
from decision_minrnn.errors import DecisionMinRNNError
from decision_minrnn.files import locked


@dataclass(frozen=True)
class Trial:
    """One training of a grid."""

    name: str
    """Of its folder."""
    config: TrainConfig
    """`out` is the folder."""

    @property
    def folder(self) -> Path:
        """Where it is written."""
        assert self.config.out is not None
        return Path(self.config.out)


def run_trial(trial: Trial) -> str:
    """Train a trial, or go on with it from its last checkpoint, and write what it prints to its log.

    Another process that is at the same trial is waited for. Returns what went wrong in one line, or nothing.
    """
    from rich.console import Console

    from decision_minrnn.runs import LOG
    from decision_minrnn.training import resume, train

    folder = trial.folder
    folder.mkdir(parents=True, exist_ok=True)
    # the lock is beside the folder, whose content is the run's own
    with locked(folder.with_name(f".{folder.name}.lock")), (folder / LOG).open("a", encoding="utf-8") as log:
        console = Console(file=log, width=120)
        with redirect_stdout(log), redirect_stderr(log):
            console.print(f"trial {trial.name}: process {os.getpid()} on {platform.node()}", soft_wrap=True)
            log.flush()
            try:
                if (folder / "config.json").exists():
                    resume(folder, env=trial.config.env, console=console)
                else:
                    train(trial.config, console=console)
            except DecisionMinRNNError as error:
                print(f"error: {error}")
                return str(error)
            except Exception as error:
                traceback.print_exc()
                return f"{type(error).__name__}: {error}"
    return ""
