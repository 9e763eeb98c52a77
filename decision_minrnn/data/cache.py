"""Recordings as memory-mapped files, so that a dataset is unpacked once and need not fit into memory.

The first read of a file or folder writes its arrays, in float32, as `.npy` files into an entry of the cache; later ones
map them. Pages are read from the disk when they are touched, given back when memory is short, and shared by all
processes that read the same entry.

An entry is named after the SHA-256 of its source's content. So that it need not be computed at every load, the digest
is noted with each file's size, inode and times of change; a file that differs in any of them is read again.

The cache lies in `DECISION_MINRNN_CACHE`, else in `decision-minrnn` below `XDG_CACHE_HOME` or `~/.cache`. With
`DECISION_MINRNN_CACHE=off`, and where the folder cannot be written or the disk is full, datasets are read into memory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from decision_minrnn.cards import Reference
from decision_minrnn.data.base import BLOCK_BYTES, AllocationError, Format, Recording, in_memory
from decision_minrnn.files import cache_folder, locked, read_json, write_json
from decision_minrnn.records import record_from_dict

FORMAT = 2
"""Part of an entry's name: another layout of entries, or another reading of files, is another entry."""
_MAPPED = ("observations", "actions", "rewards")
_LOADED = ("offsets", "terminated", "truncated", "final_observations", "action_low", "action_high")
_GRAIN_NS = 2 * 10**9
"""A file changed less than this ago may change again without another time of change, on a coarse file system."""


@dataclass(frozen=True)
class Entry:
    """What `entry.json` says of an entry."""

    source: str
    """The path from which it was read first."""
    format: str
    steps: int
    episodes: int
    choices: int | None
    env_id: str | None
    references: Mapping[str, Reference]
    about: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Note:
    """What was seen of a source when its digest was computed."""

    path: str
    stamp: tuple[str, ...]
    """Each file's name, size, inode and times of change."""
    digest: str
    """Name of the entry."""


@dataclass(frozen=True)
class CachedDataset:
    """An entry as listed to the user."""

    folder: Path
    entry: Entry
    size_bytes: int
    current: bool
    """Whether a source with this content is still where it was read."""


class MappedArrays:
    """Makes arrays in files of a folder: `Allocate` for what need not fit into memory."""

    def __init__(self, folder: Path, exact: bool = False) -> None:
        """`exact` keeps the type in which the source stores an array; otherwise it is float32."""
        self.folder, self.exact = folder, exact

    def __call__(self, name: str, shape: tuple[int, ...], stored: np.dtype[Any]) -> ndarray:
        """A new array, with its room on the disk; `AllocationError` where there is too little."""
        path = self.folder / f"{name.replace('/', '.')}.npy"
        try:
            mapped = np.lib.format.open_memmap(path, "w+", stored if self.exact else np.dtype(np.float32), shape)
            if hasattr(os, "posix_fallocate"):
                # a write to a mapping for which the disk has no room would kill the process
                with path.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            raise AllocationError(f"{self.folder}: {error.strerror or error}") from error
        return mapped.view(ndarray)


def read_cached(path: Path, chosen: Format) -> Recording:
    """Read a file or folder through the cache; raises what its reader raises."""
    cache = cache_folder()
    if cache is None:
        return chosen.read(path, in_memory, False)
    try:
        folder = cache / _digest(cache, path, chosen)
        with suppress(OSError, ValueError):  # there is none yet, or it is damaged
            return _mapped(folder)
        with locked(cache / f"{folder.name}.lock"):
            with suppress(OSError, ValueError):  # another process has made it meanwhile
                return _mapped(folder)
            _build(folder, path, chosen)
        return _mapped(folder)
    except (OSError, AllocationError) as error:
        recording = chosen.read(path, in_memory, False)
        why = f"read into memory, since the cache cannot be used: {error}"
        return replace(recording, notes=(*recording.notes, why))


def cached_datasets() -> list[CachedDataset]:
    """The entries of the cache, the largest first."""
    cache = cache_folder()
    if cache is None or not cache.is_dir():
        return []
    current = {note.digest for note in _notes(cache) if _stamp(Path(note.path)) == note.stamp}
    found = []
    for folder in cache.iterdir():
        with suppress(OSError, ValueError):
            size = sum(path.stat().st_size for path in folder.iterdir())
            found.append(CachedDataset(folder, _entry(folder), size, folder.name in current))
    return sorted(found, key=lambda dataset: -dataset.size_bytes)


def clear_cache(stale_only: bool = False) -> list[CachedDataset]:
    """Delete the entries, or those whose source has changed or gone; returns what was deleted.

    A process that has an entry open goes on with it (on Windows, such an entry cannot be deleted: `OSError`).
    """
    deleted = [dataset for dataset in cached_datasets() if not (stale_only and dataset.current)]
    for dataset in deleted:
        shutil.rmtree(dataset.folder)
    return deleted


def _build(folder: Path, path: Path, chosen: Format) -> None:
    """Read a source into an entry, which appears when it is whole."""
    building = folder.with_name(f".{folder.name}.building")  # one name, so that a killed process leaves one at most
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        recording = chosen.read(path, MappedArrays(building), False)
        for name in _LOADED:
            values, file = getattr(recording, name), building / f"{name}.npy"
            if values is None:  # the reader may have filled an array and found that it means nothing
                file.unlink(missing_ok=True)
            elif not file.exists():
                np.save(file, values)
        entry = Entry(
            source=str(path.resolve()),
            format=chosen.name,
            steps=recording.steps,
            episodes=recording.episodes,
            choices=recording.choices,
            env_id=recording.env_id,
            references=recording.references,
            about=recording.about,
            notes=recording.notes,
        )
        write_json(building / "entry.json", asdict(entry))
        for written in building.iterdir():
            with written.open("rb") as opened:
                os.fsync(opened.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _mapped(folder: Path) -> Recording:
    """An entry's recording; `OSError` or `ValueError` where there is none or it is damaged."""
    entry = _entry(folder)
    arrays: dict[str, Any] = {name: _array(folder, name) for name in _MAPPED}
    for name in _LOADED:
        found = _array(folder, name) if (folder / f"{name}.npy").exists() else None
        arrays[name] = None if found is None else found.copy()
    shared = {name: getattr(entry, name) for name in ("choices", "env_id", "references", "about", "notes")}
    return Recording(**arrays, **shared)


def _array(folder: Path, name: str) -> ndarray:
    """One array of an entry, mapped: a header that claims more than the file holds is refused."""
    try:
        mapped: ndarray = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False).view(ndarray)
    except OSError:
        raise
    except Exception as error:  # numpy parses a header as Python's literals, and lets their errors through
        raise ValueError(f"{folder / name}.npy is damaged: {error}") from error
    return mapped


def _entry(folder: Path) -> Entry:
    return record_from_dict(read_json(folder / "entry.json"), Entry, str(folder / "entry.json"))


def _digest(cache: Path, path: Path, chosen: Format) -> str:
    """The name of the entry for a source as it is now."""
    source = path.resolve()
    note_path = cache / "sources" / f"{hashlib.sha256(str(source).encode()).hexdigest()[:32]}.json"
    stamp = _stamp(source)
    with suppress(OSError, ValueError):
        note = record_from_dict(read_json(note_path), Note, str(note_path))
        if note.stamp == stamp:
            return note.digest
    digest = hashlib.sha256(f"{FORMAT} {chosen.name}".encode())
    for file in _files(source):
        digest.update(f"\0{file.relative_to(source)} {file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            while block := opened.read(BLOCK_BYTES):
                digest.update(block)
    name = digest.hexdigest()[:32]
    changed = max(file.stat().st_ctime_ns for file in _files(source))
    if time.time_ns() - changed > _GRAIN_NS:
        note_path.parent.mkdir(parents=True, exist_ok=True)
        write_json(note_path, asdict(Note(str(source), stamp, name)))
    cache.mkdir(parents=True, exist_ok=True)
    return name


def _stamp(source: Path) -> tuple[str, ...]:
    """What changes with a source: what is copied over a file changes its inode or a time, if not its size."""
    stamps = []
    with suppress(OSError):
        for file in _files(source):
            seen = file.stat()
            facts = (seen.st_size, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns)
            stamps.append(f"{file.relative_to(source)} {' '.join(map(str, facts))}")
    return tuple(stamps)


def _files(source: Path) -> list[Path]:
    """The file, or all files of the folder."""
    return sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]


def _notes(cache: Path) -> Iterator[Note]:
    for path in (cache / "sources").glob("*.json"):
        with suppress(OSError, ValueError):
            yield record_from_dict(read_json(path), Note, str(path))
