"""Where a dataset is, and how it comes to this machine if it is not there yet.

A D4RL file is downloaded into D4RL's cache folder from the first of these that has it: the mirrors that the caller
names, those in the environment variable `DECISION_MINRNN_D4RL_MIRROR` (base addresses, to which the file's name is
appended; several with spaces between), and the addresses of its card. `DECISION_MINRNN_OFFLINE=1` forbids it. Minari
downloads its own datasets.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from decision_minrnn.cards import DatasetCard, dataset_cards
from decision_minrnn.data.download import DownloadError, OnDownload, download
from decision_minrnn.data.minari import places
from decision_minrnn.data.web import forbidden_by
from decision_minrnn.errors import DataError

MIRROR_VARIABLE = "DECISION_MINRNN_D4RL_MIRROR"


@dataclass(frozen=True)
class Location:
    """Where a dataset is, before it is opened."""

    name: str
    """Short name, fit for a folder name."""
    asked: str
    """What the user wrote."""
    place: str
    """The place in words."""
    path: Path
    """File or folder; it may be missing."""
    card: DatasetCard | None = None
    minari_id: str | None = None
    """Set where a missing folder can be downloaded by minari."""

    @property
    def available(self) -> bool:
        """Whether it can be opened without a download."""
        return places.data_folder(self.path) is not None if self.minari_id else self.path.exists()


def fetch(location: Location, mirrors: Sequence[str] = (), on_download: OnDownload | None = None) -> None:
    """Download a dataset that is not on this machine; nothing is done for one that is.

    Raises `DataError` where that is not possible, which says what to put where; `ConfigError` for a mirror that is not
    an http or https address.
    """
    if location.available:
        return
    if location.minari_id is not None:
        return _fetch_from_minari(location)
    urls = addresses(location.card, mirrors)
    if not urls:
        raise DataError(f"{location.asked} is not on this machine: there is no {location.path}.")
    card = location.card
    assert card is not None
    missing = f"{location.asked} is not on this machine: there is no {location.path}"
    known = [f"{card.size_bytes:,} bytes"] * bool(card.size_bytes) + [f"sha256 {card.sha256}"] * bool(card.sha256)
    facts = f" ({', '.join(known)})" if known else ""
    advice = (
        f"Download {urls[-1]}{facts} where there is a network and put it there under that name, set D4RL_DATASET_DIR "
        f"to the folder that holds it, or name a mirror (--mirror, or {MIRROR_VARIABLE})."
    )
    if variable := forbidden_by():
        raise DataError(f"{missing}, and {variable} forbids downloads. {advice}")
    try:
        download(urls, location.path, size_bytes=card.size_bytes, sha256=card.sha256, on_download=on_download)
    except DownloadError as error:
        raise DataError(f"{missing}, and it could not be downloaded. {error} {advice}") from error


def addresses(card: DatasetCard | None, mirrors: Sequence[str] = ()) -> list[str]:
    """Where to download a card's file, in the order in which the addresses are tried; empty unless it is D4RL's."""
    if card is None or card.source != "d4rl":
        return []
    bases = [*mirrors, *os.environ.get(MIRROR_VARIABLE, "").split()]
    return list(dict.fromkeys([*(f"{base.rstrip('/')}/{card.location}" for base in bases), *card.urls]))


def _fetch_from_minari(location: Location) -> None:
    """Let minari download it; the error also names the nearest id that has a card."""
    minari_id = location.minari_id or ""
    try:
        places.download(minari_id)
    except DataError as error:
        cards = [card.location for card in dataset_cards().values() if card.source == "minari"]
        near = get_close_matches(minari_id.partition("://")[2].partition("/")[2] or minari_id, cards, n=1, cutoff=0.8)
        if not near or near[0] in minari_id:
            raise
        raise DataError(f"{error} Did you mean {near[0]}?") from error
