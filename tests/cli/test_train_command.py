"""`train`: every setting is a flag, and bad input ends in a message, an exit code and nothing written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from tiny import write_hopper_file

from decision_minrnn import training
from decision_minrnn.cli import main
from decision_minrnn.config import TrainConfig
from decision_minrnn.interruption import TrainingInterrupted

SMALL = ["--width", "8", "--layers", "1", "--batch-size", "4", "--updates", "6", "--log-every", "2", "--threads", "1"]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[TrainConfig]:
    """The configurations that `train` was called with, in place of training."""
    seen: list[TrainConfig] = []

    def record(config: TrainConfig, **_: Any) -> training.Run:
        seen.append(config)
        return training.Run(tmp_path, None)

    monkeypatch.setattr(training, "train", record)
    return seen


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    printed = capsys.readouterr().out
    for field in dataclasses.fields(TrainConfig):
        assert field.name.upper() in printed or f"--{field.name.replace('_', '-')}" in printed, field.name
    assert "--resume FOLDER" in printed


def test_every_setting_is_a_flag(given: list[TrainConfig]) -> None:
    flags = (
        "--env hopper --encoder minlstm --tokens interleaved --previous-action --width 16 --layers 2 --dropout 0.2 "
        "--encoder-options expansion=2.5 convolution=4 name=x --updates 7 --batch-size 3 --context episode "
        "--learning-rate 0.01 --weight-decay 0.1 --warmup 2 --gradient-clip 1 --seed 9 --device cpu --threads 1 "
        "--out there --log-every 2 --checkpoint-every 3 --keep-checkpoints 4 --no-evaluate --evaluate-every 5 "
        "--no-cuda-graph --targets 1 -2.5 3e3 --episodes 6"
    )
    assert main(["train", "hopper-medium", *flags.split()]) == 0
    assert given[0] == TrainConfig(
        dataset="hopper-medium",
        env="hopper",
        encoder="minlstm",
        tokens="interleaved",
        previous_action=True,
        width=16,
        layers=2,
        dropout=0.2,
        encoder_options={"expansion": 2.5, "convolution": 4, "name": "x"},
        updates=7,
        batch_size=3,
        context="episode",
        learning_rate=0.01,
        weight_decay=0.1,
        warmup=2,
        gradient_clip=1,
        seed=9,
        device="cpu",
        threads=1,
        out="there",
        cuda_graph=False,
        log_every=2,
        checkpoint_every=3,
        keep_checkpoints=4,
        evaluate=False,
        evaluate_every=5,
        targets=(1, -2.5, 3000),
        episodes=6,
    )
    assert main(["train", "hopper-medium"]) == 0
    assert given[1] == TrainConfig("hopper-medium")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--targets", "high"], "targets"),
        (["--updates", "many"], "updates"),
        (["--context", "all"], "context"),
        (["--tokens", "both"], "tokens"),
        (["--encoder-options", "expansion"], "expected KEY=VALUE, got 'expansion'"),
        (["--layer", "2"], "--layers"),
        (["--updates", "0"], "--updates expects a whole number of at least 1, got 0."),
        (["--learning-rate", "-1"], "--learning-rate expects a number above 0"),
    ],
)
def test_a_command_line_that_cannot_be_understood(
    given: list[TrainConfig], capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["train", "hopper-medium", *flags]) == 2
    assert message in "".join(capsys.readouterr())
    assert given == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hopper-mediun"], "unknown dataset 'hopper-mediun'. Did you mean hopper-medium"),
        (["hopper-medium", "--encoder", "mingro"], "unknown encoder 'mingro'. Did you mean mingru"),
        (["hopper-medium", "--env", "hoper"], "unknown environment 'hoper'. Did you mean hopper"),
        (["hopper-medium", "--encoder-options", "expandsion=2"], "has no option 'expandsion'"),
        (["nowhere.hdf5"], "there is no file nowhere.hdf5"),
        (["--resume", "nowhere"], "nowhere does not exist"),
    ],
)
def test_bad_input(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 1
    printed, error = capsys.readouterr()
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in printed + error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--resume", "run", "--updates", "5"],
        ["hopper-medium", "--resume=run"],
        ["--env=hopper", "--resume", "run", "x"],
    ],
)
def test_a_resumed_run_keeps_its_settings(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments]) == 2
    assert "--resume takes the folder of a run and nothing else but --env" in capsys.readouterr().err


def test_resume_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "--help"]) == 0
    assert "The run folder." in capsys.readouterr().out


def test_an_interruption_is_an_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(config: TrainConfig, **_: Any) -> None:
        raise TrainingInterrupted("stopped after update 3 of 9", 15)

    monkeypatch.setattr(training, "train", interrupted)
    assert main(["train", "hopper-medium"]) == 143
    assert "stopped after update 3 of 9" in capsys.readouterr().err


def test_from_a_file_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_hopper_file(tmp_path / "hopper-tiny.hdf5")
    arguments = ["train", "hopper-tiny.hdf5", *SMALL, "--out", "out", "--episodes", "2", "--targets", "50", "1e6"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "warning: target 1e+06 is far outside the returns of the data" in printed
    assert "Hopper-v4, carried memory, checkpoint: last, update 6 of 6" in printed
    assert "run folder: out" in printed
    assert "watch it:   tensorboard --logdir ." in printed
    assert main(arguments) == 1
    assert "holds a run already" in capsys.readouterr().err
    assert main(["train", "--resume", "out"]) == 0
    assert "out is finished." in capsys.readouterr().out
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["train"]["targets"] == [50, 1e6]
    assert config["cards"]["env"] == "hopper"
