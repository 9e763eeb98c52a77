"""The doctor's numbers on recordings small enough to check by hand, and the command that prints them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from recordings import hopper_arrays, write_hdf5

from decision_minrnn.cards import card_folders
from decision_minrnn.cli import main
from decision_minrnn.cli.data.check import sparkline
from decision_minrnn.doctor import Finding, Report, examine
from decision_minrnn.doctor.base import checks
from decision_minrnn.errors import DataError


@pytest.fixture
def limit_of_three(tmp_path: Path) -> str:
    """A card like the hopper's, with episodes of three steps."""
    card = (card_folders("envs")[-1] / "hopper.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(card.replace('name = "hopper"', 'name = "mine"').replace("1000\n", "3\n"))
    return str(path)


def found(report: Report, check: str) -> Finding:
    (finding,) = (finding for finding in report.findings if finding.check == check)
    return finding


def test_what_a_cut_episode_misses(tmp_path: Path, limit_of_three: str) -> None:
    # rewards 1, 2, 3 | 4, 5: the second is cut after two steps, from which on the first earned 3
    finding = found(examine(write_hdf5(tmp_path / "x.hdf5", hopper_arrays((3, 2))), env=limit_of_three), "cuts")
    assert finding.values == {"episodes": 1, "limit": 3, "mean_length": 2.0, "return_to_go_bias": 3.0}


def test_episodes_beyond_the_limit(tmp_path: Path, limit_of_three: str) -> None:
    finding = found(examine(write_hdf5(tmp_path / "x.hdf5", hopper_arrays((3, 5, 4))), env=limit_of_three), "limit")
    assert finding.severity == "error"
    assert finding.values == {"episodes": 2, "limit": 3, "longest": 5}


def test_terminals_at_the_limit(tmp_path: Path, limit_of_three: str) -> None:
    arrays = hopper_arrays((3, 3, 3, 3))
    assert not any(f.check == "limit" for f in examine(write_hdf5(tmp_path / "x.hdf5", arrays)).findings)
    arrays["terminals"], arrays["timeouts"] = arrays["timeouts"], arrays["terminals"]
    finding = found(examine(write_hdf5(tmp_path / "y.hdf5", arrays), env=limit_of_three), "limit")
    assert finding.severity == "warning"
    assert finding.values == {"episodes": 3, "at_limit": 4, "limit": 3}


def test_two_marks_and_an_unfinished_piece_are_notes(tmp_path: Path, limit_of_three: str) -> None:
    arrays = hopper_arrays((3, 3), tail=2)
    arrays["terminals"][:] |= arrays["timeouts"]
    report = examine(write_hdf5(tmp_path / "x.hdf5", arrays), env=limit_of_three)
    told = {f.message for f in report.findings if f.check == "marks" and f.severity == "note"}
    assert any("1 of 2 episodes are marked as terminated and as cut" in message for message in told)
    assert any("the last 2 steps are an episode without an end" in message for message in told)


def test_the_numbers_of_finite_values_alone(tmp_path: Path) -> None:
    arrays = hopper_arrays((3, 2))
    arrays["rewards"][4] = np.nan
    statistics = examine(write_hdf5(tmp_path / "x.hdf5", arrays), env="hopper").statistics
    assert (statistics["return"]["mean"], statistics["length"]["mean"]) == (6, 2.5)
    assert statistics["reward"]["max"] == 4
    assert sum(statistics["length"]["histogram"]["counts"]) == 2
    assert statistics["references"]["d4rl"]["normalized_mean"] == pytest.approx(100 * 26.272305 / 3254.572305)


def test_an_environment_that_is_not_known(tmp_path: Path) -> None:
    finding = found(examine(write_hdf5(tmp_path / "x.hdf5", hopper_arrays())), "environment")
    assert "not known" in finding.message
    assert "the sizes are those of hopper" in finding.message
    assert "--env" in finding.remedy


def test_checks_that_follow_from_an_error_are_skipped_and_named(tmp_path: Path) -> None:
    arrays = hopper_arrays()
    del arrays["rewards"]
    report = examine(write_hdf5(tmp_path / "x.hdf5", arrays))
    assert report.skipped == {known.name: "layout" for known in checks() if "layout" in known.after}
    assert (report.steps, report.statistics) == (0, {})


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_marks_inside_a_minari_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    arrays = hopper_arrays((6,))
    episode = EpisodeBuffer(
        observations=list(hopper_arrays((7,))["observations"].astype(np.float64)),
        actions=list(arrays["actions"]),
        rewards=list(arrays["rewards"]),
        terminations=[False, False, True, False, False, True],
        truncations=[False] * 6,
        infos={},
    )
    minari.create_dataset_from_buffers("test/marks-v0", [episode], env="Hopper-v5")
    finding = found(examine("test/marks-v0"), "marks")
    assert finding.severity == "error"
    assert finding.values == {"steps": 1, "first": 2}


@pytest.mark.parametrize("name", ["observations", "actions", "rewards"])
def test_nothing_but_nan(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = hopper_arrays((3,) * 8)
    arrays[name][:] = np.nan
    path = write_hdf5(tmp_path / "x.hdf5", arrays, "Hopper-v5")
    assert main(["data", "check", str(path), "--json", "-"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [f["check"] for f in report["findings"] if f["severity"] == "error"] == ["finite"]
    assert report["statistics"]["return"] == {}
    assert main(["data", "check", str(path)]) == 1


def test_a_single_step(tmp_path: Path) -> None:
    report = examine(write_hdf5(tmp_path / "x.hdf5", hopper_arrays((1,)), "Hopper-v5"))
    assert (report.steps, report.episodes, report.errors) == (1, 1, 0)


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "x.hdf5").write_bytes(os.urandom(2000))
    with pytest.raises(DataError, match="damaged"):
        examine(tmp_path / "x.hdf5")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_hdf5(tmp_path / "x.hdf5", hopper_arrays(tail=1), "Hopper-v5")
    target = tmp_path / "report.json"
    assert main(["data", "check", str(path), "--json", str(target)]) == 0
    printed = capsys.readouterr().out
    report = json.loads(target.read_text())
    assert {"dataset", "source", "steps", "episodes", "findings", "statistics"} <= set(report)
    assert all(set(f) == {"check", "severity", "message", "remedy", "values"} for f in report["findings"])
    assert (report["dataset"], report["steps"], report["episodes"]) == (str(path), 6, 2)
    assert f"{path}: D4RL-layout HDF5, 6 steps, 2 finished episodes" in printed
    assert "0 errors, 1 warning, " in printed


def test_errors_set_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = hopper_arrays()
    arrays["actions"][1] = np.nan
    path = write_hdf5(tmp_path / "x.hdf5", arrays)
    assert main(["data", "check", str(path), "--env", "hopper", "--json", "-"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [f["check"] for f in report["findings"] if f["severity"] == "error"] == ["finite"]
    assert report["findings"][0]["severity"] == "error"


def test_bars() -> None:
    assert sparkline([0, 1, 4, 8]) == " ▁▄█"
    assert sparkline([1, 1000]) == "▁█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


def test_a_controller_that_comes_to_rest_is_no_drift(tmp_path: Path) -> None:
    """Rows before the k-th end are alike in the k-th episode, as starts are, since nothing moves there any more."""
    generator = np.random.default_rng(0)
    episodes, steps = 20, 100
    observations, actions = np.zeros((episodes, steps, 2)), generator.uniform(-1, 1, (episodes, steps, 1))
    observations[:, 0] = generator.uniform(-5, 5, (episodes, 2))
    for t in range(steps - 1):
        observations[:, t + 1] = 0.8 * observations[:, t] + 1e-3 * actions[:, t]
    ends = np.tile(np.arange(steps) == steps - 1, episodes)
    arrays = {"observations": observations.reshape(-1, 2), "actions": actions.reshape(-1, 1)}
    marks = {"rewards": generator.random(episodes * steps), "terminals": np.zeros_like(ends), "timeouts": ends}
    path = write_hdf5(tmp_path / "resting.hdf5", arrays | marks)
    assert [finding.message for finding in examine(path).findings if finding.severity != "note"] == []


def walk(shift: int = 0, start: int = 0) -> dict[str, np.ndarray]:
    """Forty walks on a line by choices 0 to 3, which lead on, back, back and on: their numbers say nothing of it."""
    generator = np.random.default_rng(0)
    choices = generator.integers(4, size=40 * 50)
    moves = np.array([1.0, -1.0, -1.0, 1.0])[choices].reshape(40, 50)
    places = np.cumsum(moves, axis=1) - moves + 5
    return {
        "observations": (places.reshape(-1, 1) + generator.normal(0, 0.1, (2000, 1))),
        "actions": np.roll(choices, shift) + start,
        "rewards": np.ones(2000),
        "terminals": np.zeros(2000, bool),
        "timeouts": np.arange(2000) % 50 == 49,
    }


def test_choices_are_told_apart_and_not_taken_for_amounts(tmp_path: Path) -> None:
    assert [f.check for f in examine(write_hdf5(tmp_path / "x.hdf5", walk())).findings if f.severity != "note"] == []
    finding = found(examine(write_hdf5(tmp_path / "y.hdf5", walk(shift=1))), "alignment")
    assert (finding.severity, finding.values["shift"]) == ("error", 1)


def test_choices_that_there_are_not(tmp_path: Path) -> None:
    card = tmp_path / "walk.toml"
    card.write_text('discrete = true\naction_size = 4\nno_environment = "made up"')
    assert not any(
        f.check == "bounds" for f in examine(write_hdf5(tmp_path / "x.hdf5", walk()), env=str(card)).findings
    )
    report = examine(write_hdf5(tmp_path / "y.hdf5", walk(start=1)), env=str(card))
    finding = found(report, "bounds")
    assert finding.severity == "error"
    assert finding.message.startswith("actions are not whole numbers from 0 to 3 in ")
    assert finding.values["first"] == int(np.flatnonzero(walk()["actions"] == 3)[0])


def test_an_episode_of_the_first_choice_alone_is_no_fault(tmp_path: Path) -> None:
    arrays = walk()
    arrays["actions"][:50] = 0
    assert not any(f.check == "zeros" for f in examine(write_hdf5(tmp_path / "x.hdf5", arrays)).findings)
