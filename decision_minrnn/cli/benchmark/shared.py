"""What the commands of `benchmark` have in common: what is said of the machine, tables as text or Markdown, JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from decision_minrnn.cli.outputs import check_output
from decision_minrnn.devices import seeded
from decision_minrnn.files import write_json
from decision_minrnn.ops.kernels import kernels_on
from decision_minrnn.versions import versions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Format = Literal["text", "markdown"]


@contextmanager
def reporting(
    json: str | None, format: Format, threads: int | None = None, packages: Sequence[str] = ()
) -> Iterator[Report]:
    """A report of what is measured inside, where torch is seeded and has so many threads.

    Raises `ConfigError` for a file that cannot be written, and for less than one thread.
    """
    with seeded(0, torch.device("cpu"), threads):
        yield Report(json, format, packages)


class Report:
    """Tables, printed as they come, and their rows, written as JSON at the end."""

    def __init__(self, json: str | None, format: Format, packages: Sequence[str] = ()) -> None:
        """`packages` are those whose versions matter beside the usual ones. Raises `ConfigError` for a bad file."""
        check_output("--json", json)
        self.json, self.format = json, format
        self.content: dict[str, Any] = {
            "threads": torch.get_num_threads(),
            "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
            "versions": versions(*packages) | {"kernels": kernels_on(torch.device("cpu"))},
        }
        named = (f"{package} {version}" for package, version in self.content["versions"].items())
        threads = self.content["threads"]
        self.say(f"{threads} thread{'' if threads == 1 else 's'} of {self.content['machine']}; {', '.join(named)}")

    def say(self, text: str) -> None:
        """Print a line; on standard error where the standard output is for JSON."""
        Console(stderr=self.json == "-").print(text, highlight=False, markup=False, soft_wrap=True)

    def table(self, *columns: str) -> Table:
        """A table whose first column is text and whose others are numbers."""
        table = Table(box=MARKDOWN) if self.format == "markdown" else Table(box=None, padding=(0, 2, 0, 0))
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index else "left", no_wrap=True)
        return table

    def add(self, key: str, rows: Sequence[DataclassInstance], title: str, table: Table) -> None:
        """Take rows into the JSON, and print their table, as wide as it is: a number that is cut off is none."""
        self.content.setdefault(key, []).extend(asdict(row) for row in rows)
        if self.json != "-":
            self.say(f"\n{title}\n")
            Console(width=1000).print(table)

    def finish(self, **further: Any) -> None:
        """Write the JSON, if asked to."""
        if self.json is not None:
            write_json(self.json, self.content | further)
