"""The lock: one at a time, and never held by the dead."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from decision_minrnn.files import locked

pytest.importorskip("fcntl", reason="locks are those of POSIX systems")


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


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
        raise ZeroDivisionError
    with locked(tmp_path / "lock", lambda: pytest.fail("still held")):
        pass
