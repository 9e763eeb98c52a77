"""Reader of HDF5 files in D4RL's layout (Fu et al. 2020, "D4RL: Datasets for Deep Data-Driven Reinforcement Learning").

Flat arrays, one row a step: `observations [N,O]`, `actions [N,A]`, `rewards [N]`, `terminals [N]` (the environment
ended the episode) and `timeouts [N]` (it was cut), float32 or float64; perhaps `metadata/env_id`. An episode ends where
either mark is set. Steps after the last mark are an unfinished episode, without either mark: its returns-to-go are
lower bounds, so `load_dataset` leaves it out unless asked for. This is the only file that imports h5py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from decision_minrnn.data.base import Recording, reader
from decision_minrnn.data.checks import check_dimensions, check_file, check_lengths, check_recording
from decision_minrnn.data.raw import LayoutFault, RawRecording
from decision_minrnn.errors import DataError

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".hdf5", ".h5")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""First bytes of every HDF5 file."""
_AXES = {
    "observations": ("steps", "observation"),
    "actions": ("steps", "action"),
    "rewards": ("steps",),
    "terminals": ("steps",),
    "timeouts": ("steps",),
}


def looks_like_hdf5(path: Path) -> bool:
    """Whether it is a file that ends like HDF5 or begins like it."""
    if not path.is_file():
        return False
    if path.suffix in SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


@reader("D4RL-layout HDF5", accepts=looks_like_hdf5)
def read_d4rl(path: Path) -> Recording:
    """Read one file; an unfinished episode at its end comes last.

    Raises `DataError` for a missing, empty, truncated or foreign file, a missing array, unequal lengths, values that
    are not finite, and a file without a complete episode.
    """
    with _opened(path) as file:
        _check_arrays(path, file)
        observations = _floats(file["observations"])
        actions = _floats(file["actions"])
        rewards = _floats(file["rewards"])
        terminals = _flags(file["terminals"])
        timeouts = _flags(file["timeouts"])
        env_id = _env_id(file)

    ends = np.flatnonzero(terminals | timeouts)
    if len(ends) == 0:
        raise DataError(
            f"{path}: there is no complete episode in it: neither terminals nor timeouts is set in any of its "
            f"{len(rewards):,} steps."
        )
    if ends[-1] + 1 < len(rewards):
        ends = np.append(ends, len(rewards) - 1)
    recording = Recording(
        observations=observations,
        actions=actions,
        rewards=rewards,
        offsets=np.concatenate([[0], ends + 1]).astype(np.int64),
        terminated=terminals[ends],
        truncated=timeouts[ends],
        env_id=env_id,
    )
    check_recording(str(path), recording.without_unfinished())
    return recording


def read_raw_d4rl(path: Path) -> RawRecording:
    """Read all that a file holds, faults included, for `data check`.

    Raises `DataError` only where there is nothing to look at: a missing, damaged or foreign file.
    """
    with _opened(path) as file:
        env_id = _env_id(file)
        problem = _layout_fault(file)
        if problem is not None:
            return RawRecording.without_steps(problem, env_id)
        terminals, timeouts = _flags(file["terminals"]), _flags(file["timeouts"])
        return RawRecording(
            observations=_floats(file["observations"]),
            actions=_floats(file["actions"]),
            rewards=_floats(file["rewards"]),
            terminals=terminals,
            timeouts=timeouts,
            ends=np.flatnonzero(terminals | timeouts).astype(np.int64),
            next_observations=_optional(file, "next_observations", axes=2),
            positions=_optional(file, "infos/qpos", axes=2),
            velocities=_optional(file, "infos/qvel", axes=2),
            env_id=env_id,
        )


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to read from; whatever is wrong with it becomes a `DataError`."""
    import h5py

    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(f"the file {path} cannot be read: {error.strerror or error}.") from error
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(
            f"{path} is damaged, incomplete or not an HDF5 file ({path.stat().st_size:,} bytes): {error}. "
            f"Copy or download it again."
        ) from error


def _layout_fault(file: h5py.File) -> LayoutFault | None:
    """Why the rows of a file cannot be read as steps; `_check_arrays` says so too, but knows no T+1 layout."""
    shapes = {name: getattr(file[name], "shape", ()) for name in _AXES if name in file}
    lengths = {name: shape[0] for name, shape in shapes.items() if shape}
    if len(lengths) == len(_AXES):
        steps = lengths["rewards"]
        episodes = int((_flags(file["terminals"]) | _flags(file["timeouts"])).sum()) if steps else 0
        others = {length for name, length in lengths.items() if name != "observations"}
        if others == {steps} and episodes and lengths["observations"] == steps + episodes:
            return LayoutFault(
                f"there are {lengths['observations']:,} observations for {steps:,} actions: T+1 rows in each of the "
                f"{episodes:,} episodes",
                "Leave out the last observation of each episode, or store the file in Minari's layout.",
                {**lengths, "episodes": episodes},
            )
    try:
        _check_arrays(Path(file.filename), file)
    except DataError as error:
        return LayoutFault(str(error), "Mend the file as the message says, then check it again.", lengths)
    return None


def _optional(file: h5py.File, name: str, axes: int) -> Float32[ndarray, "steps size"] | None:
    """An array that not every file has; None where it is absent or has another shape than one row a step."""
    import h5py

    stored = file.get(name)
    if not isinstance(stored, h5py.Dataset) or stored.dtype.kind not in "fiu":
        return None
    return _floats(stored) if len(stored.shape) == axes and len(stored) == len(file["rewards"]) else None


def _check_arrays(path: Path, file: h5py.File) -> None:
    """The five arrays are there, with their axes and equal lengths."""
    import h5py

    missing = [name for name in _AXES if not isinstance(file.get(name), h5py.Dataset)]
    if missing == ["timeouts"]:
        raise DataError(
            f"{path}: the array timeouts is missing. Without it the episodes that a time limit cut cannot be told "
            f"apart. D4RL's v0 files and some converters leave it out: use the v2 file, or add a bool array [N] that "
            f"is true at the last step of each episode that did not terminate."
        )
    if missing and "episode_0" in file:
        raise DataError(f"{path} is part of a Minari dataset: give the folder that holds it ({path.parent}).")
    if missing:
        found = ", ".join(file) or "nothing"
        raise DataError(
            f"{path}: {', '.join(missing)} missing. D4RL's layout needs {', '.join(_AXES)}; the file holds {found}."
        )
    for name, axes in _AXES.items():
        check_dimensions(str(path), name, file[name].shape, axes)
        if file[name].dtype.kind not in "fiub":
            raise DataError(f"{path}: {name} should hold numbers, but holds {file[name].dtype}.")
    check_lengths(str(path), {name: file[name].shape[0] for name in _AXES})


def _floats(dataset: h5py.Dataset) -> Float32[ndarray, "..."]:
    """The whole array as float32, converted while it is read."""
    values: ndarray = dataset.astype(np.float32)[()] if dataset.dtype.kind != "b" else dataset[()].astype(np.float32)
    return values


def _flags(dataset: h5py.Dataset) -> Bool[ndarray, " steps"]:
    """The whole array as bool; D4RL stores bool, some converters 0 and 1."""
    flags: ndarray = np.asarray(dataset[()]).astype(bool)
    return flags


def _env_id(file: h5py.File) -> str | None:
    """`metadata/env_id`, stored as text or bytes, as a dataset or an attribute of the group; None where absent."""
    import h5py

    group = file.get("metadata")
    if not isinstance(group, h5py.Group):
        return None
    stored = group.get("env_id")
    value = stored[()] if isinstance(stored, h5py.Dataset) else group.attrs.get("env_id")
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) and value else None
