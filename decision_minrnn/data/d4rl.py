"""HDF5 files in D4RL's layout (`data.flat`). This is the only file that imports h5py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from decision_minrnn.data.base import Allocate, AllocationError, Format, Recording, in_memory, row_blocks
from decision_minrnn.data.checks import check_claim, check_file
from decision_minrnn.data.flat import flat_content, read_flat, read_raw_flat
from decision_minrnn.data.raw import RawRecording
from decision_minrnn.errors import DataError

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".hdf5", ".h5")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""First bytes of every HDF5 file."""


def looks_like_hdf5(path: Path) -> bool:
    """Whether it is a file that ends like HDF5 or begins like it."""
    if not path.is_file():
        return False
    if path.suffix in SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def read_d4rl(path: Path, allocate: Allocate = in_memory, with_infos: bool = False) -> Recording:
    """Read one file.

    Raises `DataError` for a missing, empty, truncated or foreign file, and as `read_flat` does.
    """
    with _opened(path) as file:
        return read_flat(str(path), file, allocate, with_infos)


def read_raw_d4rl(path: Path) -> RawRecording:
    """Read all that a file holds, faults included, for `data check`.

    Raises `DataError` only where there is nothing to look at: a missing, damaged or foreign file.
    """
    with _opened(path) as file:
        return read_raw_flat(str(path), file)


def write_d4rl(recording: Recording, path: Path) -> None:
    """Write a new file, compressed; `OSError` where that is not possible."""
    import h5py

    with h5py.File(path, "x") as file:
        for name, values in flat_content(recording):
            if values.ndim == 0:
                file[name] = values.item()
                continue
            stored = file.create_dataset(
                name, values.shape, values.dtype, chunks=True, compression="gzip", shuffle=values.itemsize > 1
            )
            row_bytes = values.nbytes // len(values)
            for rows in row_blocks(len(values), row_bytes, stored.chunks[0]):
                stored[rows] = values[rows]


@contextmanager
def opened_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to read from, with all its numbers in it; whatever is wrong with it becomes a `DataError`."""
    import h5py

    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            _check_contained(path, file)
            yield file
    except (DataError, AllocationError):
        raise
    except PermissionError as error:
        raise DataError(f"the file {path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # h5py raises whatever its library's errors remind it of
        raise DataError(
            f"{path} is damaged, incomplete or not an HDF5 file ({path.stat().st_size:,} bytes): {error}. "
            f"Copy or download it again."
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file of one recording. Raises as `opened_hdf5`."""
    with opened_hdf5(path) as file:
        if "episode_0" in file and "observations" not in file:
            raise DataError(f"{path} is part of a Minari dataset: give the folder that holds it ({path.parent}).")
        yield file


def _check_contained(path: Path, file: h5py.File) -> None:
    """Refuse what does not lie in the file: numbers that it claims and does not store, and those of other files."""
    import h5py

    # errors cannot pass through h5py's visits: these collect
    elsewhere: list[str] = []
    claims: list[tuple[str, int]] = []

    def look_at_link(name: str, link: object) -> None:
        if isinstance(link, h5py.ExternalLink):
            elsewhere.append(name)

    def look_at_item(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            if item.is_virtual or item.external:
                elsewhere.append(name)
            claims.append((name, max(item.nbytes, prod(item.chunks or (0,)) * item.dtype.itemsize)))

    file.visititems_links(look_at_link)
    file.visititems(look_at_item)
    if elsewhere:
        raise DataError(f"{path}: {elsewhere[0]} lies in another file. Copy it into one file, as h5repack does.")
    for name, claimed in claims:
        check_claim(str(path), name, claimed, path.stat().st_size)


FORMAT = Format("D4RL-layout HDF5", "d4rl", looks_like_hdf5, read_d4rl, read_raw_d4rl)
