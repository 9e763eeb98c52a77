"""`data collect` from the command line: datasets that plain minari takes, errors before anything is written, a kill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from tiny import LEDGER, train_config, trajectories

from decision_minrnn.cli import main
from decision_minrnn.collection.config import CollectConfig
from decision_minrnn.data import load_dataset
from decision_minrnn.errors import ConfigError
from decision_minrnn.tracking import read_metrics
from decision_minrnn.training import train


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def collect(*arguments: str) -> int:
    return main(["data", "collect", *arguments])


def test_random_data_that_plain_minari_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert collect("hopper", "--tier", "random", "--steps", "200", "--seed", "3", "--reference-episodes", "5") == 0
    printed = capsys.readouterr().out
    assert "written   " in printed
    dataset = minari.load_dataset("decision-minrnn/hopper-random-v0")
    assert dataset.total_steps >= 200
    for episode in dataset.sample_episodes(3):
        assert len(episode.observations) == len(episode.actions) + 1 == len(episode.rewards) + 1
        assert (episode.terminations[-1], episode.truncations[-1]) == (True, False)
        assert not episode.terminations[:-1].any()
    environment = dataset.recover_environment()
    assert environment.spec is not None
    assert environment.spec.id == "Hopper-v5"
    metadata = dataset.storage.metadata
    assert metadata["algorithm_name"] == "uniform"
    assert metadata["ref_max_score"] == 3234.3
    assert 0 < metadata["ref_min_score"] < 40
    assert minari.get_normalized_score(dataset, np.array([3234.3]))[0] == 1
    asked = "`decision-minrnn data collect hopper --tier random --steps 200 --seed 3 --reference-episodes 5`"
    assert asked in metadata["description"]
    assert "gymnasium 1." in metadata["description"]
    data = load_dataset("decision-minrnn/hopper-random-v0")
    assert data.terminated.all()
    assert f"recorded  {data.steps} steps in {data.episodes} episodes" in printed


def test_the_same_command_records_the_same_and_does_not_replace(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("Pendulum-v1", "--tier", "random", "--steps", "400", "--reference-episodes", "1", "--out")
    assert [collect(*arguments, name) for name in ("./one-v0", "two.hdf5", "./other-v0")] == [0, 0, 0]
    one, two = load_dataset("one-v0"), load_dataset("two.hdf5")
    np.testing.assert_array_equal(one.observations, two.observations)
    np.testing.assert_array_equal(one.actions, two.actions)
    assert one.truncated.all()
    assert not one.terminated.any()
    capsys.readouterr()
    assert collect(*arguments, "./one-v0") == 1
    assert "one-v0 exists already" in capsys.readouterr().err
    assert collect(*arguments, "./one-v0", "--overwrite", "--seed", "1", "--json", "-") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["dataset"], facts["steps"], facts["episodes"]) == ("one-v0", 400, 2)
    assert (facts["tier"], facts["env_id"], facts["reference"]) == ("random", "Pendulum-v1", None)
    assert not np.array_equal(load_dataset("one-v0").actions, one.actions)


def test_a_run_of_this_project_records(capsys: pytest.CaptureFixture[str]) -> None:
    train(train_config(Path("run"), updates=4), trajectories())
    arguments = (LEDGER, "--policy", "run", "--steps", "20", "--reference-episodes", "2", "--out", "./own-v0")
    assert collect(*arguments) == 1
    assert "give it with --target" in capsys.readouterr().err
    assert collect(*arguments, "--target", "20") == 0
    dataset = minari.MinariDataset("own-v0/data")
    assert dataset.storage.metadata["algorithm_name"] == "decision-minrnn, mingru"
    assert "the policy of run at target return 20" in dataset.storage.metadata["description"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("Hoper-v5", "unknown environment 'Hoper-v5'. Did you mean Hopper-v5"),
        ("ant-d4rl --tier random", "nothing can be recorded in ant-d4rl"),
        ("CartPole-v1 --tier medium", "SAC acts with vectors, and CartPole-v1 has discrete actions"),
        ("hopper --policy missing.npz", "there is no file missing.npz"),
        ("hopper --policy missing.npz --target 3", "--target is for run folders"),
        ("hopper --device nonsense", "--device nonsense cannot be used"),
        ("hopper --tier random --json none/x.json", "there is no folder none"),
        ("hopper --tier random --out https://host/x", "is an address"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    arguments: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(*arguments.split()) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": 3.0}, "--target belongs to a run folder"),
        ({"policy": "x.npz", "tier": "random"}, "--policy records the tiers medium and expert, not random"),
        ({"tier": "medium-replay", "steps": 3}, "as many steps as its training took"),
        ({"environments": 3}, r"--evaluate-every expects a multiple of --environments \(3\), got 5000"),
        ({"training_steps": 1234}, r"--training-steps expects a multiple of --evaluate-every \(5000\), got 1234"),
        ({"reference_episodes": 0}, "--reference-episodes expects a whole number of at least 1, got 0"),
        ({"stop_return": float("nan")}, "--stop-return expects a finite number"),
        ({"seed": -1}, "--seed expects a whole number of at least 0, got -1"),
        ({"tier": "best"}, "--tier expects random or medium or expert"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CollectConfig("hopper", **settings)


def test_a_command_line_that_cannot_be_understood(capsys: pytest.CaptureFixture[str]) -> None:
    assert collect("hopper", "--training-steps", "0") == 2
    assert "--training-steps expects a whole number" in " ".join(capsys.readouterr().err.split())


def test_settings_say_what_to_type() -> None:
    config = CollectConfig("my card.toml", "expert", steps=10, stop_return=-3.5, overwrite=True)
    expected = "decision-minrnn data collect 'my card.toml' --tier expert --steps 10 --stop-return -3.5 --overwrite"
    assert config.command() == expected


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    assert collect("hopper") == 1
    assert "pip install 'decision-minrnn[collect]'" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_signal_ends_a_recording_that_then_begins_anew(tmp_path: Path) -> None:
    arguments = "Pendulum-v1 --tier random --steps 10000000 --reference-episodes 1 --out ./long-v0"
    command = [sys.executable, "-u", "-m", "decision_minrnn", "data", "collect", *arguments.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("recording"):
        assert process.poll() is None
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert errors.startswith("error: stopped while recording: no dataset was written. The same command records it anew")
    assert not list(tmp_path.iterdir())


PENDULUM = (
    "Pendulum-v1 --training-steps 4000 --evaluate-every 500 --warmup 500 --evaluation-episodes 5 --threads 1 "
    "--reference-episodes 20"
)


def killed_after(evaluations: int, arguments: list[str], work: str) -> None:
    """The command, killed soon after so many evaluations."""
    process = subprocess.Popen([sys.executable, "-m", "decision_minrnn", "data", "collect", *arguments])
    while process.poll() is None and len(read_metrics(Path(work))) < evaluations:
        time.sleep(0.05)
    time.sleep(1)
    process.kill()
    assert process.wait() == -9, "the training was over before it was killed"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(find_spec("stable_baselines3") is None, reason="needs the extra collect")
def test_a_pendulum_is_trained_killed_and_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*PENDULUM.split(), "--work", "cut"]
    for evaluations in (2, 5):
        killed_after(evaluations, [*arguments, "--out", "./medium-v0"], "cut")
    assert collect(*arguments, "--steps", "4000", "--out", "./medium-v0") == 0
    assert "cut, from step 2" in capsys.readouterr().out
    assert collect(*arguments, "--tier", "medium-replay", "--out", "./replay-v0") == 0
    assert "cut is far enough, at step 4,000" in capsys.readouterr().out

    # the training is the one that was not killed
    assert collect(*PENDULUM.split(), "--work", "whole", "--tier", "medium-replay", "--out", "./whole-v0") == 0
    assert read_metrics(Path("cut")) == read_metrics(Path("whole"))
    replay, whole, medium = (load_dataset(name) for name in ("replay-v0", "whole-v0", "medium-v0"))
    for name in ("observations", "actions", "rewards", "offsets"):
        np.testing.assert_array_equal(getattr(replay, name), getattr(whole, name))

    # a third of the way from random to expert, and reached by the last steps of its training
    (reference,) = medium.references.values()
    assert -1500 < reference.min < -1000 < reference.max < -100
    third = reference.min + 0.333 * (reference.max - reference.min)
    first = next(row["update"] for row in read_metrics(Path("cut")) if row["eval/return"] >= third)
    assert replay.steps == first
    assert medium.returns.mean() > third - 200
    assert medium.returns.mean() > replay.returns.mean() + 100
    assert replay.truncated.all()
    assert (replay.lengths <= 200).all()

    for name in ("medium-v0", "replay-v0"):
        dataset = minari.MinariDataset(f"{name}/data")
        environment = dataset.recover_environment()
        episode = dataset.sample_episodes(1)[0]
        assert episode.observations.shape == (201, 3)
        assert 0 < minari.get_normalized_score(dataset, np.array([third]))[0] < 1
        # the recorded steps are those of the environment: its state follows from what is seen
        environment.reset()
        for row in range(0, 200, 20):
            cosine, sine, velocity = episode.observations[row].astype(float)
            environment.unwrapped.state = np.array([np.arctan2(sine, cosine), velocity])
            seen, reward, *_ = environment.step(episode.actions[row])
            np.testing.assert_allclose(seen, episode.observations[row + 1], atol=1e-4)
            assert reward == pytest.approx(episode.rewards[row], abs=1e-4)
