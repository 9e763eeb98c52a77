"""NumPy archives (`.npz`) in D4RL's layout (`data.flat`), as `numpy.savez` writes them from arrays of these names.

Nothing is unpickled: an archive with Python objects in it is refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy import ndarray

from decision_minrnn.data.base import Allocate, Format, Recording, in_memory
from decision_minrnn.data.checks import check_file
from decision_minrnn.data.flat import flat_content, read_flat, read_raw_flat
from decision_minrnn.data.raw import RawRecording
from decision_minrnn.errors import DataError

SUFFIX = ".npz"


def read_npz(path: Path, allocate: Allocate = in_memory, with_infos: bool = False) -> Recording:
    """Read one archive; raises `DataError` for a damaged or foreign file, and as `read_flat` does."""
    return read_flat(str(path), _content(path), allocate, with_infos)


def read_raw_npz(path: Path) -> RawRecording:
    """Read all that an archive holds, faults included, for `data check`."""
    return read_raw_flat(str(path), _content(path))


def write_npz(recording: Recording, path: Path) -> None:
    """Write a new archive, compressed; `OSError` where that is not possible."""
    with path.open("xb") as file:
        np.savez_compressed(file, **dict(flat_content(recording)))  # type: ignore[arg-type]


def _content(path: Path) -> dict[str, ndarray]:
    check_file(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except PermissionError as error:
        raise DataError(f"the file {path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # numpy, zipfile and zlib each raise what they like
        raise DataError(
            f"{path} is damaged, or not an archive of plain arrays ({path.stat().st_size:,} bytes): {error}. "
            f"Write it with numpy.savez."
        ) from error


FORMAT = Format("npz in D4RL's layout", "d4rl", lambda path: path.suffix == SUFFIX, read_npz, read_raw_npz)
