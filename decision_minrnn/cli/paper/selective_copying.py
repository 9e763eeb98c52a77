"""`decision-minrnn paper selective-copying`: remember tokens among noise, by encoder and number of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.table import Table

from decision_minrnn.cli.options import read_encoder
from decision_minrnn.cli.paper.shared import OfEachRun, Output, plain_table, start_or_resume
from decision_minrnn.tasks.copying import PAPER, CopyingConfig, SelectiveCopying

if TYPE_CHECKING:
    from decision_minrnn.tasks.experiment import FinishedRun, PlannedRun

COMMAND = "selective-copying"


@dataclass(frozen=True, kw_only=True)
class _Settings(OfEachRun, CopyingConfig):
    """What all runs have in common."""

    layers: tyro.conf.Suppress[int] = 3


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    start_or_resume(COMMAND, arguments, _start, _resume)


def _start(
    settings: tyro.conf.OmitArgPrefixes[_Settings],
    output: tyro.conf.OmitArgPrefixes[Output],
    encoders: tuple[str, ...] = ("mingru:expansion=2",),
    layers: tuple[int, ...] = (1, 3),
    seeds: tuple[int, ...] = (0,),
    full: bool = False,
) -> None:
    """Train encoders to remember tokens among noise and say them in order, and print how often they are right.

    One run for each encoder, number of layers and seed. An experiment that was stopped goes on with:
    decision-minrnn paper selective-copying --resume FOLDER

    Args:
        encoders: What is trained, as NAME or NAME:KEY=VALUE,KEY=VALUE, such as minlstm:expansion=6 s6:style=mamba
            s4d:style=h3 (gates of an architecture around a layer).
        layers: Numbers of blocks.
        seeds: Seeds of weights and sequences.
        full: The paper's length, data tokens, vocabulary, width, updates, batch, learning rate, dropout and clip in
            place of these flags (days on a CPU).
    """
    from decision_minrnn.tasks.experiment import PlannedRun, folder_name, start_experiment

    output.check()
    common = replace(settings, **PAPER) if full else settings
    runs: list[PlannedRun[CopyingConfig]] = []
    for name, options in map(read_encoder, encoders):
        for count in layers:
            for seed in seeds:
                config = replace(common, encoder=name, encoder_options=options, layers=count, seed=seed)
                runs.append(PlannedRun(f"{folder_name(name, options)}__layers-{count}__seed-{seed}", config))
    folder, finished = start_experiment(COMMAND, runs, SelectiveCopying, out=settings.out, console=output.progress)
    output.conclude(COMMAND, folder, finished, _table(finished))


def _resume(resume: Path, output: tyro.conf.OmitArgPrefixes[Output]) -> None:
    """Go on with an experiment that was stopped, with the settings it was started with.

    Args:
        resume: Its folder.
    """
    from decision_minrnn.tasks.experiment import resume_experiment

    output.check()
    finished = resume_experiment(resume, COMMAND, CopyingConfig, SelectiveCopying, output.progress)
    output.conclude(COMMAND, resume, finished, _table(finished))


def _table(finished: Sequence[FinishedRun[CopyingConfig]]) -> Table:
    """A row for each run: percent of the tokens, of the first and the last, and of whole sequences."""
    from decision_minrnn.published import published_copying

    table = plain_table("encoder", "layers", "seed", "tokens %", "first", "last", "sequences %", "paper %")
    table.caption = "paper: tokens, at 4096 places with 16 of data, after 400,000 updates (Mamba's results: 2 layers)"
    for run in finished:
        outcome, scalars = run.outcome, run.outcome.scalars
        last = max(tag for tag in scalars if tag.startswith("eval/accuracy_at/"))
        shares = (scalars[tag] for tag in ("eval/accuracy", "eval/accuracy_at/00", last, "eval/sequences"))
        published = published_copying(outcome.encoder, outcome.encoder_options, outcome.layers)
        table.add_row(
            outcome.label,
            str(outcome.layers),
            str(outcome.seed),
            *(f"{100 * share:.1f}" for share in shares),
            str(published or "-"),
        )
    return table
