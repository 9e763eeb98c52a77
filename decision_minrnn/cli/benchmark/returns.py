"""`decision-minrnn benchmark returns`: the table of scores on D4RL's locomotion datasets, or on others."""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from decision_minrnn.cli.grids import GridOptions, TrialSettings, run_grid
from decision_minrnn.published import D4RL_DATASETS


@dataclass(frozen=True, kw_only=True)
class _Grid(GridOptions):
    """How the grid is run."""

    out: str = "runs/returns"
    """Folder of the trials' run folders."""


def show_returns(
    grid: tyro.conf.OmitArgPrefixes[_Grid],
    trial: tyro.conf.OmitArgPrefixes[TrialSettings],
    datasets: tuple[str, ...] = D4RL_DATASETS,
    encoders: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
) -> None:
    """Train encoders on datasets where that is not done yet, and print their scores beside the published ones.

    A sweep over the locomotion datasets of D4RL, with a table for each target return; see `decision-minrnn sweep`. What
    is done is skipped, and the same command goes on after a stop.

    Args:
        datasets: What to train on: names or paths, as for train.
        encoders: What is trained, as NAME or NAME:KEY=VALUE,KEY=VALUE; by default all that are registered.
        seeds: Seeds of each.
    """
    from decision_minrnn.encoders import encoder_names

    run_grid(grid, trial, datasets, encoders or sorted(encoder_names(), key=_recurrent_first), seeds)


def _recurrent_first(encoder: str) -> tuple[bool, str]:
    """The order of the columns: the encoders that this project is about, then the others by name."""
    return encoder not in ("mingru", "minlstm"), encoder
