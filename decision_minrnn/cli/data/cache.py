"""`decision-minrnn data cache`: the datasets that are kept unpacked for later loads."""

from __future__ import annotations

from typing import Literal


def show_cache(clear: Literal["all", "stale"] | None = None, json: str | None = None) -> None:
    """List the datasets that are kept as memory-mapped files, or delete them. They are made anew when they are needed.

    Args:
        clear: Delete all of them, or those whose source has changed or gone since.
        json: Write the list as JSON to this file, or to standard output if "-"; with --clear, of what was deleted.
    """
    from rich.console import Console
    from rich.table import Table

    from decision_minrnn.data.cache import cached_datasets, clear_cache
    from decision_minrnn.files import cache_folder, write_json

    datasets = clear_cache(stale_only=clear == "stale") if clear else cached_datasets()
    rows = [
        {
            "source": dataset.entry.source,
            "format": dataset.entry.format,
            "steps": dataset.entry.steps,
            "episodes": dataset.entry.episodes,
            "bytes": dataset.size_bytes,
            "current": dataset.current,
            "folder": str(dataset.folder),
        }
        for dataset in datasets
    ]
    if json is not None:
        write_json(json, rows)
    if json == "-":
        return
    console = Console(soft_wrap=True, highlight=False)
    total = sum(dataset.size_bytes for dataset in datasets) / 1e6
    if rows and not clear:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("steps", "episodes", "MB"):
            table.add_column(column, justify="right")
        table.add_column("source", overflow="fold")
        for dataset in datasets:
            changed = "" if dataset.current else " (changed or gone)"
            numbers = (f"{dataset.entry.steps:,}", f"{dataset.entry.episodes:,}", f"{dataset.size_bytes / 1e6:,.1f}")
            table.add_row(*numbers, f"{dataset.entry.source}{changed}")
        console.print(table)
    place = cache_folder() or "nowhere: the cache is switched off"
    console.print(f"{len(rows):,} datasets {'deleted' if clear else 'kept'}, {total:,.1f} MB, in {place}", markup=False)
