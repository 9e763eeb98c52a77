"""Download one HDF5 file over http or https: resumed after a break, verified, with the standard library alone.

The bytes go to `NAME.part` beside the target, and take its place once they are all there and right. `NAME.part.json`
keeps where they came from and the server's mark of that version of the file (ETag or Last-Modified). After a break the
rest is asked for (`Range`) under the condition that the mark still holds (`If-Range`; RFC 9110, sections 13.1.5 and
14), so that the beginning of one version is never joined with the end of another; a server that cannot do that sends
the whole file again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from decision_minrnn.data import web
from decision_minrnn.data.d4rl import SIGNATURE
from decision_minrnn.errors import DataError
from decision_minrnn.files import locked, read_json, write_json

TIMEOUT = 5.0
"""Seconds that a server may be silent."""
_BREAKS = 20
"""Lost connections after which one address is given up, even if each of them brought something."""


class DownloadState(NamedTuple):
    """How far a download is."""

    name: str
    """The file's name."""
    received: int
    """Bytes that are here, those of earlier attempts included."""
    total: int
    """Bytes of the whole file; 0 where that is not known."""
    message: str = ""
    """Something to tell the user, such as why an address was given up."""


OnDownload = Callable[[DownloadState], None]


class DownloadError(DataError):
    """No address gave the file."""

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__(f"Tried {'; '.join(failures)}.")


class _UnusableError(Exception):
    """This address does not give the file; another may."""


class _BrokenOffError(Exception):
    """The connection was lost; what arrived is kept."""


def download(
    urls: Sequence[str],
    target: Path,
    *,
    size_bytes: int = 0,
    sha256: str = "",
    on_download: OnDownload | None = None,
    timeout: float = TIMEOUT,
) -> None:
    """Download an HDF5 file to `target`, from the first of the addresses that gives the right one.

    Several processes may do so at once: one downloads, the others wait for it.

    Args:
        urls: http or https addresses of the same file, tried in this order.
        target: where the file is to lie; its folder is made.
        size_bytes: the file's size, 0 where it is not known.
        sha256: its SHA-256 in hexadecimal, empty where it is not known.
        on_download: called with every piece that arrives.
        timeout: seconds that a server may be silent. Without a network an error comes after about twice that, for each
            address at most.

    Raises:
        ConfigError: an address that is not http or https.
        DownloadError: no address gave the file; it says why for each.
        DataError: the folder cannot be written to, or the disk is full.
    """
    for url in urls:
        web.check_url(url)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = _Part(target, size_bytes, sha256.lower(), on_download or (lambda state: None), timeout)
        waiting = "waiting for another process that downloads it"
        with locked(target.with_name(f"{target.name}.lock"), lambda: part.tell(waiting)):
            if target.exists():
                return
            failures = []
            for url in urls:
                try:
                    part.fetch(url)
                    part.finish()
                    return
                except _UnusableError as error:
                    failures.append(f"{url}: {error}")
                    if len(failures) < len(urls):
                        part.tell(failures[-1])
            raise DownloadError(failures)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}.") from error


class _Part:
    """The beginning of a file, as long as it is not the whole."""

    def __init__(self, target: Path, size_bytes: int, sha256: str, on_download: OnDownload, timeout: float) -> None:
        self.target, self.size_bytes, self.sha256 = target, size_bytes, sha256
        self.on_download, self.timeout = on_download, timeout
        self.path = target.with_name(f"{target.name}.part")
        self.origin = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def tell(self, message: str) -> None:
        """Pass a word on to the caller."""
        self.on_download(DownloadState(self.target.name, self.size, self.size_bytes, message))

    def discard(self) -> None:
        """Begin at nothing again."""
        self.path.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)

    def finish(self) -> None:
        """Put the file in its place."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        self.origin.unlink(missing_ok=True)

    def fetch(self, url: str) -> None:
        """All bytes from one address, verified; an earlier beginning that turns out wrong is dropped once."""
        resumed = self.size > 0
        self._complete(url)
        fault = self._fault()
        if fault and resumed:
            self.discard()
            self.tell(f"{fault}, in part from an earlier download: starting over")
            self._complete(url)
            fault = self._fault()
        if fault:
            self.discard()
            raise _UnusableError(fault)

    def _fault(self) -> str:
        """What is wrong with the whole file."""
        if self.size_bytes and self.size != self.size_bytes:
            return f"{self.size:,} bytes came, expected {self.size_bytes:,}"
        with self.path.open("rb") as file:
            if start_fault := _start_fault(file.read(len(SIGNATURE))):
                return start_fault
            if self.sha256:
                file.seek(0)
                digest = hashlib.sha256()
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
                if digest.hexdigest() != self.sha256:
                    return f"its sha256 is {digest.hexdigest()}, expected {self.sha256}"
        return ""

    def _complete(self, url: str) -> None:
        """Ask until all is here, as long as every attempt brings something."""
        reason = ""
        for _ in range(_BREAKS):
            before = self.size
            if self.size_bytes and before == self.size_bytes:
                return
            try:
                self._receive(url)
                return
            except _BrokenOffError as error:
                reason = f"broke off after {self.size:,} bytes: {error}"
                if self.size <= before:
                    break
                self.tell(f"{url} {reason}; going on")
        raise _UnusableError(reason)

    def _receive(self, url: str) -> None:
        """One request, for all or for what is missing."""
        start, headers = self._range(url)
        try:
            response = web.get(url, headers, self.timeout)
        except web.WebError as error:
            if error.status == 416 and start:
                if error.headers is not None and web.total(error.headers, start) == start:
                    return
                self.discard()
                return self._receive(url)
            raise _UnusableError(str(error)) from error
        with response:
            if response.status not in (200, 206):
                raise _UnusableError(f"HTTP status {response.status}")
            if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise _UnusableError("it sent another part of the file than was asked for")
            start = start if response.status == 206 else 0
            total = web.total(response.headers, start)
            if total and self.size_bytes and total != self.size_bytes:
                raise _UnusableError(f"it has a file of {total:,} bytes, expected {self.size_bytes:,}")
            if not start:
                self.discard()
                write_json(self.origin, {"url": url, "mark": web.mark(response.headers)})
            self._append(response, start, total or self.size_bytes)

    def _range(self, url: str) -> tuple[int, dict[str, str]]:
        """Where to go on, and the headers that ask for it."""
        origin: Any = {}
        with suppress(OSError, ValueError):
            origin = read_json(self.origin)
        mark = origin.get("mark") if isinstance(origin, dict) and origin.get("url") == url else None
        # Without a mark only the digest can tell, at the end, whether the pieces belong together.
        if self.size and (mark or self.sha256) and self.size <= (self.size_bytes or self.size):
            headers = {"Range": f"bytes={self.size}-"}
            return self.size, {**headers, "If-Range": mark} if mark else headers
        self.discard()
        return 0, {}

    def _append(self, response: Any, received: int, total: int) -> None:
        """Write what comes behind the bytes that are here."""
        free = shutil.disk_usage(self.path.parent).free
        if total - received > free:
            raise OSError(errno.ENOSPC, f"{total - received:,} bytes more are needed, and the disk has {free:,} left")
        head = b"" if not received else SIGNATURE
        with self.path.open("ab") as file:
            while chunk := _read(response):
                received += len(chunk)
                head = (head + chunk)[: len(SIGNATURE)] if len(head) < len(SIGNATURE) else head
                fault = _start_fault(head)
                if total and received > total:
                    fault = f"it sent more than the {total:,} bytes that it should have"
                if fault:
                    self.discard()
                    raise _UnusableError(fault)
                file.write(chunk)
                self.on_download(DownloadState(self.target.name, received, total))
        if received < total or not received:
            raise _BrokenOffError("the connection was closed")


def _read(response: Any) -> bytes:
    """What has arrived; empty at the end."""
    try:
        return web.read(response)
    except web.WebError as error:
        raise _BrokenOffError(str(error)) from error


def _start_fault(head: bytes) -> str:
    """What is wrong with the first bytes of a file."""
    if head == SIGNATURE[: len(head)] and head:
        return ""
    return f"what it sent is not an HDF5 file (it begins with {head!r})"
