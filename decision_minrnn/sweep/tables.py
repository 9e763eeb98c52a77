"""Comparisons for people: tables in Markdown and LaTeX, with how they were measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from decision_minrnn.errors import UnknownNameError
from decision_minrnn.published import D4RL_COLUMNS, Published, published_d4rl
from decision_minrnn.sweep.aggregates import Aggregate, aggregates
from decision_minrnn.sweep.results import Comparison, ScoreTable
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
    references = sorted({info.task.reference_name or "" for info in infos})
    updates, episodes = (sorted({getattr(info.train, name) for info in infos}) for name in ("updates", "episodes"))
    environments = sorted({info.task.env_id or "" for info in infos})
    measured = (
        f"{' and '.join(environments)}; {_numbers(episodes)} episodes for each target and run; weights after the last "
        f"of {_numbers(updates)} updates; state carried"
    )
    if comparison.normalised:
        measured += f"; normalised with {' and '.join(references)}"
    found = [
        f"{measured}.",
        f"mean ± deviation over seeds; in brackets how many, where not all; {_NONE}: no finished run. IQM: mean of the "
        "middle half of all runs. P(>): probability of a higher score on a dataset drawn at random. Intervals: 95 %, "
        "stratified bootstrap over runs.",
        "; ".join(
            sorted({", ".join(f"{name} {version}" for name, version in info.versions.items()) for info in infos})
        ),
    ]
    if any(_published_columns(table) for table in comparison.tables):
        found.append("published: arXiv 2410.01201, five seeds, with its own protocol and versions of the environments.")
    return found


def _sheets(comparison: Comparison, against: str | None) -> Iterator[Sheet]:
    """For each target, the scores, and the algorithms over all datasets."""
    for table in comparison.tables:
        target = _target(table)
        rows = [_row(table, dataset) for dataset in table.datasets]
        if len(table.datasets) > 1:
            rows.append(_average(table))
        published = [f"published {D4RL_COLUMNS[encoder]}" for encoder in _published_columns(table)]
        yield Sheet(f"{measure(comparison).capitalize()}, {target}", ("", *table.algorithms, *published), rows)
        if found := aggregates(table):
            yield Sheet(f"Over all datasets, {target}", *_over_all(found, against))


def _row(table: ScoreTable, dataset: str) -> list[str]:
    cells = [table.cells.get((dataset, algorithm)) for algorithm in table.algorithms]
    most = len(table.seeds)
    words = []
    for cell in cells:
        runs = len(cell.scores) if cell else 0
        spread = f" ± {cell.deviation:.1f}" if cell and runs > 1 else ""
        words.append(f"{cell.mean:.1f}{spread}" + (f" ({runs})" if runs < most else "") if cell else _NONE)
    published = [published_d4rl(dataset, encoder) for encoder in _published_columns(table)]
    return [dataset, *words, *(_published(cell) for cell in published)]


def _average(table: ScoreTable) -> list[str]:
    """Means over the datasets, where there is a number on each."""
    words = []
    for algorithm in table.algorithms:
        cells = [table.cells.get((dataset, algorithm)) for dataset in table.datasets]
        means = [cell.mean for cell in cells if cell]
        words.append(f"{np.mean(means):.1f}" if len(means) == len(cells) else _NONE)
    for encoder in _published_columns(table):
        published = [published_d4rl(dataset, encoder) for dataset in table.datasets]
        means = [cell.mean for cell in published if cell]
        words.append(f"{np.mean(means):.1f}" if len(means) == len(published) else _NONE)
    return ["average", *words]


def _over_all(found: Sequence[Aggregate], against: str | None) -> tuple[Sequence[str], list[list[str]]]:
    """Header and rows of the second table."""
    names = [row.algorithm for row in found]
    base = against or names[0]
    if base not in names:
        raise UnknownNameError("algorithm", base, names, "Expected one that has runs on all datasets.")
    rows = []
    for row in found:
        improvement = row.improvements.get(base)
        runs = min(row.runs, *(other.runs for other in found if other.algorithm == base))
        better = _interval(improvement, runs, ".2f") if improvement else _NONE
        rows.append(
            [row.algorithm, str(row.runs), f"{row.mean.value:.1f}", _interval(row.iqm, row.runs, ".1f"), better]
        )
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


def _published_columns(table: ScoreTable) -> list[str]:
    """Encoders with published figures, if a dataset of the table has any."""
    return [name for name in D4RL_COLUMNS if any(published_d4rl(dataset, name) for dataset in table.datasets)]


def _published(cell: Published | None) -> str:
    return str(cell).replace("±", " ± ") if cell else _NONE


def _interval(estimate: Estimate, runs: int, form: str) -> str:
    """With its interval, where there is more than one run to draw."""
    value, low, high = (f"{number:{form}}" for number in estimate)
    return f"{value} [{low}, {high}]" if runs > 1 else value


def _numbers(values: Sequence[int]) -> str:
    return " or ".join(f"{value:,}" for value in values)
