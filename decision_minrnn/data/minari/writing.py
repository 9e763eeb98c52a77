"""Writer of datasets that plain minari reads: T+1 observations an episode, environment, reference scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from decision_minrnn.data.base import Recording
from decision_minrnn.data.minari.reading import NO_FINAL_OBSERVATIONS
from decision_minrnn.errors import MissingExtraError

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec
    from minari.data_collector import EpisodeBuffer

Storage = Literal["hdf5", "arrow", "parquet"]
MINARI_VERSION = "0.5.3"
"""The oldest Minari whose layout this is; a newer one reads it as well."""


def write_minari(recording: Recording, folder: Path, dataset_id: str, storage: Storage = "hdf5") -> None:
    """Write a recording into `folder/data`, which must not exist.

    Observations are unbounded boxes, actions discrete or boxes with the recording's own bounds, where it has any. Where
    final observations were not recorded, the last one is repeated in their place, and the metadata say so. Infos get a
    T+1st row in the same way.

    Raises `MissingExtraError` where `storage` needs pyarrow, which is not installed.
    """
    from minari.dataset.minari_storage import MinariStorage

    data = folder.absolute() / "data"  # minari looks for its own files below a relative path twice
    data.mkdir(parents=True)
    try:
        written = MinariStorage.new(
            data, *_spaces(recording), _env_spec(recording.env_id), data_format=storage, jpeg_encoding=False
        )
    except ImportError as error:
        raise MissingExtraError("pyarrow", "arrow") from error
    written.update_episodes(_buffers(recording))
    written.update_metadata({**_facts(recording), "dataset_id": dataset_id, "minari_version": MINARI_VERSION})


def _buffers(recording: Recording) -> Iterator[EpisodeBuffer]:
    from minari.data_collector import EpisodeBuffer

    for index in range(recording.episodes):
        rows = slice(recording.offsets[index], recording.offsets[index + 1])
        marks = np.zeros((2, rows.stop - rows.start), bool)
        marks[:, -1] = recording.terminated[index], recording.truncated[index]
        observations = recording.observations[rows]
        final = observations[-1] if recording.final_observations is None else recording.final_observations[index]
        yield EpisodeBuffer(
            observations=np.concatenate([observations, final[None]]),
            actions=np.asarray(recording.actions[rows] if recording.choices is None else recording.indices[rows]),
            rewards=np.asarray(recording.rewards[rows]),
            terminations=marks[0],
            truncations=marks[1],
            infos={name: np.concatenate([values[rows], values[rows][-1:]]) for name, values in recording.infos.items()},
        )


def _spaces(recording: Recording) -> tuple[Any, Any]:
    from gymnasium.spaces import Box, Discrete

    seen = Box(-np.inf, np.inf, recording.observations.shape[1:], recording.observations.dtype.type)
    if recording.choices is not None:
        return seen, Discrete(recording.choices)
    size, dtype = recording.actions.shape[1], recording.actions.dtype
    low = np.full(size, -np.inf) if recording.action_low is None else recording.action_low
    high = np.full(size, np.inf) if recording.action_high is None else recording.action_high
    return seen, Box(low.astype(dtype), high.astype(dtype), dtype=dtype.type)


def _env_spec(env_id: str | None) -> EnvSpec | None:
    """What gymnasium registers under an id; None where it does not know it."""
    import gymnasium

    spec = gymnasium.registry.get(env_id) if env_id else None
    creator: Any = spec.entry_point if spec else None
    if spec is None or not callable(creator):
        return spec
    # registered as a class or function, which JSON cannot hold: gymnasium takes its place in a module as well
    return replace(spec, entry_point=f"{creator.__module__}:{creator.__qualname__}")


def _facts(recording: Recording) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, key in (("algorithm", "algorithm_name"), ("description", "description")):
        if name in recording.about:
            facts[key] = recording.about[name]
    for reference in list(recording.references.values())[:1]:
        facts |= {
            "ref_min_score": reference.min,
            "ref_max_score": reference.max,
            "ref_score_source": reference.source,
        }
    if recording.final_observations is None:
        facts[NO_FINAL_OBSERVATIONS] = True
    return facts
