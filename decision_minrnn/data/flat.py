"""D4RL's layout, wherever it is stored: flat arrays by name, one row a step (Fu et al. 2020, "D4RL").

`observations [N,O]`, `actions [N,A]` (or `[N]` whole numbers: indices of choices), `rewards [N]`, `terminals [N]` (the
environment ended the episode) and `timeouts [N]` (it was cut), float32 or float64; perhaps `next_observations [N,O]`,
`infos/* [N,...]` and `metadata/*`. An episode ends where either mark is set. Steps after the last mark are an
unfinished episode, without either mark: its returns-to-go are lower bounds, so `load_dataset` leaves it out unless
asked for.

`content` below maps these names to arrays, or to what is indexed like one (an HDF5 dataset, which is read in blocks).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from decision_minrnn.cards import Reference
from decision_minrnn.data.base import Allocate, Recording, in_memory, row_blocks
from decision_minrnn.data.checks import check_dimensions, check_lengths, check_recording
from decision_minrnn.data.raw import LayoutFault, RawRecording
from decision_minrnn.errors import DataError

REFERENCE = "metadata"
"""Name of the score reference that `metadata/ref_min_score` and `metadata/ref_max_score` make."""

_AXES = {
    "observations": ("steps", "observation"),
    "actions": ("steps", "action"),
    "rewards": ("steps",),
    "terminals": ("steps",),
    "timeouts": ("steps",),
}


def read_flat(where: str, content: Mapping[str, Any], allocate: Allocate, with_infos: bool) -> Recording:
    """A recording of what `content` holds; an unfinished episode at its end comes last.

    Raises `DataError`, which begins with `where`, for a missing array, unequal lengths, values that are not finite, and
    for content without a complete episode.
    """
    check_arrays(where, content)
    terminals, timeouts = _flags(content["terminals"]), _flags(content["timeouts"])
    ends = np.flatnonzero(terminals | timeouts)
    if len(ends) == 0:
        raise DataError(
            f"{where}: there is no complete episode in it: neither terminals nor timeouts is set in any of its "
            f"{len(terminals):,} steps."
        )
    if ends[-1] + 1 < len(terminals):
        ends = np.append(ends, len(terminals) - 1)
    observations = _read("observations", content["observations"], allocate)
    following, notes = _final_observations(content, observations, ends, allocate)
    recording = Recording(
        observations=observations,
        actions=_read("actions", content["actions"], allocate, axes=2),
        rewards=_read("rewards", content["rewards"], allocate),
        offsets=np.concatenate([[0], ends + 1]).astype(np.int64),
        terminated=terminals[ends],
        truncated=timeouts[ends],
        final_observations=following,
        infos={name: _read(name, content[f"infos/{name}"], allocate) for name in _infos(content)} if with_infos else {},
        choices=_choices(content),
        action_low=_bounds(content, "action_low"),
        action_high=_bounds(content, "action_high"),
        env_id=_text(content, "env_id"),
        references=_references(content),
        about={key: value for key in ("algorithm", "description") if (value := _text(content, key))},
        notes=notes,
    )
    check_recording(where, recording.without_unfinished())
    return recording


def read_raw_flat(where: str, content: Mapping[str, Any]) -> RawRecording:
    """All that `content` holds, faults included, for `data check`."""
    env_id = _text(content, "env_id")
    problem = _layout_fault(where, content)
    if problem is not None:
        return RawRecording.without_steps(problem, env_id)
    terminals, timeouts = _flags(content["terminals"]), _flags(content["timeouts"])
    return RawRecording(
        observations=_read("observations", content["observations"], in_memory),
        actions=_read("actions", content["actions"], in_memory, axes=2),
        rewards=_read("rewards", content["rewards"], in_memory),
        terminals=terminals,
        timeouts=timeouts,
        ends=np.flatnonzero(terminals | timeouts).astype(np.int64),
        next_observations=_optional(content, "next_observations"),
        positions=_optional(content, "infos/qpos"),
        velocities=_optional(content, "infos/qvel"),
        choices=_choices(content),
        action_low=_bounds(content, "action_low"),
        action_high=_bounds(content, "action_high"),
        references=_references(content),
        env_id=env_id,
    )


def flat_content(recording: Recording) -> Iterator[tuple[str, ndarray]]:
    """The inverse of `read_flat`: the arrays by name, one after another.

    `next_observations` are written where the final ones are known. What follows from a card is not repeated, but what
    only the recording says is: environment, bounds, reference scores, algorithm and description, in `metadata/`.
    """
    ends = recording.offsets[1:] - 1
    yield "observations", recording.observations
    yield "actions", recording.actions if recording.choices is None else recording.indices
    yield "rewards", recording.rewards
    for name, of_episode in (("terminals", recording.terminated), ("timeouts", recording.truncated)):
        marks = np.zeros(recording.steps, bool)
        marks[ends] = of_episode
        yield name, marks
    if recording.final_observations is not None:
        following = np.empty_like(recording.observations)
        following[:-1] = recording.observations[1:]
        following[ends] = recording.final_observations
        yield "next_observations", following
    for name, values in recording.infos.items():
        yield f"infos/{name}", values
    if recording.env_id is not None:
        yield "metadata/env_id", np.array(recording.env_id)
    if recording.choices is not None:
        yield "metadata/choices", np.array(recording.choices)
    for name, bound in (("action_low", recording.action_low), ("action_high", recording.action_high)):
        if bound is not None:
            yield f"metadata/{name}", bound
    for name, text in recording.about.items():
        yield f"metadata/{name}", np.array(text)
    for reference in list(recording.references.values())[:1]:
        yield "metadata/ref_min_score", np.array(reference.min)
        yield "metadata/ref_max_score", np.array(reference.max)
        yield "metadata/ref_score_source", np.array(reference.source)


def check_arrays(where: str, content: Mapping[str, Any]) -> None:
    """The five arrays are there, with their axes and equal lengths."""
    missing = [name for name in _AXES if not hasattr(content.get(name), "shape")]
    if missing == ["timeouts"]:
        raise DataError(
            f"{where}: the array timeouts is missing. Without it the episodes that a time limit cut cannot be told "
            f"apart. D4RL's v0 files and some converters leave it out: use the v2 file, or add a bool array [N] that "
            f"is true at the last step of each episode that did not terminate."
        )
    if missing:
        found = ", ".join(content) or "nothing"
        raise DataError(
            f"{where}: {', '.join(missing)} missing. D4RL's layout needs {', '.join(_AXES)}; the file holds {found}."
        )
    for name, axes in _AXES.items():
        choices = name == "actions" and content[name].dtype.kind in "iu" and len(content[name].shape) == 1
        check_dimensions(where, name, content[name].shape, ("steps",) if choices else axes)
        if _array(content, name) is None:
            raise DataError(f"{where}: {name} should hold numbers, but holds {content[name].dtype}.")
    check_lengths(where, {name: content[name].shape[0] for name in _AXES})


def _layout_fault(where: str, content: Mapping[str, Any]) -> LayoutFault | None:
    """Why the rows cannot be read as steps; `check_arrays` says so too, but knows no T+1 layout."""
    shapes = {name: getattr(content[name], "shape", ()) for name in _AXES if name in content}
    lengths = {name: shape[0] for name, shape in shapes.items() if shape}
    steps = lengths.get("rewards", 0)
    if len(lengths) == len(_AXES) and shapes["terminals"] == shapes["timeouts"] == (steps,):
        episodes = int((_flags(content["terminals"]) | _flags(content["timeouts"])).sum()) if steps else 0
        others = {length for name, length in lengths.items() if name != "observations"}
        if others == {steps} and episodes and lengths["observations"] == steps + episodes:
            return LayoutFault(
                f"there are {lengths['observations']:,} observations for {steps:,} actions: T+1 rows in each of the "
                f"{episodes:,} episodes",
                "Leave out the last observation of each episode, or store the file in Minari's layout.",
                {**lengths, "episodes": episodes},
            )
    try:
        check_arrays(where, content)
    except DataError as error:
        return LayoutFault(str(error), "Mend the file as the message says, then check it again.", lengths)
    return None


def _final_observations(
    content: Mapping[str, Any], observations: ndarray, ends: ndarray, allocate: Allocate
) -> tuple[ndarray | None, tuple[str, ...]]:
    """The next observation of each episode's last step, if next observations are stored and are what follows."""
    stored = _array(content, "next_observations", observations.shape)
    if stored is None:
        return None, ()
    final = allocate("final_observations", (len(ends), observations.shape[1]), stored.dtype)
    differing = 0
    for rows in _blocks(stored):
        following = np.asarray(stored[rows], observations.dtype)
        inside = np.flatnonzero((ends >= rows.start) & (ends < rows.stop))
        final[inside] = following[ends[inside] - rows.start]
        expected = observations[rows.start + 1 : rows.stop + 1]
        differs = (following[: len(expected)] != expected).any(axis=1)
        differs[ends[inside][ends[inside] - rows.start < len(expected)] - rows.start] = False
        differing += int(differs.sum())
    notes = (f"next_observations differ from the observation that follows in {differing:,} steps",) if differing else ()
    return final, notes


def _infos(content: Mapping[str, Any]) -> list[str]:
    """Names of the arrays in `infos/` with one row of numbers a step."""
    names = [name.removeprefix("infos/") for name in content if name.startswith("infos/")]
    names += list(content["infos"]) if "infos" in content else []
    stored = {name: _array(content, f"infos/{name}") for name in names}
    steps = content["rewards"].shape
    return [name for name, values in stored.items() if values is not None and values.shape[:1] == steps]


def _array(content: Mapping[str, Any], name: str, shape: tuple[int, ...] | None = None) -> Any | None:
    """The numbers stored under a name; None where there are none, or not of that shape."""
    stored = content.get(name)
    if getattr(getattr(stored, "dtype", None), "kind", "") not in ("f", "i", "u", "b"):
        return None
    assert stored is not None
    return stored if shape in (None, stored.shape) else None


def _read(name: str, stored: Any, allocate: Allocate, axes: int = 0) -> ndarray:
    """An array, block by block, with axes of one added behind up to `axes`."""
    shape = (*stored.shape, *[1] * (axes - len(stored.shape)))
    values = allocate(name, shape, stored.dtype)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and check_recording refuses it
        for rows in _blocks(stored):
            values[rows] = stored[rows].reshape(-1, *shape[1:])
    return values


def _blocks(stored: Any) -> Iterator[slice]:
    """Rows to read at once; whole chunks of a chunked HDF5 dataset, which are unpacked as one."""
    row_bytes = stored.dtype.itemsize * int(np.prod(stored.shape[1:]))
    return row_blocks(stored.shape[0], row_bytes, (getattr(stored, "chunks", None) or (1,))[0])


def _optional(content: Mapping[str, Any], name: str) -> Float32[ndarray, "steps size"] | None:
    """An array that not every file has; None where it is absent or has another shape than one row a step."""
    stored = _array(content, name)
    if stored is None or len(stored.shape) != 2 or stored.shape[:1] != content["rewards"].shape:
        return None
    return _read(name, stored, in_memory)


def _flags(stored: Any) -> Bool[ndarray, " steps"]:
    """The whole array as bool; D4RL stores bool, some converters 0 and 1."""
    flags: ndarray = np.asarray(stored[()]).astype(bool)
    return flags


def _text(content: Mapping[str, Any], name: str) -> str | None:
    """`metadata/NAME`, text or bytes, an array of no axes or an attribute of the group; None where absent."""
    stored = content.get(f"metadata/{name}")
    value = stored[()] if stored is not None and getattr(stored, "shape", None) == () else None
    if value is None:
        value = getattr(content.get("metadata"), "attrs", {}).get(name)
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    return str(value) if isinstance(value, str) and value else None


def _choices(content: Mapping[str, Any]) -> int | None:
    """How many actions there are to choose from: what the metadata say; else, of whole numbers, up to the highest."""
    stored, actions = _array(content, "metadata/choices", ()), content["actions"]
    if stored is not None:
        return int(stored[()])
    whole = actions.dtype.kind in "iu" and actions.shape[1:] in ((), (1,))
    return int(np.max(actions[()])) + 1 if whole else None


def _bounds(content: Mapping[str, Any], name: str) -> Float32[ndarray, " action"] | None:
    stored = _array(content, f"metadata/{name}", content["actions"].shape[1:])
    return None if stored is None else np.asarray(stored[()], np.float32)


def _references(content: Mapping[str, Any]) -> dict[str, Reference]:
    low, high = (_array(content, f"metadata/{name}", ()) for name in ("ref_min_score", "ref_max_score"))
    if low is None or high is None or not float(low[()]) < float(high[()]):
        return {}
    source = _text(content, "ref_score_source") or "ref_min_score and ref_max_score in the file's metadata"
    return {REFERENCE: Reference(float(low[()]), float(high[()]), source)}
