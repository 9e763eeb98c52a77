"""A disk that keeps what POSIX promises across a power cut, and not a byte more.

A file's content survives as it was at its last `fsync`, and a name as it was at the last `fsync` of its folder: what
was only written, renamed or deleted is as if it had not been. Real disks keep more.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOMENTS = ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir")
"""Calls before each of which the power may be cut."""


class Disk:
    """Watches this process's calls, keeps what they bring to the disk, and cuts the power at one of them."""

    def __init__(self, place: Path, kept: Path, cut_at: int) -> None:
        """`place` is the folder that is looked at afterwards, `cut_at` the number of the call that does not happen."""
        self.kept, self.cut_at, self.calls = kept, cut_at, 0
        self.tokens: dict[int, str] = {}
        self.numbers = itertools.count()
        kept.mkdir()
        descriptor = os.open(place, os.O_RDONLY)
        self.synced(descriptor)
        os.close(descriptor)
        for name in MOMENTS:
            setattr(os, name, self.watched(name, getattr(os, name)))

    def watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.cut_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if name in ("unlink", "rmdir"):
                # its number may be given to another file, which is not the same
                self.tokens.pop(os.lstat(arguments[0], dir_fd=named.get("dir_fd")).st_ino, None)
            result = call(*arguments, **named)
            if name == "fsync":
                self.synced(arguments[0])
            return result

        return wrapper

    def token(self, inode: int) -> str:
        return self.tokens.setdefault(inode, f"{next(self.numbers)}")

    def synced(self, descriptor: int) -> None:
        about = os.fstat(descriptor)
        kept = self.kept / self.token(about.st_ino)
        if stat.S_ISDIR(about.st_mode):
            with os.scandir(descriptor) as entries:
                names = {entry.name: [self.token(entry.inode()), entry.is_dir()] for entry in entries}
            kept.write_text(json.dumps(names))
        else:
            kept.write_bytes(Path(f"/proc/self/fd/{descriptor}").read_bytes())


def after_the_cut(kept: Path, place: Path, token: str = "0") -> None:
    """What is in a folder when the power is back."""
    place.mkdir()
    path = kept / token
    for name, (inside, is_folder) in (json.loads(path.read_text()) if path.exists() else {}).items():
        if is_folder:
            after_the_cut(kept, place / name, inside)
        else:
            content = kept / inside
            (place / name).write_bytes(content.read_bytes() if content.exists() else b"")
