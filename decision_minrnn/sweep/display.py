"""How far a sweep is, for people: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from decision_minrnn.runs import LOG
from decision_minrnn.sweep.status import State, Status, count

_STYLES: dict[State, str] = {"running": "cyan", "failed": "red", "waiting": "dim", "done": "green"}
"""Of states, in the order in which a table that is too long for the terminal shows them."""
_LINES_BESIDE_ROWS = 4


class Display:
    """Shows the trials of a sweep while it is entered."""

    def __init__(self, console: Console, sweep: Sequence[Status]) -> None:
        self.console, self.sweep = console, sweep
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def changed(self, status: Status) -> None:
        """Say that a trial is in another state; on a terminal, whose table shows it, only what went wrong is said."""
        if self._live and not status.error:
            return
        said = {
            "running": f"runs, from update {status.progress.update}",
            "done": f"done, score {_scores(status) or 'not measured'}",
            "waiting": f"goes on later, after: {status.error}",
            "failed": f"failed: {status.error} (see {status.trial.folder / LOG})",
        }[status.state]
        self.console.print(f"{status.trial.name}: {said}", markup=False, highlight=False, soft_wrap=True)

    def refresh(self) -> None:
        """Show the present state."""
        if self._live:
            rows = sorted(self.sweep, key=lambda status: list(_STYLES).index(status.state))
            self._live.update(status_table(rows, self.console.height - _LINES_BESIDE_ROWS), refresh=True)


def status_table(sweep: Sequence[Status], rows: int | None = None) -> Table:
    """The first trials, as many as there is room for, and how many of all are in each state."""
    counts = ", ".join(f"{number} {state}" for state, number in count(sweep).items())
    table = Table(box=None, padding=(0, 2, 0, 0), caption=f"{counts} of {len(sweep)}", caption_justify="left")
    for column in ("trial", "state", "update", "loss", "score"):
        table.add_column(column, justify="left" if column in ("trial", "state") else "right", overflow="fold")
    for status in sweep[:rows]:
        progress = status.progress
        table.add_row(
            status.trial.name,
            Text(status.state, _STYLES[status.state]),
            f"{progress.update}/{status.trial.config.updates}",
            "" if progress.loss is None else f"{progress.loss:.4f}",
            _scores(status),
        )
    return table


def _scores(status: Status) -> str:
    """The scores of the last evaluation, one for each target."""
    return ", ".join(f"{score:.1f}" for score in status.progress.scores)
