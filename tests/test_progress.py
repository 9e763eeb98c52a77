"""How a download is shown: a bar on a terminal, lines elsewhere, nothing to a quiet console."""

from __future__ import annotations

import io

from rich.console import Console

from decision_minrnn.data.download import DownloadState
from decision_minrnn.progress import DownloadDisplay

STATES = (
    DownloadState("x.hdf5", 1_000_000, 4_000_000),
    DownloadState("x.hdf5", 1_000_000, 4_000_000, "http://a: refused [1]"),
    DownloadState("x.hdf5", 2_000_000, 4_000_000),
    DownloadState("x.hdf5", 4_000_000, 4_000_000),
)


def shown(seconds_between_lines: float = 10.0, **settings: bool) -> str:
    text = io.StringIO()
    with DownloadDisplay(Console(file=text, width=120, **settings), seconds_between_lines) as display:  # type: ignore[arg-type]
        for state in STATES:
            display.show(state)
    return text.getvalue()


def test_lines() -> None:
    refused, last = "download  http://a: refused [1]", "download  x.hdf5: 4.0 of 4.0 MB"
    assert shown().splitlines() == [refused, last]
    between = ["download  x.hdf5: 1.0 of 4.0 MB", refused, "download  x.hdf5: 2.0 of 4.0 MB", last]
    assert shown(0.0).splitlines() == between


def test_a_bar() -> None:
    printed = shown(force_terminal=True)
    assert "4.0/4.0 MB" in printed
    assert "refused [1]" in printed


def test_a_quiet_console() -> None:
    assert shown(quiet=True) == shown(quiet=True, force_terminal=True) == ""


def test_a_download_of_unknown_size() -> None:
    text = io.StringIO()
    with DownloadDisplay(Console(file=text), 0.0) as display:
        display.show(DownloadState("x.hdf5", 3_000_000, 0))
    assert text.getvalue() == "download  x.hdf5: 3.0 MB\n"


def test_nothing_is_shown_where_nothing_is_downloaded() -> None:
    text = io.StringIO()
    with DownloadDisplay(Console(file=text, force_terminal=True)):
        pass
    assert text.getvalue() == ""
