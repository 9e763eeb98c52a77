"""`decision-minrnn sweep`: many trainings as a grid, and tables of what they came to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from decision_minrnn.cli.grids import GridOptions, ResultOptions, TrialSettings, run_grid, show_results
from decision_minrnn.cli.outputs import check_output
from decision_minrnn.cli.parsing import run_command
from decision_minrnn.errors import ConfigError


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    if list(arguments[:1]) == ["table"]:
        run_command(_table, "sweep table", arguments[1:])
    else:
        run_command(_sweep, "sweep", arguments)


def _sweep(
    datasets: tuple[str, ...],
    grid: tyro.conf.OmitArgPrefixes[GridOptions],
    trial: tyro.conf.OmitArgPrefixes[TrialSettings],
    encoders: tuple[str, ...] = ("mingru",),
    seeds: tuple[int, ...] = (0, 1, 2),
    vary: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="KEY=VALUE,VALUE")] = (),
) -> None:
    """Train every encoder on every dataset with every seed, and print tables of the scores.

    Trials that are done are skipped, and those that were begun go on: after Ctrl-C, SIGTERM or a crash, the same
    command continues. For tables of runs that are there already: decision-minrnn sweep table FOLDER

    Args:
        datasets: What to train on: names or paths, as for train.
        encoders: What is trained, as NAME or NAME:KEY=VALUE,KEY=VALUE.
        seeds: Seeds of each.
        vary: Further settings of train with the values to try; all combinations are run.
    """
    run_grid(grid, trial, datasets, encoders, seeds, vary)


def _table(folder: Annotated[Path, tyro.conf.Positional], result: tyro.conf.OmitArgPrefixes[ResultOptions]) -> None:
    """Print tables of the finished runs in a folder, however they were made.

    A row is a dataset, a column an encoder with the settings in which the runs differ.

    Args:
        folder: Holds run folders.
    """
    from decision_minrnn.sweep.comparison import compare
    from decision_minrnn.sweep.results import read_results

    check_output("--json", result.json)
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; expected one that holds run folders.")
    show_results(compare(read_results(sorted(folder.iterdir()))), result)
