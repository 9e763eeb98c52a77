"""Writing files so that a file is either the old one or the whole new one, never half of it; and a lock.

When a function here returns, what it wrote is on the disk, name included: a power cut takes nothing of it back.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

CACHE_VARIABLE = "DECISION_MINRNN_CACHE"

_HELD: set[IO[str]] = set()
"""Open lock files of this process."""


def write_bytes_atomically(path: str | Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, then put it in place of `path`.

    Raises `OSError` where the folder is missing or the disk is full; what was at `path` before is then untouched.
    """
    path = Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; give them the permissions of any new file.
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
        flush_names(path.parent)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def write_text_atomically(path: str | Path, text: str) -> None:
    """The same for text, as UTF-8."""
    write_bytes_atomically(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON to a file, or to standard output if `path` is `-`.

    NaN and infinity are not JSON: they raise `ValueError` and nothing is written.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if str(path) == "-":
        print(text, end="")
    else:
        write_text_atomically(path, text)


def flush_names(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system has such a call: a power cut then finds them."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # what a file system says that has no such call for folders
                raise
        finally:
            os.close(descriptor)


def read_json(path: str | Path) -> Any:
    """The content of a JSON file. Raises `OSError` where it cannot be read, `ValueError` where it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def cache_folder() -> Path | None:
    """Where the cache is, or None where it is switched off. Creates nothing."""
    named = os.environ.get(CACHE_VARIABLE)
    if named == "off":
        return None
    if named:
        return Path(named).expanduser()
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "decision-minrnn"


@contextmanager
def locked(path: str | Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock file, so that one process (or thread) at a time is inside.

    Another that holds it is waited for, after `on_wait` was called once, which may raise an error in place of waiting.
    The system frees the lock of a process that dies, so none is ever left behind. Where there are no such locks
    (Windows, some network folders) nothing is held.
    """
    path, waited = Path(path), False
    while True:
        file = path.open("a")
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before deletes the file: a lock on what no longer has a name keeps nobody out.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        except FileNotFoundError:
            pass
        except BlockingIOError:
            file.close()
            if not waited:
                on_wait()
            waited = True
            time.sleep(0.1)
        except OSError:
            break
        file.close()
    try:
        _HELD.add(file)
        with suppress(OSError):  # a full disk: the lock is held all the same
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        yield
    finally:
        if file in _HELD:  # it is not in a forked process
            _HELD.discard(file)
            with suppress(OSError):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            file.close()


def holder(path: str | Path) -> str:
    """Who holds a lock file, in words."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace") or "another process"
    except OSError:
        return "another process"


def _leave_to_parent() -> None:
    """In a forked process: close its copies of the lock files, which would hold the locks beyond the parent's death."""
    while _HELD:
        with suppress(OSError):
            _HELD.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
