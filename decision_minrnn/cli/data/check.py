"""`decision-minrnn data check NAME`: what is wrong with a dataset, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from rich.console import RenderableType

    from decision_minrnn.doctor import Report

_BARS = " ▁▂▃▄▅▆▇█"
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def check_dataset(name: Annotated[str, tyro.conf.Positional], env: str | None = None, json: str | None = None) -> None:
    """Look for faults in one dataset: each with its severity, its numbers and a remedy.

    Rows shifted against each other, NaN, actions outside the bounds, duplicated and empty episodes, missing and
    misplaced end marks, cut episodes, the scale of the rewards; and, where the file holds simulator states, how far
    recorded steps are off when they are simulated again. The exit code is 1 if there are errors, else 0.

    Args:
        name: A name from `data list`, a Minari id, or the path of an HDF5 or npz file or Minari folder.
        env: The environment to hold it against, in place of the one it names: a card, a gymnasium id or a card's path.
        json: Write the report as JSON to this file, or to standard output if "-".
    """
    from decision_minrnn.cli.console import wide_console
    from decision_minrnn.doctor import examine
    from decision_minrnn.files import write_json

    report = examine(name, env=env)
    if json is not None:
        write_json(json, report.as_dict())
    if json != "-":
        console = wide_console()
        for part in report_parts(report):
            console.print(part, soft_wrap=isinstance(part, str), highlight=False)
    if report.errors:
        raise SystemExit(1)


def report_parts(report: Report) -> list[RenderableType]:
    """What is printed, from top to bottom."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in report.findings:
        message = Text(finding.message)
        if finding.remedy:
            message.append(f"\n→ {finding.remedy}", style="dim")
        table.add_row(Text(finding.severity, style=_STYLES[finding.severity]), finding.check, message)
    counts = {name: sum(found.severity == name for found in report.findings) for name in _STYLES}
    told = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    parts: list[RenderableType] = [
        escape(f"{report.dataset}: {report.source}, {report.steps:,} steps, {report.episodes:,} finished episodes"),
        table,
    ]
    if report.statistics:
        parts.append(_statistics_table(report.statistics))
    if report.skipped:
        listed = ", ".join(f"{name} (after {because})" for name, because in report.skipped.items())
        parts.append(Text(f"not checked until the errors are mended: {listed}", style="dim"))
    return [*parts, Text(told, style="bold")]


def _statistics_table(statistics: dict[str, Any] | Any) -> RenderableType:
    """Lengths and returns with their histograms, scores, rewards and actions."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "mean", "std", "min", "max"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    table.add_column("histogram, min to max", no_wrap=True)
    rows = {name: statistics[name] for name in ("length", "return", "reward", "action")}
    for name, scores in statistics["references"].items():
        rows[f"score ({name})"] = {key: scores[f"normalized_{key}"] for key in ("mean", "std", "min", "max")}
    for name, row in rows.items():
        if row:
            bars = sparkline(row["histogram"]["counts"]) if "histogram" in row else ""
            numbers = [f"{row[key]:,.4g}" if abs(row[key]) < 1000 else f"{row[key]:,.0f}" for key in _NUMBERS]
            table.add_row(name, *numbers, Text(bars))
    return table


_NUMBERS = ("mean", "std", "min", "max")


def sparkline(counts: list[int]) -> str:
    """Counts as bars of one character each; the highest count is a full one, and none but zero is empty."""
    highest = max(counts, default=0)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // highest)] if count else _BARS[0] for count in counts)
