"""Settings of all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    # before anything imports triton, which reads it then: GPU kernels are tested on the CPU, by its interpreter
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The tensors of the tests are small: threads that wait for each other cost more than they bring.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test downloads what it did not put there itself: those that do so from a server of their own undo it."""
    monkeypatch.setenv("DECISION_MINRNN_OFFLINE", "1")
    monkeypatch.delenv("DECISION_MINRNN_D4RL_MIRROR", raising=False)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests unpack datasets into a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECISION_MINRNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, where the user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted only by root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
