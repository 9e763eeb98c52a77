"""Writing text and JSON so that a file is either the old one or the whole new one, never half of it."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_text_atomically(path: str | Path, text: str) -> None:
    """Write UTF-8 text to a temporary file beside `path`, flush it to the disk, then put it in place of `path`.

    Raises `OSError` where the folder is missing or the disk is full; what was at `path` before is then untouched.
    """
    path = Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; give them the permissions of any new file.
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON to a file, or to standard output if `path` is `-`.

    NaN and infinity are not JSON: they raise `ValueError` and nothing is written.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if str(path) == "-":
        print(text, end="")
    else:
        write_text_atomically(path, text)
