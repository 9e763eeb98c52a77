"""What experiments have in common on the command line: starting anew or going on, and what is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console
from rich.table import Table

from decision_minrnn.cli.console import progress_console, wide_console
from decision_minrnn.cli.outputs import check_output
from decision_minrnn.cli.parsing import run_command
from decision_minrnn.config import OptionValue
from decision_minrnn.files import write_json, write_text_atomically

if TYPE_CHECKING:
    from decision_minrnn.figures.curves import Panel
    from decision_minrnn.tasks.experiment import FinishedRun


@dataclass(frozen=True, kw_only=True)
class OfEachRun:
    """What the flags of a command say for each run by itself, and its settings for all runs do not."""

    encoder: tyro.conf.Suppress[str] = "mingru"
    seed: tyro.conf.Suppress[int] = 0
    encoder_options: tyro.conf.Suppress[Mapping[str, OptionValue]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where results go."""

    json: str | None = None
    """Write the results to this file as well, or to standard output if "-"."""

    def check(self) -> None:
        """Refuse files that could not be written, before the work."""
        check_output("--json", self.json)

    @property
    def progress(self) -> Console:
        """Where progress is shown."""
        return progress_console(stderr=self.json == "-")

    @property
    def console(self) -> Console:
        """Where tables are shown."""
        return wide_console(stderr=self.json == "-")

    def conclude(self, command: str, folder: Path, finished: Sequence[FinishedRun[Any]], table: Table) -> None:
        """Print the table of an experiment and where it lies, and write its results."""
        from decision_minrnn.tasks.experiment import results

        if self.json is not None:
            write_json(self.json, results(command, finished))
        self.console.print(table)
        for line in (f"results:  {folder / 'results.json'}", f"watch it: tensorboard --logdir {folder}"):
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class DrawnOutput(Output):
    """Where results and curves go."""

    figure: Path | None = None
    """Draw the curves into this file; its ending is the format (extra: plot)."""

    csv: Path | None = None
    """Write the numbers of the curves to this file."""

    def check(self) -> None:
        """As of `Output`."""
        super().check()
        check_output("--csv", self.csv)
        check_output("--figure", self.figure)
        if self.figure is not None:
            from decision_minrnn.figures.canvas import check_format

            check_format(self.figure)

    def draw(self, panels: Sequence[Panel], title: str) -> None:
        """Draw curves, and write their numbers, where asked for."""
        from decision_minrnn.figures.canvas import save_figure
        from decision_minrnn.figures.curves import curves_csv, draw_panels

        if self.figure is not None:
            save_figure(draw_panels(panels, title), self.figure)
        if self.csv is not None:
            write_text_atomically(self.csv, curves_csv(panels))


def start_or_resume(
    command: str, arguments: Sequence[str], start: Callable[..., None], resume: Callable[..., None]
) -> None:
    """Parse the command line of an experiment and run it; `--resume FOLDER` takes no settings beside it."""
    chosen = resume if any(word.partition("=")[0] == "--resume" for word in arguments) else start
    words = [word for word in arguments if word != "--resume"] if "--help" in arguments else list(arguments)
    run_command(chosen, f"paper {command}", words)


def plain_table(*columns: str) -> Table:
    """A table without lines: the first column is text, the others numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold", no_wrap=index > 0)
    return table
