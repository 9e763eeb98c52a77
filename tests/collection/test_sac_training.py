"""Training with stable-baselines3: what it writes, and that a stop at any step changes nothing."""

from __future__ import annotations

import random
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import PendulumEnv
from rich.console import Console

from decision_minrnn.collection.config import SACSettings
from decision_minrnn.collection.folder import SACFolder
from decision_minrnn.collection.training import train_sac
from decision_minrnn.errors import CheckpointError, ConfigError, MissingExtraError
from decision_minrnn.interruption import Interruption, TrainingInterrupted
from decision_minrnn.progress import Part, Progress

needs_sac = pytest.mark.skipif(find_spec("stable_baselines3") is None, reason="needs the extra collect")

STEPS = 90


class Unrepeatable(PendulumEnv):
    """A pendulum that starts where it likes, whatever the seed."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=None, options=options)


gymnasium.register("decision-minrnn-tests/Unrepeatable-v0", Unrepeatable, max_episode_steps=24)
gymnasium.register("decision-minrnn-tests/ShortPendulum-v0", PendulumEnv, max_episode_steps=24)


def settings(**changes: Any) -> SACSettings:
    defaults: dict[str, Any] = {
        "env_id": "decision-minrnn-tests/ShortPendulum-v0",
        "seed": 0,
        "environments": 2,
        "warmup": 40,
        "evaluate_every": 30,
        "evaluation_episodes": 2,
    }
    return SACSettings(**defaults | changes)


def train(folder: Path, steps: int = STEPS, least: float = np.inf, **changes: Any) -> SACFolder:
    """Train until a return is reached."""
    place = SACFolder(folder, settings(**changes))
    with Interruption() as interruption, Progress(Console(quiet=True)) as progress:
        train_sac(
            place,
            steps,
            lambda evaluations: any(found.return_mean >= least for found in evaluations),
            device=torch.device("cpu"),
            progress=progress,
            interruption=interruption,
        )
    return place


def stop_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """A signal comes in this step."""
    advance = Part.advance

    def advance_and_stop(part: Part, note: str, to: int | None = None) -> None:
        advance(part, note, to)
        if to == step:
            signal.raise_signal(signal.SIGTERM)

    patch.setattr(Part, "advance", advance_and_stop)


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The leaves of a state."""
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: leaf for inner, item in items for key, leaf in flat(item, f"{name}/{inner}").items()}
    return {name: value.tolist() if isinstance(value, torch.Tensor) else value}


def assert_same(one: SACFolder, other: SACFolder) -> None:
    first, second = one.state(), other.state()
    assert first is not None
    assert flat(first) == flat(second)
    for a, b in zip(one.transitions(first["steps"]), other.transitions(first["steps"]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one.path / "metrics.jsonl").read_text() == (other.path / "metrics.jsonl").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SACFolder:
    pytest.importorskip("stable_baselines3", reason="needs the extra collect")
    return train(tmp_path_factory.mktemp("whole") / "sac")


def test_what_a_training_leaves(whole: SACFolder) -> None:
    assert [found.step for found in whole.evaluations(STEPS)] == [30, 60, 90]
    assert [found.step for found in whole.evaluations(89)] == [30, 60]
    transitions = whole.transitions(STEPS)
    assert len(transitions.rewards) == STEPS
    # two environments in turn, episodes of 24 steps cut by the time limit
    assert np.flatnonzero(transitions.truncated).tolist() == [46, 47]
    assert not transitions.terminated.any()
    same = transitions.observations[2:] == transitions.next_observations[:-2]
    assert np.flatnonzero(~same.all(axis=1)).tolist() == [46, 47]
    assert len(np.unique(transitions.actions[:40])) == 40
    assert whole.actor(30).observation_size == 3
    untrained, trained = (whole.actor(step).mean.weight for step in (30, 90))
    assert not np.array_equal(untrained, trained)


@needs_sac
def test_a_training_that_is_stopped_is_the_training_that_is_not(
    whole: SACFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in the warm-up, at an evaluation, right before another, and twice within one episode
    for step in (2, 30, 58, 60, 72, 74):
        with monkeypatch.context() as patch:
            stop_at(step, patch)
            with pytest.raises(TrainingInterrupted, match=rf"stopped at step {step} of 90, and saved") as caught:
                train(tmp_path / "sac")
        assert caught.value.exit_code == 143
    assert_same(train(tmp_path / "sac"), whole)


@needs_sac
def test_what_was_written_after_the_state_is_written_again(whole: SACFolder, tmp_path: Path) -> None:
    cut = train(tmp_path / "sac", steps=60)
    state = cut.state()
    assert state is not None
    train(tmp_path / "sac")
    (cut.path / "actors" / ".0000090.npz.x.tmp").touch()
    cut.save_state(state)  # as if the machine had stopped right before the last state was written
    before = (cut.path / "actors" / "0000090.npz").stat().st_mtime_ns
    (cut.path / "metrics.jsonl").write_text("".join((cut.path / "metrics.jsonl").open().readlines()[:2]))
    assert_same(train(tmp_path / "sac"), whole)
    assert (cut.path / "actors" / "0000090.npz").stat().st_mtime_ns > before
    assert sorted(path.name for path in (cut.path / "actors").iterdir()) == [
        f"00000{step}.npz" for step in (30, 60, 90)
    ]


@needs_sac
def test_training_ends_with_an_evaluation_that_is_enough(whole: SACFolder, tmp_path: Path) -> None:
    least = whole.evaluations(30)[0].return_mean
    folder = train(tmp_path / "sac", least=least)
    assert [found.step for found in folder.evaluations(STEPS)] == [30]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "stable_baselines3", None)
        train(tmp_path / "sac", least=least)  # needs nothing that is not there
    assert_same(train(tmp_path / "sac"), whole)


@needs_sac
def test_an_environment_that_does_not_repeat_begins_anew_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(20, patch)
        with pytest.raises(TrainingInterrupted):
            train(tmp_path / "sac", env_id="decision-minrnn-tests/Unrepeatable-v0")
    folder = train(tmp_path / "sac", env_id="decision-minrnn-tests/Unrepeatable-v0")
    # steps 18 and 19 are the last of the two episodes that were under way
    assert np.flatnonzero(folder.transitions(STEPS).truncated).tolist() == [18, 19, 66, 67]


@needs_sac
def test_falling_is_an_end_and_not_a_cut(tmp_path: Path) -> None:
    folder = train(tmp_path / "sac", env_id="InvertedPendulum-v5", steps=30, environments=1)
    transitions = folder.transitions(30)
    assert transitions.terminated.sum() > 0
    assert not transitions.truncated.any()


@needs_sac
def test_the_callers_random_numbers_are_left_alone(tmp_path: Path) -> None:
    def drawn() -> tuple[float, float, float]:
        return float(np.random.uniform()), random.random(), torch.rand(()).item()  # noqa: NPY002

    numbers, pythons, torchs = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    expected = drawn()
    np.random.set_state(numbers)  # noqa: NPY002
    random.setstate(pythons)
    torch.set_rng_state(torchs)
    train(tmp_path / "sac", steps=30)
    assert drawn() == expected


def test_a_missing_extra_is_named_and_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(MissingExtraError, match=r"stable-baselines3.*decision-minrnn\[collect\]"):
        train(tmp_path / "sac")
    assert not (tmp_path / "sac").exists()


@needs_sac
def test_a_folder_of_other_settings_or_things_is_refused(whole: SACFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"other settings: seed 0 \(now 1\), warmup 40 \(now 70\)\. .*--work"):
        SACFolder(whole.path, settings(seed=1, warmup=70))
    (tmp_path / ".config.json.x.tmp").touch()
    SACFolder(tmp_path, settings())  # a crash before anything was there
    (tmp_path / "text").write_text("text")
    for path in (tmp_path, tmp_path / "text"):
        with pytest.raises(ConfigError, match="holds no training of SAC"):
            SACFolder(path, settings())


@needs_sac
def test_damage_is_named_with_its_remedy(tmp_path: Path) -> None:
    folder = train(tmp_path / "sac", steps=30)
    state = folder.path / "state.pt"
    content = state.read_bytes()
    for damaged in (b"", content[: len(content) // 2]):
        state.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"state\.pt is damaged.*Remove .*sac to train from the beginning"):
            train(tmp_path / "sac")
    state.write_bytes(content)
    (part,) = (folder.path / "transitions").iterdir()
    part.unlink()
    with pytest.raises(CheckpointError, match="lacks the steps 0 to 30"):
        train(tmp_path / "sac")
    part.write_bytes(b"text")
    with pytest.raises(CheckpointError, match="is damaged"):
        train(tmp_path / "sac")
    (folder.path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        train(tmp_path / "sac")
