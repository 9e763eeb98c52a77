"""Where commands print: as wide as the terminal, and wide enough for the tables where there is none."""

from __future__ import annotations

from rich.console import Console


def wide_console(stderr: bool = False) -> Console:
    """A console for tables, or for what accompanies them on standard error."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=120)
