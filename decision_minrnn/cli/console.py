"""Where commands print: as wide as the terminal, and wide enough for the tables where there is none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_QUIET = ContextVar("quiet", default=False)


@contextmanager
def quiet(asked: bool) -> Iterator[None]:
    """Inside, if it is asked for, progress is not shown."""
    token = _QUIET.set(asked)
    try:
        yield
    finally:
        _QUIET.reset(token)


@contextmanager
def short_warnings(asked: bool) -> Iterator[None]:
    """Inside, if it is asked for, a warning is one line, without the place in the code where it arose."""
    before = warnings.formatwarning
    if asked:
        warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def wide_console(stderr: bool = False) -> Console:
    """A console for tables, or for what accompanies them on standard error."""
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=120)


def progress_console(stderr: bool = False) -> Console:
    """A console for what is of interest while a command runs, and not after `--quiet`; results have another."""
    from rich.console import Console

    return Console(stderr=stderr, quiet=_QUIET.get())
