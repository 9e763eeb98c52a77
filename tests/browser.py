"""A headless Chromium that looks at pages, where there is one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium on this machine")

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=10000",
]


def browse(url: str, *flags: str) -> str:
    """What Chromium prints after it has opened a page, with a profile of its own."""
    with tempfile.TemporaryDirectory() as profile:
        command = [str(PROGRAM), *QUIET, f"--user-data-dir={profile}", *flags, url]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def page_after_loading(url: str) -> str:
    """The document as it is once scripts and images are there."""
    return browse(url, "--dump-dom")


def screenshot(url: str, path: Path, width: int = 1200, height: int = 2000) -> Path:
    """What is seen of a page, as a PNG."""
    browse(url, f"--screenshot={path}", f"--window-size={width},{height}")
    return path
