"""D4RL datasets that are not here: from mirrors into the cache folder, by name, in Python and on the command line."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from recordings import hopper_arrays, write_hdf5
from servers import Served, serving

from decision_minrnn.cards import dataset_cards
from decision_minrnn.cli import main
from decision_minrnn.data import load_dataset
from decision_minrnn.data.fetch import addresses
from decision_minrnn.errors import ConfigError, DataError

FILE = "hopper_random-v2.hdf5"


@pytest.fixture(autouse=True)
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Downloads are allowed, and the addresses of the cards lead nowhere."""
    monkeypatch.delenv("DECISION_MINRNN_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    monkeypatch.setenv("DECISION_MINRNN_CARDS", str(tmp_path / "cards"))
    card(tmp_path, "hopper-random-v2")
    return tmp_path


def card(folder: Path, name: str, **facts: object) -> None:
    """A card that hides the built-in one."""
    path = folder / "cards" / "datasets" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = {"name": name, "source": "d4rl", "location": FILE, "env": "hopper", "env_id": "Hopper-v4"}
    lines |= {"description": "A test.", "urls": ["http://127.0.0.1:9/official/" + FILE]} | facts  # type: ignore[operator]
    path.write_text("\n".join(f"{key} = {value!r}" for key, value in lines.items()))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("content") / "x.hdf5"
    return write_hdf5(path, hopper_arrays(lengths=(30, 20, 25), tail=4)).read_bytes()


def test_the_order_of_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    official = dataset_cards()["hopper-medium-v2"]
    assert addresses(official) == list(official.urls)
    monkeypatch.setenv("DECISION_MINRNN_D4RL_MIRROR", " https://b/x/  https://c")
    expected = [f"{base}/hopper_medium-v2.hdf5" for base in ("https://a", "https://b/x", "https://c")]
    assert addresses(official, ["https://a/"]) == [*expected, *official.urls]
    assert addresses(dataset_cards()["hopper-medium"]) == []


def test_a_name_is_downloaded_from_the_mirror_in_the_environment(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(d4rl=Served(content)) as server:
        monkeypatch.setenv("DECISION_MINRNN_D4RL_MIRROR", f"http://127.0.0.1:9 {server.url}/d4rl")
        data = load_dataset("hopper-random-v2")
    assert (data.steps, data.env_id) == (75, "Hopper-v4")
    # from now on it is here
    assert (tmp_path / "d4rl" / FILE).read_bytes() == content
    assert load_dataset("hopper-random-v2").source == data.source


def test_nobody_has_it(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    card(tmp_path, "hopper-random-v2", size_bytes=1234, sha256=digest)
    began = time.perf_counter()
    with pytest.raises(DataError) as error:
        load_dataset("hopper-random-v2", mirrors=["http://127.0.0.1:9/mine"])
    assert time.perf_counter() - began < 5
    for words in (
        f"there is no {tmp_path / 'd4rl' / FILE}, and it could not be downloaded",
        f"http://127.0.0.1:9/mine/{FILE}: connection refused",
        f"http://127.0.0.1:9/official/{FILE}: connection refused",
        f"(1,234 bytes, sha256 {digest}) where",
        "D4RL_DATASET_DIR",
        "DECISION_MINRNN_D4RL_MIRROR",
    ):
        assert words in str(error.value)


def test_offline_refuses_at_once(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DECISION_MINRNN_OFFLINE", "1")
    served = Served(content)
    with serving(d4rl=served) as server, pytest.raises(DataError, match="DECISION_MINRNN_OFFLINE forbids downloads"):
        load_dataset("hopper-random-v2", mirrors=[f"{server.url}/d4rl"])
    assert served.requests == []
    assert not (tmp_path / "d4rl").exists()


def test_a_mirror_must_be_an_address() -> None:
    with pytest.raises(ConfigError, match=r"'mirror/hopper_random-v2\.hdf5' cannot be downloaded from"):
        load_dataset("hopper-random-v2", mirrors=["mirror"])


def test_data_download_and_show(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(d4rl=Served(content)) as server:
        assert (
            main(["data", "download", "hopper-random-v2", "--mirror", "http://127.0.0.1:9", f"{server.url}/d4rl"]) == 0
        )
        printed = capsys.readouterr()
        assert printed.out == f"hopper-random-v2: {tmp_path / 'd4rl' / FILE}\n"
        assert "connection refused" in printed.err
        assert f"{FILE}: 0.0 of 0.0 MB" in printed.err
        (tmp_path / "d4rl" / FILE).unlink()
        assert main(["data", "show", "hopper-random-v2", "--mirror", f"{server.url}/d4rl", "--json", "-"]) == 0
        assert capsys.readouterr().out.startswith("{")
    # what is here is not downloaded again
    assert main(["data", "download", "hopper-random-v2", "hopper-medium"]) == 0
    assert main(["data", "download"]) in (1, 2)


def test_train_downloads_too_and_takes_the_unfinished_episode_if_told(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--updates", "1", "--width", "8", "--layers", "1", "--batch-size", "2", "--no-evaluate", "--threads", "1"]
    with serving(d4rl=Served(content)) as server:
        monkeypatch.setenv("DECISION_MINRNN_D4RL_MIRROR", f"{server.url}/d4rl")
        assert main(["train", "hopper-random-v2", *small, "--out", str(tmp_path / "run")]) == 0
    assert "75 steps in 3 episodes" in capsys.readouterr().out
    own = ["--unfinished-episode", "--out", str(tmp_path / "own")]
    assert main(["train", "hopper-random-v2", *small, *own]) == 0
    assert "79 steps in 4 episodes" in capsys.readouterr().out
    # and does so again when it goes on
    assert main(["train", "--resume", str(tmp_path / "own")]) == 0
