"""Files that commands write where the user says."""

from __future__ import annotations

from pathlib import Path

from decision_minrnn.errors import ConfigError


def check_output(flag: str, path: str | Path | None) -> None:
    """Refuse a file that could not be written, before the work that leads to it; "-" and None stand for no file.

    Raises `ConfigError` where there is no such folder, or where the path is a folder itself.
    """
    if path is None or str(path) == "-":
        return
    if not Path(path).parent.is_dir():
        raise ConfigError(f"{flag} {path}: there is no folder {Path(path).parent}.")
    if Path(path).is_dir():
        raise ConfigError(f"{flag} {path} is a folder; the name of a file was expected.")
