"""`decision-minrnn report RUN...`: one HTML page on what runs came to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from decision_minrnn.cli.parsing import run_command
from decision_minrnn.errors import CheckpointError, ConfigError


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    run_command(report, "report", arguments)


def report(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path = Path("report.html"),
    figures: Path | None = None,
) -> None:
    """Write one HTML page on what runs came to (extra: plot). It holds its figures and opens without a network.

    Scores by target; learning curves; return against target; returns of the episodes; memory modes side by side, where
    `evaluate --memory window` or `reset` was run too; how far back actions depend on observations, and the gates of
    minGRU and minLSTM, over an episode of the dataset; settings and versions. Runs that differ in their seed alone are
    taken together.

    Args:
        runs: Run folders, or folders that hold run folders, such as `runs`.
        out: The page.
        figures: Folder to write the figures to as well, as PNG files of a column's width.
    """
    from decision_minrnn.cli.console import wide_console
    from decision_minrnn.cli.outputs import check_output
    from decision_minrnn.figures.canvas import check_format
    from decision_minrnn.report.gathering import find_runs
    from decision_minrnn.report.page import write_report

    if not runs:
        raise ConfigError("report expects at least one run folder, or a folder of them, such as runs.")
    check_output("--out", out)
    if figures is not None and figures.exists() and not figures.is_dir():
        raise ConfigError(f"--figures {figures} is a file; the name of a folder was expected.")
    check_format(Path("figure.png"))
    found, left_out = find_runs(runs)
    if not found:
        raise CheckpointError(f"no run to report on in {', '.join(map(str, runs))}. {' '.join(left_out)}")
    notes = write_report(found, out, figures)
    told = wide_console(stderr=True)
    for note in (*(f"left out: {reason}" for reason in left_out), *notes):
        told.print(note, style="yellow", highlight=False, markup=False, soft_wrap=True)
    print(f"report: {out} ({len(found)} {'run' if len(found) == 1 else 'runs'})")
    if figures is not None:
        print(f"figures: {figures}")
