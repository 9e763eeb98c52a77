"""Writing recordings: to a file in D4RL's layout (HDF5 or npz), or as a Minari dataset.

What is written is read back equal to the bit: arrays, episode ends, an unfinished last episode, final observations,
infos, bounds, environment, algorithm and description. Of several reference scores the first is written.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from decision_minrnn.data.base import AllocationError, Recording
from decision_minrnn.data.cache import MappedArrays
from decision_minrnn.data.d4rl import SUFFIXES, write_d4rl
from decision_minrnn.data.download import OnDownload
from decision_minrnn.data.fetch import fetch
from decision_minrnn.data.formats import format_of
from decision_minrnn.data.minari.places import data_folder, is_minari_id, local_folder
from decision_minrnn.data.minari.writing import Storage, write_minari
from decision_minrnn.data.npz import SUFFIX, write_npz
from decision_minrnn.data.resolve import join, locate
from decision_minrnn.errors import DataError


def save_dataset(
    data: Recording,
    target: str | os.PathLike[str],
    *,
    algorithm: str = "",
    description: str = "",
    storage: Storage = "hdf5",
    overwrite: bool = False,
) -> Path:
    """Write a dataset. It is at its place when it is whole, or not at all.

    Args:
        data: `Trajectories`, or a recording.
        target: a file (`.hdf5`, `.h5` or `.npz`: D4RL's layout), a Minari id (`namespace/name-v0`: in Minari's local
            folder) or any other folder (`./name`: a Minari dataset).
        algorithm: what recorded it, in place of what the data says.
        description: of the recording, in place of what the data says.
        storage: of a Minari dataset.
        overwrite: whether to replace what is there.

    Returns:
        The file or folder that was written.

    Raises:
        DataError: there is something already, or it cannot be written there.
        MissingExtraError: `storage` needs pyarrow, which is not installed.
    """
    about = {key: text for key, text in (("algorithm", algorithm), ("description", description)) if text}
    data = replace(data, about={**data.about, **about})
    path, write = _writer(os.fspath(target), storage)
    _check_place(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
    try:
        new = building / path.name
        write(data, new)
        if path.is_dir():
            path.rename(building / "old")
        new.replace(path)
    except OSError as error:
        raise DataError(f"{path} could not be written: {error.strerror or error}. Nothing was changed.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return path


def check_target(target: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raise the `DataError` that `save_dataset` would raise for a target, for what takes long to record."""
    _check_place(_writer(os.fspath(target), "hdf5")[0], overwrite)


def convert_dataset(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    env: str | None = None,
    keep_unfinished: bool = True,
    algorithm: str = "",
    description: str = "",
    storage: Storage = "hdf5",
    overwrite: bool = False,
    on_download: OnDownload | None = None,
) -> tuple[Path, str]:
    """Read a dataset as `load_dataset` does, but with infos and in the precision of its file, and `save_dataset` it.

    Returns the path that was written, and what was read in words; raises as these two do.
    """
    location = locate(source)
    fetch(location, (), on_download)
    chosen = format_of(location.path)
    with tempfile.TemporaryDirectory(prefix="decision-minrnn-") as folder:
        try:
            recording = chosen.read(location.path, MappedArrays(Path(folder), exact=True), True)
        except AllocationError as error:
            raise DataError(f"no room to unpack {location.asked}: {error}. TMPDIR names another folder.") from error
        data = join(recording, location, chosen, env, keep_unfinished)
        written = replace(data, references=recording.references or data.references)
        path = save_dataset(
            written, target, algorithm=algorithm, description=description, storage=storage, overwrite=overwrite
        )
    return path, data.source


def _check_place(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists already. Choose another target, or replace it with --overwrite.")
    if path.is_dir() and any(path.iterdir()) and data_folder(path) is None:
        raise DataError(f"the folder {path} holds something other than a Minari dataset, and is not replaced.")


def _writer(target: str, storage: Storage) -> tuple[Path, Callable[[Recording, Path], None]]:
    """Where a target is, and what writes it."""
    if "://" in target:
        raise DataError(f"{target} is an address. Datasets are written to files and folders of this machine.")
    path = Path(target).expanduser()
    if path.suffix in SUFFIXES:
        return path, write_d4rl
    if path.suffix == SUFFIX:
        return path, write_npz
    if is_minari_id(target) and not path.exists():
        return local_folder(target), lambda data, folder: write_minari(data, folder, target, storage)
    if path.suffix and not path.is_dir():
        raise DataError(
            f"{target} ends in {path.suffix}, which is no known format. Expected .hdf5, .h5, .npz, a folder or a "
            f"Minari id (namespace/name-v0)."
        )
    name = re.sub(r"[^-\w]+", "-", path.absolute().name)
    dataset_id = name if re.search(r"-v\d+$", name) else f"{name}-v0"
    return path, lambda data, folder: write_minari(data, folder, dataset_id, storage)
