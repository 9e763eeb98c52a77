"""Damage for files: bits flipped, pieces cut and moved, values replaced inside of what stays well formed; a trap."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUMBERS = (0, -1, 1, 2, 255, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**64, 10**12, 10**30, -(10**18))
VALUES: tuple[Any, ...] = (
    *NUMBERS, None, True, "", "x", "../../x", "\0", "é" * 50, [], {}, [[]], [1, "2"], {"a": 1}, 0.5, -0.0, 1e308,
    float("nan"), float("inf"), [10**12, 10**12], "float32", "F64", "mamba", "transformer",
)  # fmt: skip


class Trap:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def mutate(folder: Path, generator: random.Random) -> None:
    """Damage one file of a folder, or two; the digests of a checkpoint are mostly made honest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in generator.sample(files, min(len(files), generator.choice((1, 1, 1, 2)))):
        content = path.read_bytes()
        change = STRUCTURED.get(path.suffix)
        if change is not None and generator.random() < 0.6:
            try:
                path.write_bytes(change(content, generator))
            except (ValueError, KeyError, zipfile.BadZipFile):
                path.write_bytes(changed_bytes(content, generator))
        else:
            path.write_bytes(changed_bytes(content, generator))
    for path in folder.rglob("checkpoint.json"):
        if generator.random() < 0.9:
            seal(path)


def seal(path: Path) -> None:
    """Give a checkpoint's files the digests that they have."""
    try:
        about = json.loads(path.read_bytes())
        about["sha256"] = {
            name: hashlib.sha256((path.parent / name).read_bytes()).hexdigest()
            for name in ("model.safetensors", "training.safetensors")
        }
        path.write_text(json.dumps(about))
    except (ValueError, TypeError):
        pass


def changed_bytes(content: bytes, generator: random.Random) -> bytes:
    """Bits flipped, bytes and numbers replaced, pieces cut, doubled, moved or put in."""
    data = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 4, 16))):
        at = generator.randrange(len(data) + 1)
        length = generator.choice((1, 2, 4, 8, 64, 512))
        kind = generator.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << generator.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
        elif kind == 2:
            number = generator.choice(NUMBERS) % 2**64
            form = generator.choice(("<Q", ">Q", "<I", "<H"))
            data[at : at + struct.calcsize(form)] = struct.pack(form, number % 2 ** (8 * struct.calcsize(form)))
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length]
        elif kind == 5:
            other = generator.randrange(len(data) + 1)
            data[at : at + length] = data[other : other + length]
        elif generator.random() < 0.2:
            del data[at:]
        else:
            data[at:at] = generator.choice((b"[" * 5000, b"{", b"9" * 5000, b"\0" * length, b'"', b"\n"))
    return bytes(data)


def changed_value(value: Any, generator: random.Random) -> Any:
    """Plain data with one value replaced, taken out or put in, somewhere inside."""
    if isinstance(value, dict) and value and generator.random() < 0.85:
        key = generator.choice(list(value))
        kind = generator.random()
        if kind < 0.1:
            return {other: item for other, item in value.items() if other != key}
        if kind < 0.2:
            return {**value, generator.choice(("x", "", "metadata", "__metadata__", "..")): generator.choice(VALUES)}
        return {**value, key: changed_value(value[key], generator)}
    if isinstance(value, list) and value and generator.random() < 0.7:
        index = generator.randrange(len(value))
        return [*value[:index], changed_value(value[index], generator), *value[index + 1 :]]
    if isinstance(value, str) and generator.random() < 0.5:
        try:  # Minari keeps JSON in strings
            return json.dumps(changed_value(json.loads(value), generator))
        except ValueError:
            pass
    return generator.choice(VALUES)


def changed_json(content: bytes, generator: random.Random) -> bytes:
    return json.dumps(changed_value(json.loads(content), generator)).encode()


def changed_safetensors(content: bytes, generator: random.Random) -> bytes:
    """Another header, whose length is right."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    if "model" in header.get("__metadata__", {}) and generator.random() < 0.7:
        model = changed_value(json.loads(header["__metadata__"]["model"]), generator)
        header["__metadata__"]["model"] = json.dumps(model)
    else:
        header = changed_value(header, generator)
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + content[8 + length :]


def changed_zip(content: bytes, generator: random.Random) -> bytes:
    """Members of another content, name or compression, with the right checksums."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(written, "w") as made:
        chosen = generator.choice(archive.namelist())
        for name in archive.namelist():
            member = archive.read(name)
            if name == chosen:
                member = changed_npy(member, generator)
                name = name if generator.random() < 0.95 else f"../{name}"
            made.writestr(name, member, generator.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    return written.getvalue()


def changed_npy(content: bytes, generator: random.Random) -> bytes:
    """Another shape or type in the header, or other bytes."""
    if generator.random() < 0.4:
        return changed_bytes(content, generator)
    shape = tuple(generator.choice((0, 1, 2, 7, 10**6, 10**12, -1)) for _ in range(generator.randrange(4)))
    dtype = generator.choice(("<f4", "<f8", "|b1", "|O", "<U3", "<i8", "<c8", "<M8[s]", "|V9"))
    described = repr({"descr": dtype, "fortran_order": generator.random() < 0.2, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(described) + 1) + described + b"\n" + content[128:]


STRUCTURED: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": changed_json,
    ".safetensors": changed_safetensors,
    ".npz": changed_zip,
    ".npy": changed_npy,
}
