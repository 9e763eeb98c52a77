"""The power is cut before any call that changes a disk: a run goes on to the bit from what is certain to be there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from power import Disk, after_the_cut
from runs_compared import assert_same_run, needs_forkserver, start
from tiny import train_config, trajectories

from decision_minrnn import files
from decision_minrnn.errors import CheckpointError
from decision_minrnn.training import resume, train

DATA = trajectories()
SETTINGS = {"evaluate_every": 6, "keep_checkpoints": 2, "dropout": 0.3, "log_every": 2}

pytestmark = [needs_forkserver, pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")]


def train_on_a_disk(place: Path, kept: Path, cut_at: int, without: str = "") -> None:
    """In a process of its own: train, with the power cut at one call. `without` takes one guard away."""
    if without == "names":
        files.flush_names.__code__ = (lambda folder: None).__code__
    disk = Disk(place, kept, cut_at)
    if without == "contents":
        fsync = os.fsync
        os.fsync = lambda descriptor: fsync(descriptor) if Path(f"/proc/self/fd/{descriptor}").is_dir() else None
    train(train_config(place / "run", **SETTINGS), DATA)
    (kept / "calls").write_text(str(disk.calls))


def run_and_cut(folder: Path, cut_at: int, without: str = "") -> Path:
    """The run as it is on the disk afterwards."""
    folder.mkdir()
    (folder / "place").mkdir()
    process = start(train_on_a_disk, folder / "place", folder / "kept", cut_at, without)
    process.join()
    assert process.exitcode == (0 if (folder / "kept" / "calls").exists() else -signal.SIGKILL)
    after_the_cut(folder / "kept", folder / "after")
    return folder / "after" / "run"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(train_config(tmp_path_factory.mktemp("whole") / "run", **SETTINGS), DATA).folder


def assert_it_goes_on(run: Path, whole: Path) -> None:
    if not (run / "config.json").exists():
        assert not (run / "checkpoints").exists(), "there is a checkpoint, and nothing says of what"
        return
    resume(run, DATA)
    assert_same_run(run, whole)


def test_what_is_certain_after_a_whole_run_is_the_run(tmp_path: Path, whole: Path) -> None:
    run = run_and_cut(tmp_path / "run", 10**9)
    assert_same_run(run, whole)
    calls = int((tmp_path / "run" / "kept" / "calls").read_text())
    assert calls > 40


@pytest.mark.parametrize("cut_at", [4, 22, 31, 45, 60])
def test_a_power_cut_at_some_calls(tmp_path: Path, whole: Path, cut_at: int) -> None:
    assert_it_goes_on(run_and_cut(tmp_path / "run", cut_at), whole)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_power_cut_at_every_call(tmp_path: Path, whole: Path) -> None:
    run_and_cut(tmp_path / "all", 10**9)
    calls = int((tmp_path / "all" / "kept" / "calls").read_text())
    for cut_at in range(1, calls + 1):
        assert_it_goes_on(run_and_cut(tmp_path / f"{cut_at}", cut_at), whole)
    print(f"power cut at {calls} calls, none lost a run")


@pytest.mark.parametrize("guard", ["names", "contents"])
def test_without_a_guard_a_power_cut_loses_the_run(tmp_path: Path, whole: Path, guard: str) -> None:
    run = run_and_cut(tmp_path / "run", 10**9, guard)
    with pytest.raises((AssertionError, CheckpointError)):
        assert_same_run(run, whole)
