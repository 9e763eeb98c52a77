"""`evaluate`: on a finished or running run, as a table or as JSON, and errors for folders that are none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny import write_hopper_file

from decision_minrnn.checkpoint import latest_checkpoint
from decision_minrnn.cli import main
from decision_minrnn.runs import read_evaluation

SMALL = (
    "--width 8 --layers 1 --batch-size 4 --updates 6 --log-every 2 --checkpoint-every 3 --threads 1 --env Hopper-v5 "
    "--targets 56 57 --no-evaluate"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    data = write_hopper_file(folder / "hopper-tiny.hdf5")
    assert main(["train", str(data), *SMALL.split(), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(trained, tmp_path / "run")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    printed = capsys.readouterr().out
    for flag in [
        "episodes",
        "targets",
        "memory",
        "context",
        "seed",
        "env",
        "environments",
        "workers",
        "step-timeout",
        "checkpoint",
        "json",
    ]:
        assert f"--{flag}" in printed


def test_json_alone_on_standard_output(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--episodes", "2", "--targets", "55", "1e6", "--seed", "5", "--memory", "window", "--json", "-"]
    assert main(["evaluate", str(run), *arguments]) == 0
    printed, errors = capsys.readouterr()
    content = json.loads(printed)
    assert [row["target_return"] for row in content["targets"]] == [55, 1e6]
    assert content["seeds"] == [5, 6]
    assert (content["memory"], content["env_id"], content["reference"]) == ("window", "Hopper-v5", "d4rl")
    assert content["checkpoint"] == "last, update 6 of 6"
    assert content == json.loads((run / "evaluation-window.json").read_text())
    assert "warning: target 1e+06 is far outside the returns of the data" in errors
    assert "target 55 is far" not in errors


def test_a_table_and_a_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--episodes", "1", "--checkpoint", "3", "--json", str(tmp_path / "result.json")]
    assert main(["evaluate", str(run), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "Hopper-v5, carried memory, checkpoint: chosen, update 3 of 6" in printed
    content = json.loads((tmp_path / "result.json").read_text())
    assert [row["target_return"] for row in content["targets"]] == [56, 57]
    assert content["checkpoint"] == "chosen, update 3 of 6"


def test_each_memory_has_a_file_of_its_own(run: Path) -> None:
    for memory in ("reset", "carried", "window"):
        assert main(["evaluate", str(run), "--episodes", "1", "--targets", "55", "--memory", memory]) == 0
    assert {path.name for path in run.glob("evaluation*.json")} == {
        "evaluation.json", "evaluation-window.json", "evaluation-reset.json"
    }  # fmt: skip
    for memory in ("carried", "window", "reset"):
        assert read_evaluation(run, memory).memory == memory


def test_a_run_that_is_still_training(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(latest_checkpoint(run))
    (run / "checkpoints" / ".update-0000006.partial").mkdir()
    assert main(["evaluate", str(run), "--episodes", "1"]) == 0
    assert read_evaluation(run).checkpoint == "last, update 3 of 6"


def remove_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def cut_weights(run: Path) -> None:
    path = latest_checkpoint(run) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:50])


def change_format(run: Path) -> None:
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(content | {"format": 7}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "does not exist"),
        (lambda run: (run / "config.json").unlink(), "is not a run folder: it has no config.json"),
        (remove_checkpoints, "holds no checkpoint"),
        (cut_weights, "model.safetensors is damaged: its content is not what was written. Remove"),
        (change_format, "is not of format 1, which this version reads"),
    ],
)
def test_a_folder_that_cannot_be_evaluated(
    run: Path, capsys: pytest.CaptureFixture[str], damage: object, message: str
) -> None:
    assert callable(damage)
    damage(run)
    assert main(["evaluate", str(run)]) == 1
    printed, error = capsys.readouterr()
    assert printed == ""
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ("--context 20", 1, "--context 20 is of --memory window or reset"),
        ("--env Hoper-v5", 1, "Did you mean Hopper-v5"),
        ("--env Walker2d-v5", 1, "Walker2d-v5 has observations of size 17 and actions of size 6"),
        ("--episodes 0", 1, "at least 1 episode"),
        ("--step-timeout 1", 1, "a step that hangs can be ended only with its process. Give --workers"),
        ("--checkpoint 4", 1, "unknown checkpoint '4'"),
        ("--json nowhere/x.json", 1, "--json nowhere/x.json: there is no folder nowhere"),
        ("--video x.gif", 1, "ends in .mp4"),
        ("--video nowhere/x.mp4", 1, "--video nowhere/x.mp4: there is no folder nowhere"),
        ("--targets high", 2, "--targets"),
        ("--memory all", 2, "--memory"),
    ],
)
def test_bad_flags(trained: Path, capsys: pytest.CaptureFixture[str], flags: str, code: int, message: str) -> None:
    assert main(["evaluate", str(trained), *flags.split()]) == code
    printed, error = capsys.readouterr()
    assert printed == ""
    assert message in error
    assert not (trained / "evaluation.json").exists()


def test_a_run_without_an_environment(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((run / "config.json").read_text())
    content["task"] |= {"env_id": None, "targets": []}
    (run / "config.json").write_text(json.dumps(content))
    assert main(["evaluate", str(run)]) == 1
    assert "Name a gymnasium id with --env" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--env", "Hopper-v5"]) == 1
    assert "give --targets" in capsys.readouterr().err
