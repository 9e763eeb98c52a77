"""Run folders: refused when in use, read back whole, and what their tasks say of targets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import LEDGER, constant_model, model_config, random_model, train_config, trajectories

from decision_minrnn.cards import EnvCard
from decision_minrnn.checkpoint import TrainingState, save_checkpoint
from decision_minrnn.config import Memory
from decision_minrnn.errors import CheckpointError, ConfigError, UnknownNameError
from decision_minrnn.files import write_json
from decision_minrnn.origin import RunInfo, Task
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate
from decision_minrnn.runs import (
    create_run,
    dataset_digest,
    evaluation_path,
    load_policy,
    new_info,
    read_evaluation,
    read_run,
    run_folder,
)


@pytest.fixture
def info(tmp_path: Path) -> RunInfo:
    settings = {"encoder_options": {"expansion": 2}, "context": "episode"}
    return new_info(train_config(tmp_path, **settings), model_config(context=None), trajectories())


def test_what_is_read_is_what_was_written(tmp_path: Path, info: RunInfo) -> None:
    create_run(tmp_path / "deep" / "run", info)
    assert read_run(tmp_path / "deep" / "run") == info
    (tmp_path / "empty").mkdir()
    create_run(tmp_path / "empty", info)


def test_a_run_from_before_there_were_choices_is_read(tmp_path: Path, info: RunInfo) -> None:
    create_run(tmp_path, info)
    content = json.loads((tmp_path / "config.json").read_text())
    del content["model"]["discrete"]
    write_json(tmp_path / "config.json", content)
    assert read_run(tmp_path) == info
    evaluation = evaluate(Policy(random_model()), LEDGER, [10.0], episodes=1)
    written = evaluation.to_dict()
    del written["sampled"]
    write_json(tmp_path / "evaluation.json", written)
    assert read_evaluation(tmp_path) == evaluation


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path, info: RunInfo) -> None:
    create_run(tmp_path / "run", info)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(
        ConfigError, match=r"holds a run already\. Choose another with --out, or continue with --resume"
    ):
        create_run(tmp_path / "run", dataclasses.replace(info, dataset="other"))
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    for name in ("file", "full"):
        with pytest.raises(ConfigError, match="exists and is not an empty folder"):
            create_run(tmp_path / name, info)
    with pytest.raises(ConfigError, match="cannot write the run folder"):
        create_run(tmp_path / "file" / "run", info)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "config.json is damaged"),
        ("[]", "is not of format 1"),
        ('{"format": 2}', "is not of format 1"),
        ('{"format": 1}', "needs .*train.* is damaged, or was written by another version"),
        ("\x00", "is damaged"),
    ],
)
def test_a_damaged_configuration(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_run(tmp_path)


def test_settings_that_this_version_does_not_know(tmp_path: Path, info: RunInfo) -> None:
    create_run(tmp_path / "run", info)
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    for key, value in (("momentum", 0.9), ("updates", "many"), ("updates", -1)):
        path.write_text(json.dumps(content | {"train": content["train"] | {key: value}}))
        with pytest.raises(CheckpointError, match=key):
            read_run(tmp_path / "run")


def test_a_folder_that_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere does not exist. Expected a folder that"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"is not a run folder: it has no config.json"):
        read_run(tmp_path)


def test_the_task_of_a_dataset() -> None:
    data = trajectories()
    task = Task.of(data)
    assert (task.env_id, task.targets, task.reference_name) == (LEDGER, (data.returns.max(),), "card")
    assert task.reference == data.references["card"]
    assert (task.return_min, task.return_max) == (data.returns.min(), data.returns.max())
    assert Task.of(data, (3.0,)).targets == (3.0,)
    card = EnvCard("ledger", LEDGER, targets=(50.0, 25.0))
    assert Task.of(dataclasses.replace(data, env=card)).targets == (50, 25)
    assert Task.of(dataclasses.replace(data, env=EnvCard("ledger", LEDGER))).targets == (data.returns.max(),)


def test_warnings_of_targets_far_outside_the_data() -> None:
    task = dataclasses.replace(Task.of(trajectories()), return_min=100.0, return_max=150.0)
    assert task.target_warnings((50.0, 120.0, 200.0)) == []
    (low, high) = task.target_warnings((49.0, 120.0, 201.0))
    assert low == "warning: target 49 is far outside the returns of the data, 100 to 150."
    assert "target 201 is far outside" in high


def test_the_digest_feels_every_array() -> None:
    data = trajectories()
    assert dataset_digest(data) == dataset_digest(trajectories())
    for name in ("observations", "actions", "rewards", "offsets"):
        changed = getattr(data, name).copy()
        changed[1] += 1
        assert dataset_digest(dataclasses.replace(data, **{name: changed})) != dataset_digest(data)


def test_where_a_run_is_written(tmp_path: Path) -> None:
    assert run_folder(train_config(tmp_path), trajectories()) == tmp_path
    named = run_folder(dataclasses.replace(train_config(tmp_path), out=None, seed=7), trajectories())
    assert named.parent == Path("runs")
    assert named.name.startswith("ledger__mingru__7__")


def test_the_policy_of_a_run(tmp_path: Path, info: RunInfo) -> None:
    create_run(tmp_path, info)
    for update, action in ((4, 0.25), (8, 0.5)):
        save_checkpoint(tmp_path, constant_model(action), TrainingState(update, {"x": torch.zeros(1)}, {}), 5)
    for checkpoint, action in ((None, 0.5), (8, 0.5), (4, 0.25)):
        policy = load_policy(tmp_path, checkpoint=checkpoint)
        policy.reset(1, 1.0)
        np.testing.assert_allclose(policy.act(np.zeros((1, 2))), [[action]], atol=1e-6)
    assert load_policy(tmp_path, memory="window", context=3).context == 3
    with pytest.raises(UnknownNameError, match=r"unknown checkpoint '5'.*Known: 4, 8"):
        load_policy(tmp_path, checkpoint=5)
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        load_policy(tmp_path / "nowhere")


def test_a_policy_knows_the_scores_of_its_own_memory(tmp_path: Path, info: RunInfo) -> None:
    create_run(tmp_path, info)
    save_checkpoint(tmp_path, random_model(), TrainingState(8, {"x": torch.zeros(1)}, {}), 5)
    memories: tuple[Memory, ...] = ("carried", "window")
    for memory in memories:
        evaluation = evaluate(load_policy(tmp_path, memory=memory, context=3), LEDGER, [30.0], episodes=1)
        write_json(evaluation_path(tmp_path, memory), evaluation.to_dict())
    for memory in memories:
        origin = load_policy(tmp_path, memory=memory, context=3).origin
        assert origin is not None
        assert origin.evaluation is not None
        assert origin.evaluation.memory == memory
    untried = load_policy(tmp_path, memory="reset", context=3).origin
    assert untried is not None
    assert untried.evaluation is None


def test_an_evaluation_that_is_read_is_what_was_written(tmp_path: Path) -> None:
    task = Task.of(trajectories())
    for reference, name in ((task.reference, "card"), (None, None)):
        evaluation = evaluate(
            Policy(random_model()), LEDGER, [30.0], episodes=3, reference=reference, reference_name=name
        )
        write_json(tmp_path / "evaluation.json", evaluation.to_dict())
        assert read_evaluation(tmp_path) == evaluation
        earlier = evaluation.to_dict()
        for row in earlier["targets"]:
            del row["failures"]
        write_json(tmp_path / "evaluation.json", earlier)
        assert read_evaluation(tmp_path) == evaluation
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(CheckpointError, match="evaluate` writes it anew"):
        read_evaluation(tmp_path)
