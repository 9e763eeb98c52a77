"""`decision-minrnn paper robustness`: settings varied one at a time on a small task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.table import Table

from decision_minrnn.cli.options import read_encoder
from decision_minrnn.cli.paper.shared import DrawnOutput, OfEachRun, plain_table, start_or_resume
from decision_minrnn.tasks.copying import CopyingConfig, SelectiveCopying

if TYPE_CHECKING:
    from decision_minrnn.figures.curves import Panel
    from decision_minrnn.tasks.experiment import FinishedRun

COMMAND = "robustness"


@dataclass(frozen=True, kw_only=True)
class _Settings(OfEachRun, CopyingConfig):
    """Of all runs, but for what is varied."""

    length: int = 32
    data_tokens: int = 4
    width: int = 32
    layers: int = 2
    updates: int = 600
    warmup: int = 60
    test_sequences: int = 500


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    start_or_resume(COMMAND, arguments, _start, _resume)


def _start(
    settings: tyro.conf.OmitArgPrefixes[_Settings],
    output: tyro.conf.OmitArgPrefixes[DrawnOutput],
    encoders: tuple[str, ...] = ("mingru", "minlstm"),
    vary_forget_bias: tuple[float, ...] = (0.0, 1.0, 3.0, 5.0),
    vary_learning_rate: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2),
    vary_dropout: tuple[float, ...] = (0.0, 0.1, 0.3),
    vary_layers: tuple[int, ...] = (1, 2, 3),
    seeds: tuple[int, ...] = (0,),
) -> None:
    """Train on a small Selective Copying with one setting at a time varied, and print the accuracies.

    For each encoder and seed, one run with the settings as given and one for each other value below. An experiment that
    was stopped goes on with: decision-minrnn paper robustness --resume FOLDER

    Args:
        encoders: What is trained, as NAME or NAME:KEY=VALUE,KEY=VALUE.
        vary_forget_bias: Where the bias of minLSTM's forget gate starts.
        vary_learning_rate: Peak learning rates.
        vary_dropout: Probabilities of dropout.
        vary_layers: Numbers of blocks.
        seeds: Seeds of weights and sequences.
    """
    from decision_minrnn.tasks.experiment import start_experiment
    from decision_minrnn.tasks.robustness import planned_runs

    output.check()
    values: dict[str, Sequence[float]] = {
        "forget_bias": vary_forget_bias,
        "learning_rate": vary_learning_rate,
        "dropout": vary_dropout,
        "layers": vary_layers,
    }
    runs = planned_runs(settings, [read_encoder(word) for word in encoders], values, seeds)
    folder, finished = start_experiment(COMMAND, runs, SelectiveCopying, out=settings.out, console=output.progress)
    _show(folder, finished, output)


def _resume(resume: Path, output: tyro.conf.OmitArgPrefixes[DrawnOutput]) -> None:
    """Go on with an experiment that was stopped, with the settings it was started with.

    Args:
        resume: Its folder.
    """
    from decision_minrnn.tasks.experiment import resume_experiment

    output.check()
    finished = resume_experiment(resume, COMMAND, CopyingConfig, SelectiveCopying, output.progress)
    _show(resume, finished, output)


def _show(folder: Path, finished: Sequence[FinishedRun[CopyingConfig]], output: DrawnOutput) -> None:
    panels = _panels(finished)
    output.draw(panels, SelectiveCopying(finished[0].plan.config).describe().split(" (")[0])
    output.conclude(COMMAND, folder, finished, _table(panels))


def _panels(finished: Sequence[FinishedRun[CopyingConfig]]) -> list[Panel]:
    """Accuracy against each setting that was varied, a curve for each encoder that has it."""
    from decision_minrnn.figures.curves import Curve, Panel
    from decision_minrnn.tasks.robustness import accuracies

    panels = []
    for setting in dict.fromkeys(run.plan.setting for run in finished if run.plan.setting):
        curves = []
        for encoder, points in accuracies(finished, setting).items():
            values, means, spreads = zip(*points, strict=True)
            curves.append(Curve(encoder, values, [100 * mean for mean in means], [100 * part for part in spreads]))
        panels.append(Panel(setting.replace("_", " "), "accuracy %", curves, x_logarithmic=setting == "learning_rate"))
    return panels


def _table(panels: Sequence[Panel]) -> Table:
    """A row for each value of each setting and encoder."""
    table = plain_table("setting", "value", "encoder", "accuracy %", "deviation")
    table.caption = "mean and deviation over seeds, of the last weights"
    for panel in panels:
        for curve in panel.curves:
            for value, accuracy, spread in zip(curve.x, curve.y, curve.spread or (), strict=True):
                table.add_row(panel.x_label, f"{value:g}", curve.name, f"{accuracy:.1f}", f"{spread:.1f}")
    return table
