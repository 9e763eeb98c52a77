"""How far a run is, for people: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from decision_minrnn.data.download import DownloadState


class Progress:
    """Shows the parts of a run that are under way, each with what is done, its speed and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: Bars | None = None
        if console.is_terminal and not console.quiet:
            self.bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                TimeRemainingColumn(),
                console=console,
            )

    def __enter__(self) -> Progress:
        if self.bars:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars:
            self.bars.stop()

    def updates(self, total: int, done: int = 0) -> AbstractContextManager[Part]:
        """Updates of a training; its bar stays when it is done."""
        return self._part("update", total, done, 0)

    def steps(self, total: int, done: int = 0) -> AbstractContextManager[Part]:
        """Steps of environments; away from a terminal a line comes every 10 s."""
        return self._part("step", total, done, 10)

    def episodes(self, total: int) -> AbstractContextManager[Part]:
        """Episodes of an evaluation; its bar goes when it is done, and away from a terminal a line comes every 10 s."""
        return self._part("episode", total, 0, 10, transient=True)

    @contextmanager
    def _part(
        self, unit: str, total: int, done: int, seconds_between_lines: float, transient: bool = False
    ) -> Iterator[Part]:
        part = Part(self, unit, total, done, seconds_between_lines)
        try:
            yield part
        finally:
            if self.bars and part.task is not None and transient:
                self.bars.remove_task(part.task)

    def message(self, text: str, style: str | None = None) -> None:
        """Print a line above the bars."""
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


class Part:
    """Something countable that is under way."""

    def __init__(self, progress: Progress, unit: str, total: int, done: int, seconds_between_lines: float) -> None:
        self.done = done
        self.task: TaskID | None = None
        self._progress, self._unit, self._total, self._first = progress, unit, total, done
        self._began = self._printed = time.perf_counter()
        self._between = seconds_between_lines
        if progress.bars:
            self.task = progress.bars.add_task(unit, total=total, completed=done, note="")

    def advance(self, note: str, to: int | None = None) -> None:
        """Show that one more is done, or as many as `to`; `note` says what came of it."""
        self.done = self.done + 1 if to is None else to
        now = time.perf_counter()
        speed = (self.done - self._first) / (now - self._began)
        if self._progress.bars and self.task is not None:
            self._progress.bars.update(self.task, completed=self.done, note=f"{speed:.3g}/s  {note}")
        elif now - self._printed >= self._between:
            self._printed = now
            left = (self._total - self.done) / speed
            self._progress.message(
                f"{self._unit} {self.done}/{self._total}  {note}  {speed:.3g} {self._unit}s/s  {left:.0f} s left"
            )


class DownloadDisplay:
    """Shows downloads: a bar for each file on a terminal, a line every 10 s elsewhere. Nothing if there are none."""

    def __init__(self, console: Console, seconds_between_lines: float = 10.0) -> None:
        self.console = console
        self.bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._between, self._printed = seconds_between_lines, time.perf_counter()

    def __enter__(self) -> DownloadDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bars:
            self.bars.stop()

    def show(self, state: DownloadState) -> None:
        """Show how far a file is; for `on_download`."""
        if state.message:
            self.console.print(f"download  {state.message}", highlight=False, markup=False, soft_wrap=True)
        elif self.console.is_terminal and not self.console.quiet:
            self._show_bar(state)
        elif time.perf_counter() - self._printed >= self._between or state.received == state.total:
            self._printed = time.perf_counter()
            total = f" of {state.total / 1e6:,.1f}" if state.total else ""
            self.console.print(
                f"download  {state.name}: {state.received / 1e6:,.1f}{total} MB", highlight=False, soft_wrap=True
            )

    def _show_bar(self, state: DownloadState) -> None:
        if self.bars is None:
            columns = (BarColumn(bar_width=20), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            self.bars = Bars(TextColumn("{task.description}"), *columns, console=self.console)
            self.bars.start()
        if state.name not in self._tasks:
            self._tasks[state.name] = self.bars.add_task(state.name, total=None)
        self.bars.update(self._tasks[state.name], completed=state.received, total=state.total or None)
