"""Comparisons for people: tables in Markdown and LaTeX, with how they were measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from decision_minrnn.errors import UnknownNameError
from decision_minrnn.published import D4RL_COLUMNS, Published, published_d4rl
from decision_minrnn.sweep.aggregates import Aggregate, aggregates
from decision_minrnn.sweep.comparison import Cell, Comparison, ScoreTable
from decision_minrnn.sweep.sheets import Sheet, latex_sheet, markdown_sheet
from decision_minrnn.sweep.statistics import Estimate

_NONE = "-"


def markdown(comparison: Comparison, against: str | None = None) -> str:
    """Tables in Markdown, with how they were measured.

    Args:
        comparison: what they show.
        against: the algorithm over which the others' probability of improvement is shown; by default the first.

    Raises `UnknownNameError` where `against` is not in a table.
    """
    sheets = "\n".join(markdown_sheet(sheet) for sheet in _sheets(comparison, against))
    return f"{sheets}\n" + "".join(f"- {note}\n" for note in notes(comparison))


def latex(comparison: Comparison, against: str | None = None) -> str:
    """The same in LaTeX, for the package booktabs."""
    sheets = "\n".join(latex_sheet(sheet) for sheet in _sheets(comparison, against))
    return "".join(f"% {note}\n" for note in notes(comparison)) + sheets


def notes(comparison: Comparison) -> list[str]:
    """How the scores were measured."""
    infos = [result.info for result in comparison.results]
    measured = (
        f"{_listed(info.task.env_id or '' for info in infos)}; {_listed(info.train.episodes for info in infos)} "
        "episodes for each run and target, which was set before training; weights after the last of "
        f"{_listed(info.train.updates for info in infos)} updates; state carried"
    )
    if comparison.normalised:
        measured += f"; normalised with {_listed(info.task.reference_name or '' for info in infos)}"
    found = [
        f"{measured}.",
        f"Mean ± deviation over seeds {_listed(info.train.seed for info in infos)}; in brackets over how many, where "
        f"not all; {_NONE}: none.",
        "IQM: mean of the middle half of all scores. P(>): probability of a higher score on a dataset drawn at random. "
        "In brackets: 95 %, stratified bootstrap over runs; too narrow where these are few.",
        *sorted({", ".join(f"{name} {version}" for name, version in info.versions.items()) + "." for info in infos}),
    ]
    if comparison.unfinished:
        planned = comparison.unfinished + len(infos)
        found.append(f"{comparison.unfinished} of {planned} runs are not finished, and not in the tables.")
    if any(table.published for table in comparison.tables):
        found.append("Published: arXiv 2410.01201, five seeds, with its own protocol and versions of the environments.")
    return found


def _sheets(comparison: Comparison, against: str | None) -> Iterator[Sheet]:
    """For each target, the scores, and the algorithms over all datasets."""
    for table in comparison.tables:
        target = _target(table)
        yield Sheet(f"{measure(comparison).capitalize()}, {target}", *_scores(table))
        if found := aggregates(table):
            yield Sheet(f"Over all datasets and runs, {target}", *_over_all(found, against))


def _scores(table: ScoreTable) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the first table: datasets, and the average of columns that have a number for each."""
    columns: dict[str, list[Cell | Published | None]] = {
        name: [table.cells.get((dataset, name)) for dataset in table.datasets] for name in table.algorithms
    }
    if table.published:
        for encoder, name in D4RL_COLUMNS.items():
            columns[f"published {name}"] = [
                published_d4rl(dataset, encoder) if dataset in table.published else None for dataset in table.datasets
            ]
    rows = [
        [dataset, *(_word(column[index], len(table.seeds)) for column in columns.values())]
        for index, dataset in enumerate(table.datasets)
    ]
    if len(rows) > 1:
        means = ([cell.mean for cell in column if cell] for column in columns.values())
        rows.append(["average", *(f"{np.mean(found):.1f}" if len(found) == len(rows) else _NONE for found in means)])
    return ["", *columns], rows


def _word(cell: Cell | Published | None, seeds: int) -> str:
    """A mean with its deviation, and with the number of runs where it is not that of the seeds."""
    if cell is None:
        return _NONE
    if isinstance(cell, Published):
        return str(cell).replace("±", " ± ")
    runs = len(cell.scores)
    spread = f" ± {cell.deviation:.1f}" if runs > 1 else ""
    return f"{cell.mean:.1f}{spread}" + (f" ({runs})" if runs < seeds else "")


def _over_all(found: Sequence[Aggregate], against: str | None) -> tuple[Sequence[str], list[list[str]]]:
    """Header and rows of the second table."""
    names = [row.algorithm for row in found]
    base = against or names[0]
    if base not in names:
        raise UnknownNameError("algorithm", base, names, "Expected one that has runs on all datasets.")
    runs_of_base = found[names.index(base)].runs
    rows = []
    for row in found:
        improvement = row.improvements.get(base)
        better = _interval(improvement, max(row.runs, runs_of_base), ".2f") if improvement else _NONE
        iqm = _interval(row.iqm, row.runs, ".1f")
        rows.append([row.algorithm, str(row.runs), f"{row.mean.value:.1f}", iqm, better])
    return ("", "runs", "mean", "IQM", f"P(> {base})"), rows


def measure(comparison: Comparison) -> str:
    """What the numbers are."""
    return "normalised score" if comparison.normalised else "return"


def _target(table: ScoreTable) -> str:
    single = single_target(table)
    if single:
        return f"target return {single}"
    return "target returns " + ", ".join(f"{target:g} ({dataset})" for dataset, target in table.targets.items())


def single_target(table: ScoreTable) -> str:
    """The target return, where all datasets have the same."""
    targets = set(table.targets.values())
    return f"{targets.pop():g}" if len(targets) == 1 else ""


def _interval(estimate: Estimate, runs: int, form: str) -> str:
    """With its interval, where there is more than one run to draw."""
    value, low, high = (f"{number:{form}}" for number in estimate)
    return f"{value} [{low}, {high}]" if runs > 1 else value


def _listed(values: Iterable[str | int]) -> str:
    """Each value once, in order."""
    return ", ".join(f"{value:,}" if isinstance(value, int) else value for value in sorted(set(values)))
