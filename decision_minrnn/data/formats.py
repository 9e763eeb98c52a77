"""The file formats that can be read: each is a module with a `FORMAT`."""

from __future__ import annotations

from pathlib import Path

from decision_minrnn.data import d4rl, npz
from decision_minrnn.data.base import Format
from decision_minrnn.data.minari import reading
from decision_minrnn.errors import DataError

FORMATS: tuple[Format, ...] = (d4rl.FORMAT, npz.FORMAT, reading.FORMAT)


def format_of(path: Path) -> Format:
    """The format of an existing file or folder.

    Raises `DataError` where none accepts it.
    """
    for candidate in FORMATS:
        if candidate.accepts(path):
            return candidate
    known = ", ".join(candidate.name for candidate in FORMATS)
    if path.is_dir():
        inside = sorted(item.name for item in path.iterdir())
        held = f"it holds {', '.join(inside[:5])}{', …' if len(inside) > 5 else ''}" if inside else "it is empty"
        raise DataError(
            f"the folder {path} is not a dataset: {held}. A Minari dataset is a folder with data/metadata.json in it; "
            f"HDF5 and npz files are given by their own paths."
        )
    raise DataError(f"the file {path} is in no format that can be read. Known formats: {known}.")
