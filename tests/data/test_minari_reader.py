"""The reader of Minari datasets, on datasets that minari itself writes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from decision_minrnn.data import load_dataset
from decision_minrnn.data.minari import places
from decision_minrnn.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def minari_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local folder of Minari's own, and no network."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.delenv("DECISION_MINRNN_OFFLINE")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MINARI_REMOTE", raising=False)
    return tmp_path


def hopper_episodes(count: int = 3, limit: int = 12) -> list[EpisodeBuffer]:
    """Episodes of random actions in Hopper-v5, cut after `limit` steps."""
    env = gymnasium.make("Hopper-v5", max_episode_steps=limit)
    env.action_space.seed(0)
    episodes = []
    for seed in range(count):
        observations, ends = [env.reset(seed=seed)[0]], []
        actions, rewards = [], []
        while not ends or not any(ends[-1]):
            actions.append(env.action_space.sample())
            observation, reward, *end, _ = env.step(actions[-1])
            observations.append(observation)
            rewards.append(reward)
            ends.append(tuple(end))
        episodes.append(
            EpisodeBuffer(
                observations=observations,
                actions=actions,
                rewards=rewards,
                terminations=[end[0] for end in ends],
                truncations=[end[1] for end in ends],
                infos={},
            )
        )
    return episodes


def write_hopper(name: str = "test/hopper-v0", **options: float) -> list[EpisodeBuffer]:
    episodes = hopper_episodes()
    minari.create_dataset_from_buffers(name, episodes, env="Hopper-v5", **options)
    return episodes


def test_rows_are_aligned(minari_folder: Path) -> None:
    episodes = write_hopper()
    data = load_dataset("test/hopper-v0")
    assert data.episodes == len(episodes) == 3
    for read, written in zip(data, episodes, strict=True):
        assert len(written.observations) == len(written.rewards) + 1
        np.testing.assert_array_equal(read.observations, np.asarray(written.observations[:-1], np.float32))
        np.testing.assert_array_equal(read.actions, written.actions)
        np.testing.assert_array_equal(read.rewards, np.asarray(written.rewards, np.float32))
        assert (read.terminated, read.truncated) == (written.terminations[-1], written.truncations[-1])
    assert {a.dtype for a in (data.observations, data.actions, data.rewards)} == {np.dtype(np.float32)}


def test_environment_and_bounds_come_from_the_dataset(minari_folder: Path) -> None:
    write_hopper()
    data = load_dataset("test/hopper-v0")
    assert (data.env_id, data.name) == ("Hopper-v5", "test-hopper-v0")
    assert data.env is not None
    assert data.env.name == "hopper"
    np.testing.assert_array_equal(data.action_low, [-1, -1, -1])
    assert data.source == (
        f"test/hopper-v0: Minari dataset, {data.steps} steps in 3 episodes (Hopper-v5); "
        "3 episodes cut short, before step 1,000"
    )
    assert set(data.references) == {"d4rl"}


def test_reference_of_the_metadata(minari_folder: Path) -> None:
    write_hopper(ref_min_score=10.0, ref_max_score=20.0)
    reference = load_dataset("test/hopper-v0").references["minari-metadata"]
    assert (reference.min, reference.max) == (10, 20)


@pytest.mark.parametrize("inside", ["", "data"])
def test_a_folder_is_read_by_its_path(minari_folder: Path, inside: str) -> None:
    write_hopper()
    data = load_dataset(minari_folder / "test" / "hopper-v0" / inside)
    assert (data.episodes, data.name) == (3, "hopper-v0")


def test_the_name_of_a_card_is_looked_for_in_minaris_folder(minari_folder: Path) -> None:
    write_hopper("mujoco/hopper/medium-v0")
    assert load_dataset("mujoco/hopper/medium-v0").name == "mujoco-hopper-medium-v0"
    assert load_dataset("hf://farama-minari/mujoco/hopper/medium-v0").episodes == 3


def test_dictionaries_and_images_are_named(minari_folder: Path) -> None:
    box = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    switches = gymnasium.spaces.MultiBinary(2)
    image = gymnasium.spaces.Box(0, 255, (40, 40, 3), np.uint8)
    dictionary = gymnasium.spaces.Dict({"place": box})
    rows = np.zeros((3, 2), np.float32)
    cases = {
        "dict": (dictionary, {"place": list(rows)}, box, list(rows[:2]), "observation space is Dict"),
        "switches": (box, list(rows), switches, list(np.zeros((2, 2), np.int8)), r"action space is MultiBinary\(2\)"),
        "image": (
            image,
            list(np.zeros((3, 40, 40, 3), np.uint8)),
            box,
            list(rows[:2]),
            "observation space is Box.*40, 40",
        ),
    }
    for name, (observation_space, observations, action_space, actions, message) in cases.items():
        episode = EpisodeBuffer(
            observations=observations,
            actions=actions,
            rewards=[0.0, 0.0],
            terminations=[False, True],
            truncations=[False, False],
            infos={},
        )
        minari.create_dataset_from_buffers(
            f"{name}-v0", [episode], observation_space=observation_space, action_space=action_space
        )
        with pytest.raises(DataError, match=message):
            load_dataset(f"{name}-v0")


def change(file: Path, edit: Callable[[h5py.File], None]) -> None:
    with h5py.File(file, "r+") as opened:
        edit(opened)


def test_damage_is_refused(minari_folder: Path) -> None:
    write_hopper()
    folder = minari_folder / "test" / "hopper-v0" / "data"
    data, metadata = folder / "main_data.hdf5", folder / "metadata.json"
    whole, described = data.read_bytes(), metadata.read_text()

    def nan(file: h5py.File) -> None:
        file["episode_1/rewards"][2] = np.nan

    def short(file: h5py.File) -> None:
        rows = file["episode_1/observations"][:-1]
        del file["episode_1/observations"]
        file["episode_1/observations"] = rows

    def wide(file: h5py.File) -> None:
        rows = file["episode_1/observations"][()]
        del file["episode_1/observations"]
        file["episode_1/observations"] = np.concatenate([rows, rows], axis=1)

    def lost(file: h5py.File) -> None:
        del file["episode_1"]

    for edit, message in (
        (nan, "rewards holds NaN"),
        (short, r"episode 1 holds .*T\+1 observations of shape \[11\]"),
        (wide, r"episode 1 holds .*\[\d+, 22\]"),
        (lost, "minari cannot read"),
    ):
        change(data, edit)
        with pytest.raises(DataError, match=message):
            load_dataset(folder)
        data.write_bytes(whole)
    metadata.write_text(json.dumps(json.loads(described) | {"total_steps": 7}))
    with pytest.raises(DataError, match="the metadata counts 7 steps"):
        load_dataset(folder)
    metadata.write_text(described[:50])
    with pytest.raises(DataError, match="minari cannot read"):
        load_dataset(folder)
    metadata.write_text(described)
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is damaged, incomplete or not an HDF5 file"):
        load_dataset(folder)


def test_an_episode_without_an_end_mark_counts_as_truncated(minari_folder: Path) -> None:
    write_hopper()
    folder = minari_folder / "test" / "hopper-v0" / "data"

    def unmark(file: h5py.File) -> None:
        file["episode_1/truncations"][-1] = False
        file["episode_1/terminations"][-1] = False

    change(folder / "main_data.hdf5", unmark)
    data = load_dataset(folder)
    assert (data.terminated[1], data.truncated[1]) == (False, True)
    assert "1 episodes without an end mark" in data.source


def test_a_missing_dataset_without_a_network_fails_fast(minari_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"not on this machine.*HF_HUB_OFFLINE forbids.*MINARI_DATASETS_PATH"):
        load_dataset("mujoco/hopper/expert-v0")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(
        DataError, match=r"http://127.0.0.1:9 cannot be reached.*minari download mujoco/hopper/expert-v0"
    ):
        load_dataset("hf://farama-minari/mujoco/hopper/expert-v0")
    assert time.monotonic() - start < 6
    assert list(minari_folder.iterdir()) == []


def test_a_mistyped_id_suggests_the_nearest(minari_folder: Path) -> None:
    with pytest.raises(DataError, match=r"Did you mean mujoco/hopper/expert-v0\?"):
        load_dataset("mujoco/hoper/expert-v0")
    with pytest.raises(DataError, match=r"(?<!mean mujoco/hopper/expert-v0\?)$"):
        load_dataset("mujoco/hopper/expert-v0")


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def silent(*_: object, **__: object) -> None:
        over.wait(10)
        raise OSError

    monkeypatch.setattr(places.urllib.request, "urlopen", silent)
    start = time.monotonic()
    assert not places.reachable("http://127.0.0.1:9", timeout=0.2)
    assert time.monotonic() - start < 5
    over.set()
