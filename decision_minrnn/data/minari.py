"""Reader of Minari datasets, by folder or by id. This is the only file that imports minari.

Minari stores T+1 observations in an episode of T actions: the last one is what the last action led to, and no action
follows it. Only the first T are kept, so that row t holds the observation that action t was taken on.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from decision_minrnn.cards import Reference
from decision_minrnn.data.base import Recording, reader
from decision_minrnn.data.checks import check_recording
from decision_minrnn.data.raw import LayoutFault, RawRecording
from decision_minrnn.data.web import forbidden_by
from decision_minrnn.errors import DataError

if TYPE_CHECKING:
    from minari import MinariDataset

REFERENCE = "minari-metadata"
"""Name of the score reference that a dataset's own `ref_min_score` and `ref_max_score` make."""

_ID = re.compile(r"(?:[a-z]+://[-\w.]+/)?(?:[-\w]+/)*[-\w]+-v\d+")
_HOSTS = {"hf": "https://huggingface.co", "gcp": "https://storage.googleapis.com"}


def is_minari_id(name: str) -> bool:
    """Whether a name has the form of a Minari id: `namespace/name-v0`, or a remote one, `hf://owner/namespace/name-v0`."""
    return "/" in name and _ID.fullmatch(name) is not None


def data_folder(folder: Path) -> Path | None:
    """The folder that holds `metadata.json`: the given one or its `data`; None if it is no Minari dataset."""
    return next((found for found in (folder / "data", folder) if (found / "metadata.json").is_file()), None)


def local_folder(minari_id: str) -> Path:
    """Where Minari keeps a dataset: in `MINARI_DATASETS_PATH`, else `~/.minari/datasets`. Creates nothing."""
    root = os.environ.get("MINARI_DATASETS_PATH")
    place = Path(root) if root else Path.home() / ".minari" / "datasets"
    return place / _split(minari_id)[1]


def download(minari_id: str, timeout: float = 4.0) -> Path:
    """Let minari download a dataset to its local folder, and return that folder.

    Raises `DataError` within about `timeout` seconds where its server cannot be reached (minari itself takes 20 s to
    notice), and where the server does not have that dataset.
    """
    remote, local_id = _split(minari_id)
    remote = remote or os.environ.get("MINARI_REMOTE", "hf://farama-minari")
    folder = local_folder(minari_id)
    host = _HOSTS.get(remote.partition("://")[0], "")
    if remote.startswith("hf://"):
        host = os.environ.get("HF_ENDPOINT", host)
    missing = f"{minari_id} is not on this machine ({folder})"
    advice = (
        f"Download it where there is a network (minari download {local_id}) and copy it to {folder}, "
        f"or set MINARI_DATASETS_PATH to the folder that holds it."
    )
    if variable := forbidden_by("HF_HUB_OFFLINE"):
        raise DataError(f"{missing}, and {variable} forbids downloads. {advice}")
    if host and not reachable(host, timeout):
        raise DataError(f"{missing}, and {host} cannot be reached. {advice}")
    from minari import download_dataset

    try:
        # minari reports its progress with print; standard output belongs to results.
        with contextlib.redirect_stdout(sys.stderr):
            download_dataset(f"{remote}/{local_id}")
    except Exception as error:
        raise DataError(f"minari could not download {minari_id} from {remote}: {error} {advice}") from error
    if data_folder(folder) is None:
        raise DataError(f"minari downloaded {minari_id} from {remote}, but there is no dataset in {folder}. {advice}")
    return folder


def reachable(url: str, timeout: float) -> bool:
    """Whether a server answers at all within `timeout` seconds, through the proxy if one is set.

    Name resolution has no time limit of its own, so the request runs in a thread that is left behind when it is late.
    """
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=timeout):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


@reader("Minari dataset", accepts=lambda path: path.is_dir() and data_folder(path) is not None)
def read_minari(folder: Path) -> Recording:
    """Read a dataset by its folder.

    Raises `DataError` for spaces other than flat boxes, for an episode without T+1 observations, for steps that do not
    add up to the metadata's, for values that are not finite and for a dataset that minari cannot open.
    """
    from minari import MinariDataset

    where = str(folder)
    try:
        dataset = MinariDataset(data_folder(folder) or folder)
        observation_size = _flat_size(where, "observation", dataset.observation_space)
        action_size = _flat_size(where, "action", dataset.action_space)
        recording = _read_episodes(where, dataset, observation_size, action_size)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"minari cannot read the dataset in {folder}: {type(error).__name__}: {error}") from error
    check_recording(where, recording)
    return recording


def read_raw_minari(folder: Path) -> RawRecording:
    """Read all that a dataset holds, faults included, for `data check`; next observations are the T+1st rows' own.

    Raises `DataError` for spaces other than flat boxes and for a dataset that minari cannot open.
    """
    from minari import MinariDataset

    where = str(folder)
    try:
        dataset = MinariDataset(data_folder(folder) or folder)
        for kind, space in (("observation", dataset.observation_space), ("action", dataset.action_space)):
            _flat_size(where, kind, space)
        episodes = list(dataset.iterate_episodes())
        env_id = dataset.env_spec.id if dataset.env_spec else None
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"minari cannot read the dataset in {folder}: {type(error).__name__}: {error}") from error
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
                [episode.actions for episode in episodes],
                [episode.rewards for episode in episodes],
            )
        )
    ends = np.cumsum(lengths) - 1
    terminals = np.concatenate([np.asarray(episode.terminations, bool) for episode in episodes])
    timeouts = np.concatenate([np.asarray(episode.truncations, bool) for episode in episodes])
    timeouts[ends] |= ~terminals[ends]  # an episode without an end mark was cut
    return RawRecording(
        observations=observations,
        actions=actions,
        rewards=rewards,
        terminals=terminals,
        timeouts=timeouts,
        ends=ends,
        next_observations=following,
        env_id=env_id,
        action_low=_bound(dataset.action_space.low),
        action_high=_bound(dataset.action_space.high),
        references=_references(where, dataset.storage.metadata),
    )


def _read_episodes(where: str, dataset: MinariDataset, observation_size: int, action_size: int) -> Recording:
    """All episodes into arrays of the final size, each episode copied once."""
    total, episodes = int(dataset.total_steps), int(dataset.total_episodes)
    observations = np.empty((total, observation_size), np.float32)
    actions = np.empty((total, action_size), np.float32)
    rewards = np.empty(total, np.float32)
    offsets = np.zeros(episodes + 1, np.int64)
    terminated, truncated = np.zeros(episodes, bool), np.zeros(episodes, bool)
    end = 0
    for index, episode in enumerate(dataset.iterate_episodes()):
        start, end = end, end + len(episode.rewards)
        if end > total:
            break
        if (len(episode.observations), len(episode.actions)) != (end - start + 1, end - start):
            raise DataError(
                f"{where}: episode {index} has {len(episode.observations)} observations and {len(episode.actions)} "
                f"actions for {end - start} rewards. Minari's layout has T+1 observations for T actions and rewards."
            )
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and check_recording refuses it
            observations[start:end] = episode.observations[:-1]
            actions[start:end] = episode.actions
            rewards[start:end] = episode.rewards
        offsets[index + 1] = end
        terminated[index] = bool(np.any(episode.terminations[-1:]))
        truncated[index] = bool(np.any(episode.truncations[-1:]))
    if end != total or offsets[-1] != total:
        raise DataError(f"{where}: the metadata counts {total:,} steps in {episodes:,} episodes; the data differs.")
    unmarked = int(np.sum(~(terminated | truncated)))
    notes = (f"{unmarked:,} episodes without an end mark, taken as truncated",) if unmarked else ()
    return Recording(
        observations=observations,
        actions=actions,
        rewards=rewards,
        offsets=offsets,
        terminated=terminated,
        truncated=truncated | ~terminated,
        action_low=_bound(dataset.action_space.low),
        action_high=_bound(dataset.action_space.high),
        env_id=dataset.env_spec.id if dataset.env_spec else None,
        references=_references(where, dataset.storage.metadata),
        notes=notes,
    )


def _flat_size(where: str, kind: str, space: Any) -> int:
    """Size of a flat box space; a `DataError` that names any other."""
    shape = getattr(space, "shape", None)
    if type(space).__name__ == "Box" and shape is not None and len(shape) == 1 and shape[0] > 0:
        return int(shape[0])
    described = re.sub(r"\s+", " ", str(space))
    raise DataError(
        f"{where}: the {kind} space is {described[:200]}. Only flat vectors of numbers can be learned from, a Box with "
        f"one axis; images, dictionaries, tuples and discrete spaces cannot. Flatten the recordings first, for example "
        f"with gymnasium's FlattenObservation wrapper."
    )


def _bound(values: ndarray) -> Float32[ndarray, " action"]:
    bound: ndarray = np.asarray(values, np.float32).copy()
    return bound


def _references(where: str, metadata: dict[str, Any]) -> dict[str, Reference]:
    """The reference that the metadata holds, if it holds both numbers."""
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    if low is None or high is None or not float(low) < float(high):
        return {}
    source = metadata.get("ref_score_source") or "ref_min_score and ref_max_score in the dataset's metadata"
    return {REFERENCE: Reference(float(low), float(high), str(source))}


def _split(minari_id: str) -> tuple[str, str]:
    """`hf://owner/namespace/name-v0` as (`hf://owner`, `namespace/name-v0`); without a remote, an empty first part."""
    scheme, separator, rest = minari_id.partition("://")
    if not separator:
        return "", minari_id
    owner, _, local_id = rest.partition("/")
    return f"{scheme}://{owner}", local_id
