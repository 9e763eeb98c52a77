"""What a trial's folder holds, and which settings tell two runs apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_runs import make_run
from tiny import train_config, trajectories, write_hopper_file

from decision_minrnn.errors import CheckpointError, ConfigError
from decision_minrnn.sweep.folders import Progress, condition, progress
from decision_minrnn.sweep.trial import Trial
from decision_minrnn.training import train


def trial_of(folder: Path, **changed: Any) -> Trial:
    return Trial(folder.name, replace(make_run(folder), **changed))


def test_nothing_there(tmp_path: Path) -> None:
    trial = Trial("run", train_config(tmp_path / "run"))
    assert condition(trial) == "missing"
    trial.folder.mkdir()
    (trial.folder / "log.txt").write_text("of an attempt that did not get far")
    assert condition(trial) == "missing"
    assert progress(trial.folder) == Progress()


def test_begun(tmp_path: Path) -> None:
    config = make_run(tmp_path / "run", update=40)
    assert condition(Trial("run", config)) == "begun"
    assert progress(tmp_path / "run") == Progress(40, 0.25, ())


def test_done_as_training_leaves_it(tmp_path: Path) -> None:
    config = train_config(tmp_path / "run")
    run = train(config, trajectories())
    assert condition(Trial("run", config)) == "done"
    assert run.evaluation is not None
    found = progress(run.folder)
    assert found.update == 12
    assert found.loss is not None
    assert found.scores == tuple(target.normalized_mean for target in run.evaluation.targets)
    (run.folder / "evaluation.json").unlink()
    assert condition(Trial("run", config)) == "begun"


def test_done_without_an_evaluation_if_none_was_asked_for(tmp_path: Path) -> None:
    config = train_config(tmp_path / "run", evaluate=False)
    train(config, trajectories())
    assert condition(Trial("run", config)) == "done"


def test_returns_stand_in_for_scores(tmp_path: Path) -> None:
    make_run(tmp_path / "run", (30.0,), reference=None)
    assert progress(tmp_path / "run").scores == (300.0,)


def test_settings_that_do_not_change_the_result(tmp_path: Path) -> None:
    changed = {"log_every": 7, "checkpoint_every": 3, "keep_checkpoints": 1, "threads": 2, "device": "cpu"}
    assert condition(trial_of(tmp_path / "run", **changed)) == "done"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"dropout": 0.2}, "dropout is 0.1 there and 0.2 here"),
        ({"updates": 200, "width": 64}, "width is 128 there and 64 here; updates is 100 there and 200 here"),
        ({"targets": (5.0,)}, "targets is none there and 5 here"),
        ({"dataset": "hopper-random-v2"}, "dataset is hopper-medium there and hopper-random-v2 here"),
    ],
)
def test_settings_that_do(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=f"holds a run with other settings: {words}"):
        condition(trial_of(tmp_path / "run", **changed))


def test_data_are_the_same_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_hopper_file(tmp_path / "hopper.hdf5")
    monkeypatch.chdir(tmp_path)
    small = {"env": "hopper", "updates": 2, "context": 5, "evaluate": False}
    config = train_config(tmp_path / "run", dataset="hopper.hdf5", **small)
    train(config)
    assert condition(Trial("run", replace(config, dataset=str(path)))) == "done"
    other = write_hopper_file(tmp_path / "other.hdf5", episodes=4)
    with pytest.raises(ConfigError, match=r"dataset is hopper\.hdf5 there"):
        condition(Trial("run", replace(config, dataset=str(other))))


def test_a_damaged_run(tmp_path: Path) -> None:
    trial = trial_of(tmp_path / "run")
    (trial.folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        condition(trial)
