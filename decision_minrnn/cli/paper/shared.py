"""What experiments have in common on the command line: starting anew or going on, and what is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.table import Table

from decision_minrnn.cli.console import wide_console
from decision_minrnn.cli.options import options_registry
from decision_minrnn.cli.outputs import check_output
from decision_minrnn.files import write_json, write_text_atomically

if TYPE_CHECKING:
    from decision_minrnn.figures.curves import Panel
    from decision_minrnn.tasks.experiment import FinishedRun


def start_or_resume(
    command: str, arguments: Sequence[str], start: Callable[..., None], resume: Callable[..., None]
) -> None:
    """Parse the command line of an experiment and run it; `--resume FOLDER` takes no settings beside it."""
    chosen = resume if any(word.partition("=")[0] == "--resume" for word in arguments) else start
    words = [word for word in arguments if word != "--resume"] if "--help" in arguments else list(arguments)
    tyro.cli(chosen, prog=f"decision-minrnn paper {command}", args=words, registry=options_registry())


def conclude(command: str, folder: Path, finished: Sequence[FinishedRun[Any]], table: Table, json: str | None) -> None:
    """Print the table of an experiment and where it lies, and write its results."""
    from decision_minrnn.tasks.experiment import results

    if json is not None:
        write_json(json, results(command, finished))
    console = wide_console(stderr=json == "-")
    console.print(table)
    console.print(f"results:  {folder / 'results.json'}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"watch it: tensorboard --logdir {folder}", markup=False, highlight=False, soft_wrap=True)


def plain_table(*columns: str) -> Table:
    """A table without lines: the first column is text, the others numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold", no_wrap=index > 0)
    return table


def check_outputs(json: str | None, figure: Path | None = None, csv: Path | None = None) -> None:
    """Refuse files that could not be written, before the work."""
    check_output("--json", json)
    check_output("--csv", csv)
    check_output("--figure", figure)
    if figure is not None:
        from decision_minrnn.figures.canvas import check_format

        check_format(figure)


def write_figure(panels: Sequence[Panel], title: str, figure: Path | None, csv: Path | None) -> None:
    """Draw curves, and write their numbers, where asked for."""
    from decision_minrnn.figures.canvas import save_figure
    from decision_minrnn.figures.curves import curves_csv, draw_panels

    if figure is not None:
        save_figure(draw_panels(panels, title), figure)
    if csv is not None:
        write_text_atomically(csv, curves_csv(panels))
