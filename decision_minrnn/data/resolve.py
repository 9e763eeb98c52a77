"""From a name or a path to `Trajectories`.

A name is tried in this order; the first that fits decides:

1. the name or alias of a dataset card (`hopper-medium`, `hopper-medium-v2`, `mujoco/hopper/medium-v0`);
2. a path: a file or folder that exists, or anything that ends in `.hdf5`, `.h5` or `.npz`;
3. a Minari id: `hf://farama-minari/mujoco/hopper/medium-v0`, `namespace/name-v0`, or any id in Minari's local folder;
4. a D4RL name without a card, if its file is in D4RL's cache folder (`hopper-random-v2`: `hopper_random-v2.hdf5`).

To read a file or folder that is called like a card, write its path with a separator: `./hopper-medium`.
D4RL's cache folder is `D4RL_DATASET_DIR`, else `~/.d4rl/datasets`; Minari's is `MINARI_DATASETS_PATH`, else
`~/.minari/datasets`. What is missing there is downloaded (`data.fetch`); what was read once is mapped from then on
(`data.cache`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from decision_minrnn.cards import DatasetCard, card_folders, dataset_cards
from decision_minrnn.data import d4rl, npz
from decision_minrnn.data.base import Format, Recording
from decision_minrnn.data.cache import read_cached
from decision_minrnn.data.checks import check_choices, check_recording
from decision_minrnn.data.download import OnDownload
from decision_minrnn.data.environment import EnvChoice, choose_environment
from decision_minrnn.data.fetch import Location, fetch
from decision_minrnn.data.formats import format_of
from decision_minrnn.data.minari import places
from decision_minrnn.data.raw import RawRecording
from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.errors import DataError, UnknownNameError


def load_dataset(
    name_or_path: str | os.PathLike[str],
    *,
    env: str | None = None,
    keep_unfinished: bool = False,
    mirrors: Sequence[str] = (),
    on_download: OnDownload | None = None,
) -> Trajectories:
    """Read a dataset by name or path; `help("decision_minrnn.data.resolve")` says how a name is resolved.

    `Trajectories.source` says in one line what was read.

    Args:
        name_or_path: a card's name, a path, a Minari id or a D4RL name.
        env: the name of an environment card, a gymnasium id that a card lists or the path of a card; overrides the
            environment that the dataset names.
        keep_unfinished: whether to keep an unfinished episode at the end of a recording, as an episode of its own.
        mirrors: addresses (https://host/folder) to download D4RL's files from, tried before those that are known.
        on_download: called with the state of a download, if there is one.

    Raises:
        UnknownNameError: a name that is nothing.
        DataError: a dataset that is not on this machine and cannot be downloaded, is damaged or does not fit its
            environment.
        ConfigError: a mirror that is not an http or https address.
    """
    location = locate(name_or_path)
    fetch(location, mirrors, on_download)
    chosen = format_of(location.path)
    return join(read_cached(location.path, chosen), location, chosen, env, keep_unfinished)


def join(
    recording: Recording, location: Location, chosen: Format, env: str | None, keep_unfinished: bool
) -> Trajectories:
    """A recording with what its place, its cards and the caller say of it; raises as `load_dataset` does."""
    recording, notes = _without_or_with_unfinished(recording, location, keep_unfinished)
    choice = choose_environment(location.asked, recording, location.card, location.path, chosen.kind, env)
    if choice.choices is not None:
        check_choices(location.asked, recording.actions, choice.choices)
    known = {field.name: getattr(recording, field.name) for field in fields(recording)}
    data = Trajectories(
        **known
        | {
            "choices": choice.choices,
            "action_low": choice.action_low,
            "action_high": choice.action_high,
            "env_id": choice.env_id,
            "references": {**(choice.card.references if choice.card else {}), **recording.references},
        },
        name=location.name,
        source="",
        card_name=location.card.name if location.card else None,
        env=choice.card,
    )
    source = f"{location.asked}: {location.place or chosen.name}, {data.steps:,} steps in {data.episodes:,} episodes"
    notes = [*recording.notes, *notes, *_cut_note(data), *_size_note(location), *choice.notes]
    return replace(data, source="; ".join([f"{source} ({_words(choice)})", *notes]))


def read_raw(location: Location) -> RawRecording:
    """All that a dataset holds, faults included; raises `DataError` only where nothing can be read."""
    return format_of(location.path).read_raw(location.path)


def locate(name_or_path: str | os.PathLike[str]) -> Location:
    """Where a dataset is, without opening it or using the network.

    Raises `UnknownNameError` with the nearest names, and `DataError` for an HDF5 path at which there is nothing.
    """
    name = os.fspath(name_or_path)
    cards = dataset_cards()
    for card in cards.values():
        if name == card.name or name in card.aliases:
            return locate_card(card, name)
    if "://" in name and not places.is_minari_id(name):
        raise DataError(
            f"{name} is an address, but neither a file of this machine nor a remote Minari id (hf://OWNER/NAMESPACE/"
            f"NAME-v0, gcp://…). Download the file, and give its path."
        )
    path = Path(name).expanduser()
    if (name and path.exists()) or path.suffix in (*d4rl.SUFFIXES, npz.SUFFIX):
        if not path.exists():
            raise DataError(f"there is no file {path} (looked for in {path.absolute().parent}).")
        return Location(_short(_stem(path)), name, "", path)
    if places.is_minari_id(name) or (re.fullmatch(r"[-\w]+-v\d+", name) and places.local_folder(name).is_dir()):
        folder = places.local_folder(name)
        return Location(_short(name.partition("://")[2] or name), name, "Minari dataset", folder, minari_id=name)
    cached = d4rl_folder() / d4rl_file_name(name)
    if cached.is_file():
        return Location(_short(name), name, f"D4RL file {cached}", cached)
    known = [*cards, *(alias for card in cards.values() for alias in card.aliases)]
    raise UnknownNameError(
        "dataset", name, known, "Or give the path of an HDF5 or npz file, or of a Minari dataset's folder."
    )


def locate_card(card: DatasetCard, asked: str | None = None) -> Location:
    """Where the dataset of a card is, or should be."""
    asked = asked or card.name
    if card.source == "minari":
        folder = places.local_folder(card.location)
        return Location(_short(card.name), asked, "Minari dataset", folder, card, minari_id=card.location)
    if card.source == "d4rl":
        path = d4rl_folder() / card.location
        return Location(_short(card.name), asked, f"D4RL file {path}", path, card)
    paths = [folder / card.location for folder in card_folders("datasets")]
    path = next((found for found in paths if found.exists()), paths[-1])
    place = "embedded Minari dataset" if path.is_dir() else f"file {path}"
    return Location(_short(card.name), asked, place, path, card)


def d4rl_folder() -> Path:
    """D4RL's cache folder: `D4RL_DATASET_DIR`, else `~/.d4rl/datasets`. Creates nothing."""
    folder = os.environ.get("D4RL_DATASET_DIR")
    return Path(folder).expanduser() if folder else Path.home() / ".d4rl" / "datasets"


def d4rl_file_name(name: str) -> str:
    """The file name of a D4RL locomotion dataset: `hopper_medium_replay-v2.hdf5` for `hopper-medium-replay-v2`."""
    body, separator, version = name.rpartition("-v")
    return f"{body.replace('-', '_')}{separator}{version}.hdf5"


def _without_or_with_unfinished(recording: Recording, location: Location, keep: bool) -> tuple[Recording, list[str]]:
    """The recording as asked for, and a word on its unfinished episode if it has one."""
    steps = recording.unfinished_steps
    if not steps:
        return recording, []
    if keep:
        check_recording(str(location.path), recording)
        return recording, [f"the last {steps:,} steps are an unfinished episode, kept"]
    return recording.without_unfinished(), [f"without the last {steps:,} steps, an episode with no end"]


def _cut_note(data: Trajectories) -> list[str]:
    """A word on episodes whose returns are too low because something other than the time limit cut them."""
    count = int(data.cut_short.sum())
    limit = data.env.episode_limit if data.env else 0
    return [f"{count:,} episodes cut short, before step {limit:,}"] if count else []


def _size_note(location: Location) -> list[str]:
    """A word on a file that is not the published one, by its size."""
    expected = location.card.size_bytes if location.card else 0
    if not expected or not location.path.is_file():
        return []
    found = location.path.stat().st_size
    if found != expected:
        return [f"not the published file ({found:,} bytes, published {expected:,})"]
    return []


def _words(choice: EnvChoice) -> str:
    return choice.env_id or (choice.card.name if choice.card else "environment not known")


def _stem(path: Path) -> str:
    """The name of a dataset from its path; a Minari folder's `data` is named after the folder around it."""
    path = path.absolute()
    return path.stem if path.is_file() else (path.parent if path.name == "data" else path).name


def _short(name: str) -> str:
    """A name that can be part of a folder name."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "dataset"
