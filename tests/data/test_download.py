"""Downloads from a real server on this machine: good, slow, cut, wrong and missing files."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from recordings import hopper_arrays, write_hdf5
from servers import PAGE, Served, serving

from decision_minrnn.data.download import DownloadError, DownloadState, download
from decision_minrnn.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of some 700 kB."""
    path = tmp_path_factory.mktemp("content") / "x.hdf5"
    return write_hdf5(path, hopper_arrays(lengths=(5000, 5000))).read_bytes()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "x.hdf5"


def get(target: Path, *urls: str, **facts: object) -> list[DownloadState]:
    states: list[DownloadState] = []
    download(urls, target, on_download=states.append, **{"timeout": 2.0, **facts})  # type: ignore[arg-type]
    return states


def messages(states: list[DownloadState]) -> str:
    return "\n".join(state.message for state in states if state.message)


def left(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()} if target.parent.exists() else set()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_good_file(target: Path, content: bytes) -> None:
    with serving(good=Served(content)) as server:
        states = get(target, f"{server.url}/good/x", size_bytes=len(content), sha256=digest(content).upper())
    assert target.read_bytes() == content
    assert left(target) == {"x.hdf5"}
    assert states[-1] == DownloadState("x.hdf5", len(content), len(content))
    assert [state.received for state in states] == sorted(state.received for state in states)
    assert messages(states) == ""


def test_nothing_is_known_of_it(target: Path, content: bytes) -> None:
    with serving(bare=Served(content, ranges=False, marks=False, length=False)) as server:
        get(target, f"{server.url}/bare/x")
    assert target.read_bytes() == content


def test_a_slow_server_is_waited_for(target: Path, content: bytes) -> None:
    slow = Served(content[:], seconds_between=0.05, piece=len(content) // 8)
    with serving(slow=slow) as server:
        states = get(target, f"{server.url}/slow/x", timeout=1.0)
    assert len(states) >= 8
    assert target.read_bytes() == content


def test_a_silent_server_is_not(target: Path, content: bytes) -> None:
    with serving(silent=Served(content, seconds_between=5)) as server, pytest.raises(DownloadError, match="timed out"):
        get(target, f"{server.url}/silent/x", timeout=0.3)


def test_a_lost_connection_is_taken_up_where_it_was(target: Path, content: bytes) -> None:
    cut = Served(content, cut_after=[100_000, 200_000])
    with serving(cut=cut) as server:
        states = get(target, f"{server.url}/cut/x", sha256=digest(content))
    assert target.read_bytes() == content
    assert [request.get("Range") for request in cut.requests] == [None, "bytes=100000-", "bytes=300000-"]
    assert cut.requests[1]["If-Range"] == cut.etag
    assert "broke off after 100,000 bytes" in messages(states)


def test_a_server_that_cannot_go_on_starts_over(target: Path, content: bytes) -> None:
    cut = Served(content, ranges=False, cut_after=[100_000])
    with serving(cut=cut) as server:
        get(target, f"{server.url}/cut/x")
    assert target.read_bytes() == content
    assert len(cut.requests) == 2


def test_a_server_that_always_breaks_off_is_given_up(target: Path, content: bytes) -> None:
    cut = Served(content, ranges=False, cut_after=[100_000] * 50)
    with serving(cut=cut) as server, pytest.raises(DownloadError, match="broke off after 100,000 bytes"):
        get(target, f"{server.url}/cut/x")
    assert len(cut.requests) == 2
    assert not target.exists()


def interrupted(target: Path, url: str, **facts: object) -> int:
    """A download that is stopped, as by Ctrl-C, when something has arrived; what has."""

    def stop(state: DownloadState) -> None:
        if state.received >= 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([url], target, on_download=stop, **facts)  # type: ignore[arg-type]
    return target.with_name("x.hdf5.part").stat().st_size


def test_a_stopped_download_goes_on(target: Path, content: bytes) -> None:
    good = Served(content)
    with serving(good=good) as server:
        size = interrupted(target, f"{server.url}/good/x")
        assert 0 < size < len(content)
        get(target, f"{server.url}/good/x")
    assert good.requests[1]["Range"] == f"bytes={size}-"
    assert target.read_bytes() == content
    assert left(target) == {"x.hdf5"}


def test_a_file_that_changed_in_between_is_not_joined(target: Path, content: bytes) -> None:
    other = content[:200_000] + content[200_000:][::-1]
    good = Served(content)
    with serving(good=good) as server:
        interrupted(target, f"{server.url}/good/x")
        good.content = other
        get(target, f"{server.url}/good/x")
    assert target.read_bytes() == other


def test_without_a_mark_and_a_digest_it_starts_over(target: Path, content: bytes) -> None:
    good = Served(content, marks=False)
    with serving(good=good) as server:
        interrupted(target, f"{server.url}/good/x", size_bytes=len(content))
        get(target, f"{server.url}/good/x", size_bytes=len(content))
    assert "Range" not in good.requests[1]
    assert target.read_bytes() == content


def test_with_a_digest_another_mirror_goes_on(target: Path, content: bytes) -> None:
    first, second = Served(content), Served(content)
    with serving(first=first, second=second) as server:
        size = interrupted(target, f"{server.url}/first/x", sha256=digest(content))
        get(target, f"{server.url}/second/x", sha256=digest(content))
    assert second.requests[0]["Range"] == f"bytes={size}-"
    assert "If-Range" not in second.requests[0]
    assert target.read_bytes() == content


@pytest.mark.parametrize("length", [200_000, None])
def test_a_damaged_beginning_is_dropped_once(target: Path, content: bytes, length: int | None) -> None:
    """Whether the damaged piece is a part of the file, or as long as all of it."""
    target.parent.mkdir()
    target.with_name("x.hdf5.part").write_bytes(bytes(length or len(content)))
    with serving(good=Served(content)) as server:
        states = get(target, f"{server.url}/good/x", sha256=digest(content))
    assert target.read_bytes() == content
    assert "from an earlier download: starting over" in messages(states)


def test_a_part_that_was_complete_needs_no_bytes(target: Path, content: bytes) -> None:
    good = Served(content)
    target.parent.mkdir()
    with serving(good=good) as server:
        target.with_name("x.hdf5.part").write_bytes(content)
        get(target, f"{server.url}/good/x", sha256=digest(content), size_bytes=len(content))
        assert good.requests == []
        target.rename(target.with_name("x.hdf5.part"))
        get(target, f"{server.url}/good/x", sha256=digest(content))
    assert len(good.requests) == 1
    assert target.read_bytes() == content


def wrong(name: str, content: bytes) -> tuple[Served, str]:
    """A server that does not give the right file, and what is said of it."""
    other = content[:-1] + bytes([content[-1] ^ 1])
    served = {
        "checksum": Served(other),
        "size": Served(content + b"0"),
        "shorter": Served(content[:-1], length=False),
        "longer": Served(content + bytes(1 << 20), length=False),
        "missing": Served(b"", status=404),
        "error": Served(b"", status=503),
        "page": Served(PAGE, length=False),
        "file": Served(b"", location="file:///etc/passwd"),
        "ftp": Served(b"", location="ftp://127.0.0.1/x"),
        "nothing": Served(b""),
    }[name]
    said = {
        "checksum": f"its sha256 is {digest(other)}, expected {digest(content)}",
        "size": f"it has a file of {len(content) + 1:,} bytes, expected {len(content):,}",
        "shorter": f"{len(content) - 1:,} bytes came, expected {len(content):,}",
        "longer": f"it sent more than the {len(content):,} bytes that it should have",
        "missing": "HTTP status 404",
        "error": "HTTP status 503",
        "page": "what it sent is not an HDF5 file (it begins with b'<!DOCTYP')",
        "file": "HTTP status 302",
        "ftp": "unknown url type: ftp",
        "nothing": "broke off after 0 bytes",
    }[name]
    return served, said


@pytest.mark.parametrize(
    "name", ["checksum", "size", "shorter", "longer", "missing", "error", "page", "file", "ftp", "nothing"]
)
def test_a_wrong_file_is_refused_and_the_next_mirror_tried(target: Path, content: bytes, name: str) -> None:
    served, said = wrong(name, content)
    facts = {"size_bytes": len(content), "sha256": digest(content)}
    with serving(wrong=served, good=Served(content)) as server:
        with pytest.raises(DownloadError) as error:
            get(target, f"{server.url}/wrong/x", **facts)
        assert f"{server.url}/wrong/x: {said}" in str(error.value)
        assert not target.exists()
        served.requests.clear()
        states = get(target, f"{server.url}/wrong/x", f"{server.url}/good/x", **facts)
        assert served.requests
    assert said in messages(states)
    assert target.read_bytes() == content
    assert left(target) == {"x.hdf5"}


@pytest.mark.parametrize("name", ["checksum", "longer", "page"])
def test_nothing_wrong_is_kept(target: Path, content: bytes, name: str) -> None:
    served, _ = wrong(name, content)
    with serving(wrong=served) as server, pytest.raises(DownloadError):
        get(target, f"{server.url}/wrong/x", size_bytes=len(content), sha256=digest(content))
    assert left(target) == set()


def test_a_page_in_place_of_a_file_of_which_nothing_is_known(target: Path) -> None:
    with serving(page=Served(PAGE)) as server, pytest.raises(DownloadError, match="not an HDF5 file"):
        get(target, f"{server.url}/page/x")
    assert left(target) == set()


def test_a_redirect_is_followed_with_its_range(target: Path, content: bytes) -> None:
    good = Served(content, cut_after=[100_000])
    with serving(good=good, moved=Served(b"", location="/good/x")) as server:
        get(target, f"{server.url}/moved/x")
    assert target.read_bytes() == content
    assert good.requests[1]["Range"] == "bytes=100000-"


def test_nobody_listens(target: Path, content: bytes) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    with serving(good=Served(content)) as server:
        states = get(target, f"{closed}/x", f"{server.url}/good/x")
    assert "connection refused" in messages(states)
    assert target.read_bytes() == content


def test_a_host_that_accepts_and_never_answers(target: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.perf_counter()
        with pytest.raises(DownloadError, match=r"timed out|no answer"):
            get(target, f"http://127.0.0.1:{silent.getsockname()[1]}/x", timeout=0.3)
    assert time.perf_counter() - began < 3


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "file:///etc/passwd", "data:,x", "host/x", "http:///x", "http://[::1", ""]
)
def test_other_addresses_are_refused_before_anything_is_done(target: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="expected an address like https://host/folder"):
        get(target, "http://127.0.0.1:1/x", url)
    assert not target.parent.exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*x\.hdf5: (File exists|Not a directory)"):
        get(tmp_path / "file" / "x.hdf5", "http://127.0.0.1:1/x")


def test_a_disk_without_room(target: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("decision_minrnn.data.download.shutil.disk_usage", lambda path: usage)
    with serving(good=Served(content)) as server, pytest.raises(DataError, match="the disk has 1,000 left"):
        get(target, f"{server.url}/good/x")


def test_two_at_once_download_once(target: Path, content: bytes) -> None:
    slow = Served(content, seconds_between=0.05, piece=len(content) // 8)
    states: list[list[DownloadState]] = []
    with serving(slow=slow) as server:
        threads = [
            threading.Thread(target=lambda: states.append(get(target, f"{server.url}/slow/x"))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(slow.requests) == 1
    assert "waiting for another process" in "\n".join(map(messages, states))
    assert target.read_bytes() == content
    assert left(target) == {"x.hdf5"}


def test_a_killed_process_is_gone_on_with_by_the_next(target: Path, content: bytes) -> None:
    slow = Served(content, seconds_between=0.05, piece=len(content) // 40)
    code = "import sys, pathlib; from decision_minrnn.data.download import download; "
    code += "download([sys.argv[1]], pathlib.Path(sys.argv[2]))"
    with serving(slow=slow) as server:
        command = [sys.executable, "-c", code, f"{server.url}/slow/x", str(target)]
        process = subprocess.Popen(command, env={**os.environ, "NO_PROXY": "127.0.0.1"})
        part = target.with_name("x.hdf5.part")
        limit = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 50_000) and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        size = part.stat().st_size
        assert 0 < size < len(content)
        assert not target.exists()
        slow.seconds_between = 0
        subprocess.run(command, check=True, timeout=60, env={**os.environ, "NO_PROXY": "127.0.0.1"})
    assert slow.requests[1]["Range"] == f"bytes={size}-"
    assert target.read_bytes() == content
    assert left(target) == {"x.hdf5"}
