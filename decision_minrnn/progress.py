"""How far a run is, for people: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """Shows updates, updates a second, the loss and the time left."""

    def __init__(self, console: Console, total: int, done: int = 0) -> None:
        self._console = console
        self._total = total
        self._began, self._first = time.perf_counter(), done
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]} loss {task.fields[loss]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("training", total=total, completed=done, speed="", loss="-")

    def __enter__(self) -> TrainingProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, update: int, loss: float) -> None:
        """Show that `update` updates are done, the loss being `loss`."""
        seconds = time.perf_counter() - self._began
        speed = (update - self._first) / seconds
        if self._bar:
            self._bar.update(self._task, completed=update, speed=f"{speed:.0f}/s", loss=f"{loss:.4f}")
        else:
            left = (self._total - update) / speed
            self._console.print(
                f"update {update}/{self._total}  loss {loss:.4f}  {speed:.1f} updates/s  {left:.0f} s left", highlight=False
            )

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
