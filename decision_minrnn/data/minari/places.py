"""Minari's ids, the folders in which its datasets lie, and how one is downloaded."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

from decision_minrnn.data.web import forbidden_by
from decision_minrnn.errors import DataError

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


def _split(minari_id: str) -> tuple[str, str]:
    """`hf://owner/namespace/name-v0` as (`hf://owner`, `namespace/name-v0`); without a remote, an empty first part."""
    scheme, separator, rest = minari_id.partition("://")
    if not separator:
        return "", minari_id
    owner, _, local_id = rest.partition("/")
    return f"{scheme}://{owner}", local_id
