"""How a name becomes a place, in the documented order, and what is said where there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import hopper_arrays, write_hdf5

from decision_minrnn.cards import dataset_cards
from decision_minrnn.data import load_dataset
from decision_minrnn.data.resolve import d4rl_file_name, d4rl_folder, locate, locate_card
from decision_minrnn.errors import ConfigError, DataError, UnknownNameError


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "d4rl").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_a_card_comes_before_a_path_of_the_same_name() -> None:
    Path("hopper-medium").mkdir()
    assert locate("hopper-medium").card == dataset_cards()["hopper-medium"]
    with pytest.raises(DataError, match="the folder hopper-medium is not a dataset: it is empty"):
        load_dataset("./hopper-medium")


def test_an_alias_is_the_card() -> None:
    card = locate("hopper-medium-mini").card
    assert card is not None
    assert card.name == "hopper-medium"


def test_a_path_comes_before_a_minari_id() -> None:
    folder = Path("mine") / "data-v0"
    folder.mkdir(parents=True)
    assert locate("mine/data-v0").minari_id is None
    folder.rmdir()
    assert locate("mine/data-v0").minari_id == "mine/data-v0"


def test_d4rl_name_in_the_cache_folder() -> None:
    write_hdf5(d4rl_folder() / "hopper_medium_replay-v2.hdf5", hopper_arrays())
    data = load_dataset("hopper-medium-replay-v2")
    assert (data.name, data.env_id) == ("hopper-medium-replay-v2", "Hopper-v4")
    assert "hopper_medium_replay-v2.hdf5" in data.source
    assert "not the published file" in data.source


def test_d4rl_name_without_a_card() -> None:
    write_hdf5(d4rl_folder() / "hopper_random-v1.hdf5", hopper_arrays())
    assert load_dataset("hopper-random-v1").env_id == "Hopper-v4"
    assert d4rl_file_name("hopper-full-replay-v2") == "hopper_full_replay-v2.hdf5"


def test_d4rl_name_that_is_not_in_the_cache_folder() -> None:
    with pytest.raises(DataError) as error:
        load_dataset("walker2d-medium-expert-v2")
    message = str(error.value)
    assert str(d4rl_folder() / "walker2d_medium_expert-v2.hdf5") in message
    assert "gym_mujoco_v2/walker2d_medium_expert-v2.hdf5" in message
    assert "462,197,079 bytes" in message
    assert "D4RL_DATASET_DIR" in message


def test_nothing_is_created_by_looking(tmp_path: Path) -> None:
    for card in dataset_cards().values():
        locate_card(card)
    assert not (tmp_path / "minari").exists()
    assert list(d4rl_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("hoper-medium", "hopper-medium"),
        ("hopper-medum-v2", "hopper-medium-v2"),
        ("halfchetah-medium-v2", "halfcheetah-medium-v2"),
    ],
)
def test_unknown_name_suggests_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"unknown dataset '{name}'. Did you mean .*{near}"):
        load_dataset(name)


@pytest.mark.parametrize("name", ["", "no/such/folder", "/no/such", "text.txt", "a b c"])
def test_unknown_names_of_other_forms(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown dataset.*path of an HDF5 or npz file"):
        load_dataset(name)


def test_an_hdf5_path_with_nothing_there() -> None:
    with pytest.raises(DataError, match=r"there is no file missing\.hdf5 \(looked for in .*work\)"):
        load_dataset("missing.hdf5")


@pytest.mark.parametrize("address", ["ftp://host/hopper.hdf5", "https://host/hopper.hdf5", "file:///hopper.npz"])
def test_addresses_are_not_paths(address: str) -> None:
    with pytest.raises(DataError, match=r"is an address, but neither a file.*Download the file"):
        load_dataset(address)


def test_a_folder_or_file_of_something_else() -> None:
    Path("photos").mkdir()
    Path("photos", "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"photos is not a dataset: it holds a\.jpg.*metadata\.json"):
        load_dataset("photos")
    Path("notes.txt").write_text("text")
    with pytest.raises(DataError, match=r"notes\.txt is in no format.*HDF5, npz in D4RL's layout, Minari"):
        load_dataset("notes.txt")


def test_a_folder_called_like_an_hdf5_file() -> None:
    Path("x.hdf5").mkdir()
    with pytest.raises(DataError, match="not a dataset"):
        load_dataset("x.hdf5")


def test_hdf5_is_known_by_its_content_too() -> None:
    assert load_dataset(write_hdf5(Path("recording"), hopper_arrays())).name == "recording"


def test_the_users_environment_must_exist() -> None:
    path = write_hdf5(Path("x.hdf5"), hopper_arrays())
    with pytest.raises(UnknownNameError, match=r"unknown environment 'Hoper-v5'. Did you mean Hopper-v"):
        load_dataset(path, env="Hoper-v5")
    with pytest.raises(ConfigError, match=r"cannot read the card mine\.toml"):
        load_dataset(path, env="mine.toml")


def test_a_card_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cards" / "datasets"
    folder.mkdir(parents=True)
    write_hdf5(folder / "mine.hdf5", hopper_arrays())
    (folder / "mine.toml").write_text(
        'name = "mine"\nsource = "embedded"\nlocation = "mine.hdf5"\nenv = "hopper"\nenv_id = "Hopper-v5"\n'
        'description = "Mine."\n'
    )
    monkeypatch.setenv("DECISION_MINRNN_CARDS", str(tmp_path / "cards"))
    assert load_dataset("mine").env_id == "Hopper-v5"
    assert load_dataset("hopper-medium").episodes > 100
