"""How the kernels come to be compiled: once, in the cache or without one, and with what compilers can do."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from decision_minrnn.ops import native
from decision_minrnn.ops.native.library import kernels

needs_compiler = pytest.mark.skipif(not native.runs_here(), reason="no C++ compiler")

SCRIPT = """
import warnings
warnings.simplefilter("always")
from decision_minrnn.ops import native
print(native.runs_here())
"""


def run_with(cache: Path | str, compiler: Path | str | None = None) -> subprocess.CompletedProcess[str]:
    """A new process that asks for the kernels."""
    environment = os.environ | {"DECISION_MINRNN_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"CXX": str(compiler)} if compiler else {}
    return subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)


def compiler_that(folder: Path, does: str) -> Path:
    """A script in a compiler's place, which notes its calls in `calls`."""
    script = folder / "compiler"
    script.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/calls"\n{does}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


@needs_compiler
def test_compiled_once_and_found_by_the_next_process_unless_it_is_damaged(tmp_path: Path) -> None:
    compiler = compiler_that(tmp_path, 'exec c++ "$@"')
    assert run_with(tmp_path / "cache", compiler).stdout == "True\n"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert run_with(tmp_path / "cache", compiler).stdout == "True\n"
    assert (tmp_path / "calls").read_text().splitlines() == calls
    (library,) = (tmp_path / "cache" / "kernels").iterdir()
    library.write_bytes(b"half of it")
    assert run_with(tmp_path / "cache", compiler).stdout == "True\n"
    assert len((tmp_path / "calls").read_text().splitlines()) == 2 * len(calls)
    assert len(library.read_bytes()) > 1000


@needs_compiler
def test_without_a_cache_it_is_compiled_for_the_process(tmp_path: Path) -> None:
    assert run_with("off").stdout == "True\n"
    (tmp_path / "file").touch()
    assert run_with(tmp_path / "file" / "below").stdout == "True\n"


@needs_compiler
def test_a_compiler_without_openmp_makes_kernels_of_one_thread(tmp_path: Path) -> None:
    compiler = compiler_that(tmp_path, 'case "$*" in *fopenmp*) exit 1;; esac; exec c++ "$@"')
    assert run_with(tmp_path / "cache", compiler).stdout == "True\n"


def test_a_compiler_that_fails_is_warned_of_and_training_goes_on_without(tmp_path: Path) -> None:
    result = run_with(tmp_path / "cache", compiler_that(tmp_path, "echo no room for objects >&2; exit 3"))
    assert result.stdout == "False\n"
    assert "could not compile the kernels" in result.stderr
    assert "no room for objects" in result.stderr
    assert not (tmp_path / "cache" / "kernels").exists()


@needs_compiler
def test_all_kernels_stand_in_the_source() -> None:
    found = kernels()
    assert found
    assert len(found) in (15, 21, 27)  # without torch's products, with those of float32, and with those of both types
