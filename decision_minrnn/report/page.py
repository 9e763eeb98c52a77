"""The HTML page: one file, with its figures inside, that opens anywhere without a network."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from decision_minrnn.figures.canvas import render
from decision_minrnn.files import write_bytes_atomically, write_text_atomically
from decision_minrnn.report.gathering import Group, ReportedRun, Spread, by_dataset
from decision_minrnn.report.pictures import Picture, picture_memory, picture_results
from decision_minrnn.versions import versions


def write_report(runs: Sequence[ReportedRun], page: Path, figures: Path | None = None) -> list[str]:
    """Write what runs came to as one HTML file, and its figures as PNG files into a folder too, if one is named.

    Returns what could not be shown, in words. Raises `MissingExtraError` without matplotlib, `OSError` for a file that
    cannot be written.
    """
    notes: list[str] = []
    sections = []
    for dataset, groups in by_dataset(runs).items():
        missing = [note for group in groups for note in _other_checkpoints(group)]
        pictures = [*picture_results(groups), *picture_memory(groups, missing)]
        if figures is not None:
            _write_figures(pictures, figures, dataset)
        sections.append(_section(dataset, groups, pictures) | {"notes": missing})
        notes += missing
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("page.html").render(
        sections=sections, runs=len(runs), version=versions().get("decision-minrnn", "")
    )
    write_text_atomically(page, text)
    return notes


def _write_figures(pictures: Sequence[Picture], folder: Path, dataset: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        write_bytes_atomically(folder / f"{_slug(dataset)}-{_slug(picture.name)}.png", render(picture.figure, "png"))


def _slug(name: str) -> str:
    return re.sub(r"[^\w.=-]+", "-", name)


def _section(dataset: str, groups: Sequence[Group], pictures: Sequence[Picture]) -> dict[str, Any]:
    """What the template shows of one dataset."""
    runs = [run for group in groups for run in group.runs]
    return {
        "dataset": dataset,
        "anchor": _slug(dataset),
        "source": runs[0].info.dataset,
        "env_id": runs[0].info.task.env_id,
        "reference": runs[0].info.task.reference,
        "reference_name": runs[0].info.task.reference_name,
        "results": [row for group in groups for row in _result_rows(group)],
        "pictures": [
            {
                "title": picture.title,
                "caption": picture.caption,
                "content": base64.b64encode(render(picture.figure, "svg")).decode(),
            }
            for picture in pictures
        ],
        "settings": _setting_rows(runs),
        "columns": [run.folder.name for run in runs],
        "versions": _table_rows([run.info.versions for run in runs]),
    }


def _other_checkpoints(group: Group) -> Iterator[str]:
    """A note for each run whose scores are not those of its last checkpoint."""
    for run in group.runs:
        evaluation = run.evaluations.get("carried")
        if evaluation is not None and not evaluation.checkpoint.startswith("last"):
            yield f"{run.folder.name}: the scores are not of the last checkpoint, but: {evaluation.checkpoint}."


def _result_rows(group: Group) -> Iterator[dict[str, Any]]:
    """One for each target: over the seeds, mean and deviation of return and score."""
    for index, (target, results) in enumerate(group.results().items()):
        scores = [result.normalized_mean for result in results if result.normalized_mean is not None]
        yield {
            "group": "" if index else group.name,
            "target": f"{target:g}",
            "seeds": len(results),
            "episodes": sum(result.episodes for result in results),
            "return": _plus_minus(Spread.of(result.return_mean for result in results), 0),
            "length": f"{Spread.of(result.length_mean for result in results).mean:.0f}",
            "score": _plus_minus(Spread.of(scores), 1) if len(scores) == len(results) else "-",
            "each": ", ".join(f"{score:.1f}" for score in scores) if len(scores) > 1 else "",
        }


def _plus_minus(spread: Spread, digits: int) -> str:
    """Mean and deviation over seeds; of one seed the number alone."""
    if len(spread.values) == 1:
        return f"{spread.mean:.{digits}f}"
    return f"{spread.mean:.{digits}f} ± {spread.deviation:.{digits}f}"


def _setting_rows(runs: Sequence[ReportedRun]) -> list[tuple[str, list[str]]]:
    return _table_rows(
        [run.settings | {"seed": run.info.train.seed, "updates": run.info.train.updates} for run in runs]
    )


def _table_rows(columns: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """A row for each key: one value if all columns have the same, else one for each column."""
    rows = []
    for key in dict.fromkeys(key for column in columns for key in column):
        values = [str(column.get(key, "-")) for column in columns]
        rows.append((key.replace("_", " "), values[:1] if len(set(values)) == 1 else values))
    return rows
