"""Environments that a card's own function registers: found beside the card, run only on account of a card."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import h5py
import numpy as np
import pytest

from decision_minrnn.cards import env_card
from decision_minrnn.cli import main
from decision_minrnn.data import load_dataset
from decision_minrnn.doctor import examine
from decision_minrnn.envs import Environments
from decision_minrnn.errors import ConfigError, UnknownNameError

OWN = """
import gymnasium
import numpy as np
from gymnasium.spaces import Box

registered = 0
number = 3


class Track(gymnasium.Env):
    "Pays the action; shows the step, the first as 1."
    observation_space = Box(0, 100, (1,), np.float64)
    action_space = Box(-2, 2, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 1.0
        return np.full(1, self.time), {}

    def step(self, action):
        self.time += 1
        return np.full(1, self.time), action[0], False, False, {}


def register():
    global registered
    registered += 1
    gymnasium.register("Track-v0", Track, max_episode_steps=5)


def register_by_name():
    gymnasium.register("Track-v0", "track_elsewhere:Track", max_episode_steps=5)


def fail():
    raise OSError("no licence for the simulator")


def register_another():
    gymnasium.register("Trick-v0", Track)
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the card `track.toml` and the module `track.py`; what Python and gymnasium learn is forgotten."""
    modules, registry = set(sys.modules), dict(gymnasium.registry)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "track.py").write_text(OWN)
    write_card(folder)
    yield folder
    for name in set(sys.modules) - modules:
        if name.startswith("track"):
            del sys.modules[name]
    gymnasium.registry.clear()
    gymnasium.registry.update(registry)


def write_card(folder: Path, register: str = "track:register", env_id: str = "Track-v0") -> Path:
    path = folder / "track.toml"
    path.write_text(f'env_id = "{env_id}"\nregister = "{register}"\n')
    return path


def write_recording(path: Path, env_id: str | None = None) -> Path:
    """Eight episodes of five steps in the Track."""
    actions = np.random.default_rng(0).uniform(-2, 2, (40, 1)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["observations"] = np.tile(np.arange(1.0, 6.0), 8)[:, None]
        file["actions"], file["rewards"] = actions, actions[:, 0]
        file["terminals"], file["timeouts"] = np.zeros(40, bool), np.arange(40) % 5 == 4
        if env_id:
            file["metadata/env_id"] = env_id
    return path


def test_a_card_given_by_its_path(own: Path) -> None:
    card = env_card(str(own / "track.toml"))
    assert (card.name, card.ids) == ("track", ("Track-v0",))
    assert "track" not in sys.modules  # reading a card runs nothing
    with Environments("Track-v0", card=card) as environments:
        environments.reset(0, seed=0)
        assert environments.step(0, np.array([1.5])).reward == 1.5
    Environments("Track-v0").close()
    Environments("Track-v0", card=card).close()
    assert sys.modules["track"].registered == 1  # type: ignore[attr-defined]


def test_a_card_in_a_card_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown environment 'Track-v0'.*give its path with --env"):
        Environments("Track-v0")
    own.rename(own.with_name("envs"))
    monkeypatch.setenv("DECISION_MINRNN_CARDS", str(own.parent))
    Environments("Track-v0").close()


def test_importing_the_module_may_be_enough(own: Path) -> None:
    with (own / "track.py").open("a") as file:
        file.write("\nregister()\n")
    Environments("Track-v0", card=env_card(str(own / "track.toml"))).close()
    assert sys.modules["track"].registered == 1  # type: ignore[attr-defined]


def test_a_module_that_is_imported_when_the_environment_is_made(own: Path) -> None:
    (own / "track_elsewhere.py").write_text("from track import Track\n")
    Environments("Track-v0", card=env_card(str(write_card(own, "track:register_by_name")))).close()
    assert "track_elsewhere" in sys.modules


def test_what_is_installed_is_not_hidden_by_what_lies_beside_a_card(own: Path) -> None:
    (own / "colorsys.py").write_text("raise RuntimeError")
    Environments("Track-v0", card=env_card(str(own / "track.toml"))).close()
    import colorsys

    assert callable(colorsys.rgb_to_hsv)


@pytest.mark.parametrize(
    ("register", "message"),
    [
        ("track", "register = 'track' should have the form \"module:function\""),
        ("track:", 'should have the form "module:function"'),
        ("trick:register", "the module trick is not installed, nor is it beside the card in {folder}. Install"),
        ("track.deeper:register", "the module track.deeper is not installed"),
        ("track:registre", "registre is not there, in {folder}/track.py"),
        ("track:number", "number is not a function, in {folder}/track.py"),
        ("track:fail", "failed: OSError: no licence for the simulator"),
        ("track:register_another", "lists Track-v0, but track:register_another did not register that id"),
        ("track_needy:register", "track_needy imports no_such_package, which is not installed"),
        ("track_broken:register", "importing track_broken failed: SyntaxError"),
    ],
)
def test_functions_that_cannot_be_used(own: Path, register: str, message: str) -> None:
    (own / "track_needy.py").write_text("import no_such_package")
    (own / "track_broken.py").write_text("def register(:")
    card = env_card(str(write_card(own, register)))
    with pytest.raises(ConfigError) as error:
        Environments("Track-v0", card=card)
    assert message.format(folder=own) in str(error.value)
    assert str(own / "track.toml") in str(error.value)


SMALL = (
    "--width 8 --layers 1 --batch-size 4 --updates 6 --checkpoint-every 3 --threads 1 --context 5 --episodes 2 "
    "--out run"
)


def test_every_command_goes_through_the_card(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recording(own / "recorded.hdf5")
    assert main(["train", "own/recorded.hdf5", "--env", "own/track.toml", *SMALL.split()]) == 0
    printed = capsys.readouterr().out
    best = float(load_dataset("own/recorded.hdf5").returns.max())
    assert f"target    {best:g}, the highest return in the data; --targets names others" in printed
    assert "Track-v0, carried memory" in printed
    assert main(["data", "check", "own/recorded.hdf5", "--env", "own/track.toml"]) == 0
    assert "environment Track-v0" in capsys.readouterr().out
    config = json.loads(Path("run/config.json").read_text())
    assert config["cards"] == {"env": "track", "dataset": None}

    del gymnasium.registry["Track-v0"]
    assert main(["evaluate", "run", "--episodes", "1"]) == 1
    assert "give its path with --env, for each command anew" in capsys.readouterr().err
    assert main(["evaluate", "run", "--episodes", "1", "--env", "own/track.toml"]) == 0

    del gymnasium.registry["Track-v0"]
    Path("run/checkpoints/update-0000006").rename("update-0000006")
    assert main(["train", "--resume", "run"]) == 1
    assert "Give it anew: decision-minrnn train --resume run --env own/track.toml" in capsys.readouterr().err
    assert "Track-v0" not in gymnasium.registry
    assert main(["train", "--resume", "run", "--env", "own/track.toml"]) == 0
    assert Path("run/checkpoints/update-0000006").is_dir()


def test_nothing_in_a_run_or_a_dataset_runs_code(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # a run folder from someone else: a card, code beside it, and settings and recordings that point there
    write_recording(own / "recorded.hdf5")
    flags = [*SMALL.split(), "--no-evaluate"]
    assert main(["train", "own/recorded.hdf5", "--env", "hopper", *flags]) == 1  # of other sizes
    assert main(["train", "own/recorded.hdf5", *flags]) == 0
    Path("run/checkpoints/update-0000006").rename("update-0000006")
    content = json.loads(Path("run/config.json").read_text())
    content["train"] |= {"env": "own/track.toml", "evaluate": True}
    for env_id in ("Track-v0", "track:Track-v0", "own/track.toml"):
        content["task"]["env_id"] = env_id
        content["cards"]["env"] = "own/track.toml"
        Path("run/config.json").write_text(json.dumps(content))
        for command in (["evaluate", "run"], ["train", "--resume", "run"]):
            assert main(command) == 1
        recording = write_recording(own / "named.hdf5", env_id)
        assert load_dataset(recording).env is None
        assert examine(recording).steps == 40
        assert main(["train", str(recording), *SMALL.split()[:-1], "other"]) == 1
    assert "track" not in sys.modules
    assert not Path("other").exists()
