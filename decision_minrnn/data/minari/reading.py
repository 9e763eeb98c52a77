"""Reader of Minari datasets by folder, in any of Minari's storage formats (HDF5, Arrow, Parquet).

Minari stores T+1 observations in an episode of T actions: the last one is what the last action led to, and no action
follows it. Only the first T become rows, so that row t holds the observation that action t was taken on; the last is
kept as the episode's final observation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from decision_minrnn.cards import Reference
from decision_minrnn.data.base import Allocate, AllocationError, Format, Recording, in_memory
from decision_minrnn.data.checks import check_claim, check_recording
from decision_minrnn.data.d4rl import opened_hdf5
from decision_minrnn.data.minari.places import data_folder
from decision_minrnn.data.raw import LayoutFault, RawRecording
from decision_minrnn.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from minari import EpisodeData, MinariDataset

REFERENCE = "minari-metadata"
"""Name of the score reference that a dataset's own `ref_min_score` and `ref_max_score` make."""
NO_FINAL_OBSERVATIONS = "final_observations_repeat_the_last"
"""Metadata key, true where the T+1st observations were not recorded and are copies of the Tth."""


def read_minari(folder: Path, allocate: Allocate = in_memory, with_infos: bool = False) -> Recording:
    """Read a dataset by its folder; a last episode without an end mark is unfinished.

    Raises `DataError` for observations other than flat boxes and actions other than these or discrete, for an episode
    without T+1 observations, for steps that do not add up to the metadata's, for values that are not finite and for a
    dataset that minari cannot open; `MissingExtraError` where a storage format needs pyarrow.
    """
    where = str(folder)
    with _opened(folder) as dataset:
        recording = _read_episodes(where, dataset, allocate, with_infos)
    check_recording(where, recording.without_unfinished())
    return recording


def read_raw_minari(folder: Path) -> RawRecording:
    """Read all that a dataset holds, faults included, for `data check`; next observations are the T+1st rows' own.

    Raises as `read_minari` does, but for the episodes' content.
    """
    with _opened(folder) as dataset:
        episodes = list(dataset.iterate_episodes())
        env_id = _env_id(dataset)
        actions_of = _action_facts(dataset.action_space)
        metadata = dataset.storage.metadata
    lengths = np.array([len(episode.rewards) for episode in episodes], np.int64)
    wrong = [
        index
        for index, (episode, length) in enumerate(zip(episodes, lengths, strict=True))
        if (len(episode.observations), len(episode.actions)) != (length + 1, length) or length == 0
    ]
    if wrong or not episodes:
        problem = LayoutFault(
            f"{len(wrong):,} of {len(episodes):,} episodes do not have T+1 observations for T actions and rewards"
            + (f", first episode {wrong[0]:,}" if wrong else ""),
            "Record the dataset again with minari, which stores the last observation of each episode too.",
            {"episodes": len(episodes), "faulty": len(wrong)},
        )
        return RawRecording.without_steps(problem, env_id)
    with np.errstate(over="ignore"):
        observations, following, actions, rewards = (
            np.concatenate([np.asarray(rows) for rows in parts]).astype(np.float32)
            for parts in (
                [episode.observations[:-1] for episode in episodes],
                [episode.observations[1:] for episode in episodes],
                [_action_rows(episode, dataset) for episode in episodes],
                [episode.rewards for episode in episodes],
            )
        )
    ends = np.cumsum(lengths) - 1
    terminals = np.concatenate([np.asarray(episode.terminations, bool) for episode in episodes])
    timeouts = np.concatenate([np.asarray(episode.truncations, bool) for episode in episodes])
    timeouts[ends[:-1]] |= ~terminals[ends[:-1]]  # an episode without an end mark that another follows was cut
    return RawRecording(
        observations=observations,
        actions=actions,
        rewards=rewards,
        terminals=terminals,
        timeouts=timeouts,
        ends=ends[terminals[ends] | timeouts[ends]],
        next_observations=None if metadata.get(NO_FINAL_OBSERVATIONS) else following,
        env_id=env_id,
        **actions_of,
        references=_references(metadata),
    )


@contextmanager
def _opened(folder: Path) -> Iterator[MinariDataset]:
    """A dataset of flat observations and flat or discrete actions; whatever is wrong with it becomes a `DataError`."""
    from minari import MinariDataset

    data = data_folder(folder) or folder
    try:
        for file in data.glob("*.hdf5"):
            with opened_hdf5(file):
                pass  # it was looked at
        dataset = MinariDataset(data)
        _check_flat(str(folder), "observation", dataset.observation_space)
        if not _is_discrete(dataset.action_space):
            _check_flat(str(folder), "action", dataset.action_space)
        yield dataset
    except (DataError, MissingExtraError, AllocationError):
        raise
    except ImportError as error:
        if "pyarrow" in str(error):
            raise MissingExtraError("pyarrow", "arrow") from error
        raise DataError(f"minari cannot read the dataset in {folder}: {error}") from error
    except Exception as error:
        raise DataError(f"minari cannot read the dataset in {folder}: {type(error).__name__}: {error}") from error


def _read_episodes(where: str, dataset: MinariDataset, allocate: Allocate, with_infos: bool) -> Recording:
    """All episodes into arrays of the final size, each episode copied once."""
    total, episodes = int(dataset.total_steps), int(dataset.total_episodes)
    stored = sum(path.stat().st_size for path in dataset.storage.data_path.rglob("*"))
    check_claim(where, "the metadata", np.float32().itemsize * max(total, episodes), stored)
    metadata = dataset.storage.metadata
    arrays: dict[str, ndarray] = {}
    infos: dict[str, ndarray] = {}
    offsets = np.zeros(episodes + 1, np.int64)
    terminated, truncated = np.zeros(episodes, bool), np.zeros(episodes, bool)
    end = 0
    for index, episode in enumerate(dataset.iterate_episodes()):
        start, end = end, end + len(episode.rewards)
        if end > total:
            break
        _check_rows(where, index, episode, dataset)
        actions = _action_rows(episode, dataset)
        rows = {"observations": episode.observations[:-1], "actions": actions, "rewards": episode.rewards}
        if not arrays:
            arrays = _allocated(rows, total, allocate)
            final = allocate(
                "final_observations", (episodes, *rows["observations"].shape[1:]), arrays["observations"].dtype
            )
            infos = _allocated(_info_rows(episode), total, allocate) if with_infos else {}
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and check_recording refuses it
            for name, values in arrays.items():
                values[start:end] = rows[name]
            final[index] = episode.observations[-1]
        for name, values in _info_rows(episode).items():
            if name in infos:
                infos[name][start:end] = values
        offsets[index + 1] = end
        terminated[index] = bool(np.any(episode.terminations[-1:]))
        truncated[index] = bool(np.any(episode.truncations[-1:]))
    if end != total or offsets[-1] != total:
        raise DataError(f"{where}: the metadata counts {total:,} steps in {episodes:,} episodes; the data differs.")
    if not arrays:
        raise DataError(f"{where}: there are no episodes in it.")
    unmarked = int(np.sum(~(terminated | truncated)[:-1]))
    truncated[:-1] |= ~terminated[:-1]
    return Recording(
        observations=arrays["observations"],
        actions=arrays["actions"],
        rewards=arrays["rewards"],
        offsets=offsets,
        terminated=terminated,
        truncated=truncated,
        final_observations=None if metadata.get(NO_FINAL_OBSERVATIONS) else final,
        infos=infos,
        **_action_facts(dataset.action_space),
        env_id=_env_id(dataset),
        references=_references(metadata),
        about=_about(metadata),
        notes=(f"{unmarked:,} episodes without an end mark, taken as truncated",) if unmarked else (),
    )


def _check_rows(where: str, index: int, episode: EpisodeData, dataset: MinariDataset) -> None:
    """Every episode has the layout of the first, and of the spaces."""
    steps = len(episode.rewards)
    found = tuple(np.shape(rows) for rows in (episode.observations, episode.actions, episode.rewards))
    seen, done = dataset.observation_space.shape, dataset.action_space.shape
    if found != ((steps + 1, *seen), (steps, *done), (steps,)):
        shapes = ", ".join(map(str, map(list, found)))
        raise DataError(
            f"{where}: episode {index} holds observations, actions and rewards of the shapes {shapes}. Minari's layout "
            f"has T+1 observations of shape {list(seen)} for T actions of shape {list(done)} and T rewards."
        )


def _allocated(rows: Mapping[str, ndarray], total: int, allocate: Allocate) -> dict[str, ndarray]:
    """Arrays for all steps, from those of one episode."""
    return {
        name: allocate(name, (total, *np.shape(values)[1:]), np.asarray(values).dtype) for name, values in rows.items()
    }


def _info_rows(episode: EpisodeData) -> dict[str, ndarray]:
    """The numbers in an episode's infos that have a row for each of its steps, as minari's T+1 rows do."""
    steps = len(episode.rewards)
    return {
        name: values[:steps]
        for name, values in (episode.infos or {}).items()
        if isinstance(values, ndarray) and values.dtype.kind in "fiub" and len(values) in (steps, steps + 1)
    }


def _check_flat(where: str, kind: str, space: Any) -> None:
    """A flat box space; a `DataError` that names any other."""
    shape = getattr(space, "shape", None)
    if type(space).__name__ == "Box" and shape is not None and len(shape) == 1 and shape[0] > 0:
        return
    described = re.sub(r"\s+", " ", str(space))
    raise DataError(
        f"{where}: the {kind} space is {described[:200]}. Only flat vectors of numbers can be learned from, a Box with "
        f"one axis, or a Discrete space of actions; images, dictionaries and tuples cannot. Flatten the recordings "
        f"first, for example with gymnasium's FlattenObservation wrapper."
    )


def _is_discrete(space: Any) -> bool:
    return type(space).__name__ == "Discrete"


def _action_rows(episode: EpisodeData, dataset: MinariDataset) -> ndarray:
    """Actions [T, A], or [T, 1] counted from zero."""
    space = dataset.action_space
    return np.asarray(episode.actions)[:, None] - space.start if _is_discrete(space) else episode.actions


def _action_facts(space: Any) -> dict[str, Any]:
    """Choices, or bounds."""
    if _is_discrete(space):
        return {"choices": int(space.n)}
    return {"action_low": _bound(space.low), "action_high": _bound(space.high)}


def _bound(values: ndarray) -> Float32[ndarray, " action"]:
    bound: ndarray = np.asarray(values, np.float32).copy()
    return bound


def _env_id(dataset: MinariDataset) -> str | None:
    return dataset.env_spec.id if dataset.env_spec else None


def _about(metadata: Mapping[str, Any]) -> dict[str, str]:
    found = {"algorithm": metadata.get("algorithm_name"), "description": metadata.get("description")}
    return {name: text for name, text in found.items() if isinstance(text, str) and text}


def _references(metadata: Mapping[str, Any]) -> dict[str, Reference]:
    """The reference that the metadata holds, if it holds both numbers."""
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    if low is None or high is None or not float(low) < float(high):
        return {}
    source = metadata.get("ref_score_source") or "ref_min_score and ref_max_score in the dataset's metadata"
    return {REFERENCE: Reference(float(low), float(high), str(source))}


def _accepts(path: Path) -> bool:
    return path.is_dir() and data_folder(path) is not None


FORMAT = Format("Minari dataset", "minari", _accepts, read_minari, read_raw_minari)
