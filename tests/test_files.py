"""Files are replaced as a whole or not at all; the lock: one at a time, and never held by the dead."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from decision_minrnn.files import holder, locked, write_bytes_atomically, write_text_atomically

pytest.importorskip("fcntl", reason="locks are those of POSIX systems")


def test_a_file_is_replaced_with_the_permissions_of_a_new_one(tmp_path: Path) -> None:
    path, fresh = tmp_path / "x.bin", tmp_path / "fresh"
    fresh.touch()
    write_bytes_atomically(path, b"a\r\n\xff")
    write_bytes_atomically(path, b"b\n")
    assert path.read_bytes() == b"b\n"
    write_text_atomically(path, "é\n")
    assert path.read_bytes() == b"\xc3\xa9\n"
    assert path.stat().st_mode == fresh.stat().st_mode
    assert sorted(tmp_path.iterdir()) == [fresh, path]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes_atomically(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_cannot_flush_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def of_files_alone(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_alone)
    write_bytes_atomically(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    inside, most, waited = [0], [0], [0]

    def wait() -> None:
        waited[0] += 1

    def work() -> None:
        for _ in range(3):
            with locked(path, wait):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.02)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1]
    assert waited[0] > 0
    assert not path.exists()


def test_a_killed_holder_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import sys, time; from decision_minrnn.files import locked\n"
    code += "with locked(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    waited: list[int] = []

    def on_wait() -> None:
        waited.append(1)
        process.send_signal(signal.SIGKILL)

    with locked(path, on_wait):
        assert waited == [1]
    process.wait(10)
    process.stdout.close()
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_of_a_killed_holder_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = """
import os, sys, time
from decision_minrnn.files import locked
with locked(sys.argv[1]):
    if os.fork() == 0:
        # the child says so itself: what a fork does in it is done by then
        print(os.getpid(), flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        assert holder(path) == f"process {process.pid} on {socket.gethostname()}"
        process.kill()
        process.wait(10)
        with locked(path, lambda: pytest.fail("still held")):
            assert holder(path) == f"process {os.getpid()} on {socket.gethostname()}"
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_who_holds_it_may_be_an_error(tmp_path: Path) -> None:
    def refuse() -> None:
        raise LookupError(holder(tmp_path / "lock"))

    with locked(tmp_path / "lock"):
        with pytest.raises(LookupError, match=f"process {os.getpid()} on"), locked(tmp_path / "lock", refuse):
            pass
        assert (tmp_path / "lock").exists()
    assert not (tmp_path / "lock").exists()


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
        raise ZeroDivisionError
    with locked(tmp_path / "lock", lambda: pytest.fail("still held")):
        pass
