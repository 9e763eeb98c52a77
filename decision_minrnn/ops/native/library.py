"""Compiles `kernels.cpp` and its headers once for a machine, and calls what is in them.

The compiler is `$CXX`, else the first of c++, g++ and clang++ that is installed; it takes some five seconds. The
library lies in the folder `kernels` of the cache, under a name made of sources, command and instruction set, so that
another version, compiler or kind of processor has its own. Where the cache is switched off or cannot be written, it is
compiled for one process.

Kernels with matrix products in them have torch compute these, in blocks of rows: by `at::native::cpublas::brgemm`, its
interface to oneDNN's kernels, which builds of torch for x86-64 export and others may not.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from ctypes import CFUNCTYPE, c_float, c_int32, c_int64, c_void_p
from functools import cache
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from decision_minrnn.files import cache_folder, write_bytes_atomically

_OPTIONS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
_INSTRUCTIONS = {"AVX512": ("-march=x86-64-v4",), "AVX2": ("-march=x86-64-v3",)}
"""Those that torch's own operations use on this processor."""

_POINTERS, _COUNTS = [c_void_p], [c_int64]
_GATED = (*_POINTERS * 5, *_COUNTS * 3)
_GATED_BACKWARD = (*_POINTERS * 9, *_COUNTS * 3)
_BRANCH = (*_POINTERS * 3, c_float, *_POINTERS * 6, c_int32, *_POINTERS * 5, *_COUNTS * 3)
_BRANCH_BACKWARD = (*_POINTERS * 11, c_int32, *_POINTERS * 12, *_COUNTS * 3)
_SIGNATURES = {
    "mingru": _GATED,
    "mingru_backward": _GATED_BACKWARD,
    "minlstm": _GATED,
    "minlstm_backward": _GATED_BACKWARD,
    "add_branch": (*_POINTERS * 3, c_int32, *_POINTERS, *_COUNTS),
    "add_branch_backward": (*_POINTERS * 2, c_int32, *_POINTERS, *_COUNTS),
    "mingru_branch": _BRANCH,
    "mingru_branch_backward": _BRANCH_BACKWARD,
    "minlstm_branch": _BRANCH,
    "minlstm_branch_backward": _BRANCH_BACKWARD,
    "feed_forward": (*_POINTERS * 3, c_float, *_POINTERS * 5, c_int32, *_POINTERS * 4, *_COUNTS * 3),
    "feed_forward_backward": (*_POINTERS * 9, c_int32, *_POINTERS * 10, *_COUNTS * 3),
}
"""Of the kernels that there are for each of `TYPES`."""
_WITH_PRODUCTS = ("mingru_branch", "minlstm_branch", "feed_forward")
"""Those of them, and their gradients, that there are where torch exports the product of a type."""
_SIGNATURES_OF_ONE = {
    "selective": (*_POINTERS * 9, *_COUNTS * 4),
    "selective_backward": (*_POINTERS * 15, *_COUNTS * 4),
    "count_products": (c_int32, *_POINTERS),
}
"""Of those that there is one of."""
TYPES = (torch.float32, torch.bfloat16)
"""That matrix products are given."""
_PRODUCTS = {
    torch.float32: "_ZN2at6native7cpublas6brgemmEllllllbPKfS3_Pfb",
    torch.bfloat16: "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb",
}
_RELEASE = "_ZN2at6native7cpublas14brgemm_releaseEb"


Kernels = Mapping[tuple[str, torch.dtype | None], Callable[..., None]]


def run(name: str, dtype: torch.dtype | None, *arguments: Tensor | float | None) -> None:
    """Run a kernel, of several that for matrix products of a type, on contiguous tensors and on numbers.

    Only where `kernels` gives any.
    """
    found = kernels()
    assert found
    found[name, dtype](*[x.data_ptr() if isinstance(x, Tensor) else x for x in arguments])


def multiplies(dtype: torch.dtype) -> bool:
    """Whether there are kernels with matrix products of a type."""
    return (_WITH_PRODUCTS[0], dtype) in (kernels() or {})


@cache
def kernels() -> Kernels | None:
    """The compiled kernels; None without a compiler, and with a warning where that fails."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None or platform.system() == "Windows":
        return None
    sources = {
        file.name: file.read_bytes()
        for file in sorted(resources.files(__package__).iterdir(), key=lambda file: file.name)
        if file.name.endswith((".cpp", ".h"))
    }
    command = [*compiler.split(), *_OPTIONS, *_INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), ())]
    digest = hashlib.sha256("\0".join((*command, platform.machine(), "")).encode())
    digest.update(b"\0".join(sources.values()))
    folder = cache_folder()
    kept = folder and folder / "kernels" / f"{digest.hexdigest()[:32]}.so"
    with suppress(OSError, ValueError):  # there is none yet, or it is damaged
        if kept:
            return _load(kept)
    try:
        with tempfile.TemporaryDirectory() as building:
            compiled, found = _build(command, sources, Path(building))
            with suppress(OSError):  # no room, or no right to write
                if kept:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    write_bytes_atomically(kept, compiled.read_bytes())
            return found
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        warnings.warn(
            f"{command[0]} could not compile the kernels for this processor, so that training takes longer: {said}",
            stacklevel=2,
        )
        return None


def _build(command: list[str], sources: Mapping[str, bytes], folder: Path) -> tuple[Path, Kernels]:
    """Compile and load. Raises `OSError`, `ValueError` or `CalledProcessError`."""
    for name, source in sources.items():
        (folder / name).write_bytes(source)
    written, compiled, library = (folder / f"kernels.{suffix}" for suffix in ("cpp", "o", "so"))
    try:
        _run(*command, "-fopenmp", "-c", "-o", compiled, written)
        # not linked with an OpenMP of its own: its symbols are found in the one that torch has loaded, with its threads
        _run(*command, "-shared", "-o", library, compiled)
        return library, _load(library)
    except (OSError, subprocess.CalledProcessError):  # Apple's compiler has none, say: one thread does all
        _run(*command, "-shared", "-o", library, written)
        return library, _load(library)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _load(path: Path) -> Kernels:
    """Raises `OSError` or `ValueError` for a file that is not such a library."""
    library = ctypes.CDLL(str(path))
    multiplied = {dtype for dtype in TYPES if _multiplies(library, dtype)}
    found: dict[tuple[str, torch.dtype | None], Callable[..., None]] = {
        (name, dtype): CFUNCTYPE(None, *signature).in_dll(library, _symbol(name, dtype))
        for name, signature in _SIGNATURES.items()
        for dtype in (multiplied if name.startswith(_WITH_PRODUCTS) else TYPES)
    }
    for name, signature in _SIGNATURES_OF_ONE.items():
        found[name, None] = CFUNCTYPE(None, *signature).in_dll(library, name)
    return found


def _multiplies(library: ctypes.CDLL, dtype: torch.dtype) -> bool:
    """Give the library torch's product of a type; False where torch, or this processor, has none."""
    exported = ctypes.CDLL(torch._C.__file__)
    try:
        functions = [ctypes.cast(getattr(exported, name), c_void_p) for name in (_PRODUCTS[dtype], _RELEASE)]
    except AttributeError:
        return False
    return bool(CFUNCTYPE(c_int32, *_POINTERS * 2).in_dll(library, _symbol("use_product", dtype))(*functions))


def _symbol(name: str, dtype: torch.dtype) -> str:
    """What a kernel of a type is called in the library."""
    return f"{name}_{str(dtype).removeprefix('torch.')}"
