"""GET over http and https with the standard library: no other scheme, no answer that is waited for without end."""

from __future__ import annotations

import os
import queue
import re
import threading
import urllib.request
from collections.abc import Callable
from email.message import Message
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from decision_minrnn.errors import ConfigError

Result = TypeVar("Result")

_CHUNK = 1 << 18


class WebError(Exception):
    """A request that failed: the message says why in a few words."""

    def __init__(self, message: str, status: int = 0, headers: Message | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 where there was no answer."""
        self.headers = headers


def forbidden_by(*variables: str) -> str:
    """The environment variable that forbids downloads, empty where none does.

    It is `DECISION_MINRNN_OFFLINE` or one of the further ones, if set to 1, true, yes or on.
    """
    names = ("DECISION_MINRNN_OFFLINE", *variables)
    return next((name for name in names if os.environ.get(name, "").lower() in ("1", "true", "yes", "on")), "")


def check_url(url: str) -> None:
    """Raise `ConfigError` for an address that is not http or https."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"'{url}' cannot be downloaded from: expected an address like https://host/folder.")


def get(url: str, headers: dict[str, str], timeout: float) -> Any:
    """The answer to a GET, to be closed by the caller, with its body still to be read.

    Redirects are followed, to http and https only. A proxy is used if one is set.

    Args:
        url: http or https address.
        headers: of the request.
        timeout: seconds that the server may be silent; the answer must have begun within twice that.

    Raises:
        WebError: no answer, or one with a status of 400 or more.
    """
    request = urllib.request.Request(
        url, headers={"User-Agent": "decision-minrnn", "Accept-Encoding": "identity", **headers}
    )
    try:
        # Name resolution has no time limit of its own, so it all runs in a thread that is left behind when late.
        return _within(2 * timeout, lambda: _opener().open(request, timeout=timeout))
    except HTTPError as error:
        error.close()
        raise WebError(f"HTTP status {error.code} ({error.reason})", error.code, error.headers) from error
    except (OSError, HTTPException, ValueError) as error:
        raise WebError(_reason(error)) from error


def read(response: Any) -> bytes:
    """What has arrived of the body, at least a byte; empty at the end. Raises `WebError`."""
    try:
        chunk: bytes = response.read1(_CHUNK)
    except (OSError, HTTPException, ValueError) as error:
        raise WebError(_reason(error)) from error
    return chunk


def total(headers: Message, start: int) -> int:
    """Bytes of the whole file by the headers of an answer that begins at byte `start`; 0 where they do not say."""
    if match := re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", headers.get("Content-Range", "").strip()):
        return int(match[1])
    length = headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else 0


def mark(headers: Message) -> str:
    """What tells this version of a file from others; empty where the server gives no such thing."""
    tag = headers.get("ETag", "")
    # If-Range does not take a weak tag (RFC 9110, section 13.1.5).
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https addresses and no others: `build_opener` would add file, ftp and data."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _within(seconds: float, work: Callable[[], Result]) -> Result:
    """The result of `work`, or `TimeoutError` where it takes longer."""
    answers: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} seconds") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _reason(error: Exception) -> str:
    """An error of the network in a few words."""
    cause = error.reason if isinstance(error, URLError) else error
    words = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return words[0].lower() + words[1:]
