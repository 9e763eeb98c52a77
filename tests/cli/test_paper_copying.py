"""`paper selective-copying` end to end: trained, killed and resumed to the same numbers, refused before any work."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from events import scalars_of

from decision_minrnn import loop
from decision_minrnn.checkpoint import latest_checkpoint, load_configured
from decision_minrnn.cli import main
from decision_minrnn.tasks import training
from decision_minrnn.tasks.model import TokenModel, TokenModelConfig
from decision_minrnn.tracking import read_metrics

SMALL = (
    "--encoders mingru:expansion=2,dropout=0.2 s4d:style=h3 --length 8 --data-tokens 2 --updates 20 --width 8 "
    "--layers 1 2 --test-sequences 20 --batch-size 4 --log-every 5 --checkpoint-every 5 --threads 1"
)
COMMAND = ["paper", "selective-copying", *SMALL.split()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_configured(latest_checkpoint(run), TokenModelConfig, TokenModel).state_dict()


def assert_same_experiment(one: Path, other: Path, same_lines: bool = True) -> None:
    """`same_lines`: also of metrics; a signal adds a line where it stopped."""
    runs = json.loads((one / "results.json").read_text())["runs"]
    others = json.loads((other / "results.json").read_text())["runs"]
    assert [run["scalars"] for run in runs] == [run["scalars"] for run in others]
    for run in runs:
        found, expected = weights(one / run["name"]), weights(other / run["name"])
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        if not same_lines:
            continue
        rows = [
            [{tag: value for tag, value in row.items() if "per_second" not in tag} for row in read_metrics(folder)]
            for folder in (one / run["name"], other / run["name"])
        ]
        assert rows[0] == rows[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("copying") / "whole"
    assert main([*COMMAND, "--out", str(out)]) == 0
    return out


def test_what_an_experiment_leaves(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = json.loads((whole / "results.json").read_text())["runs"]
    assert [(run["encoder"], run["layers"], run["seed"]) for run in runs] == [
        ("mingru", 1, 0), ("mingru", 2, 0), ("s4d", 1, 0), ("s4d", 2, 0)
    ]  # fmt: skip
    assert runs[2]["name"] == "s4d-style-h3__layers-1__seed-0"
    run = whole / runs[0]["name"]
    assert {path.name for path in run.iterdir() if not path.name.startswith("events.")} == {
        "config.json", "metrics.jsonl", "evaluation.json", "checkpoints"
    }  # fmt: skip
    assert runs[0]["parameters"] == sum(tensor.numel() for tensor in weights(run).values())
    events = scalars_of(run)
    assert [step for step, _ in events["losses/nats"]] == [5, 10, 15, 20]
    assert events["eval/accuracy"] == [(20, pytest.approx(runs[0]["scalars"]["eval/accuracy"]))]
    assert main(["paper", "selective-copying", "--resume", str(whole), "--json", "-"]) == 0
    printed, told = capsys.readouterr()
    assert json.loads(printed) == json.loads((whole / "results.json").read_text())
    # the published 37.0±2.3 of one layer and 57.0 of S4 in the gates of H3 stand beside
    assert "37.0±2.3" in told
    assert told.count("57.0") == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_and_on_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], whole: Path, number: int
) -> None:
    learn, updates = training.TokenLearner.learn, []

    def stopped(self: Any) -> Any:
        updates.append(self.update)
        if len(updates) == 33:
            signal.raise_signal(number)
        return learn(self)

    monkeypatch.setattr(training.TokenLearner, "learn", stopped)
    out = tmp_path / "cut"
    assert main([*COMMAND, "--out", str(out)]) == 128 + number
    # twenty of the first run, thirteen of the second
    assert latest_checkpoint(out / "mingru-expansion-2-dropout-0.2__layers-2__seed-0").name == "update-0000013"
    resume = f"decision-minrnn paper selective-copying --resume {out}"
    assert f"stopped after update 13 of 20, and saved. Continue with: {resume}" in capsys.readouterr().err
    assert main(["paper", "selective-copying", "--resume", str(out)]) == 0
    assert len(updates) == 80
    assert_same_experiment(out, whole, same_lines=False)


class Killed(BaseException):
    """Stands for a process that ends at once."""


@pytest.mark.parametrize("saved", [0, 1, 4, 6])
def test_killed_between_checkpoints_and_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, saved: int
) -> None:
    save, calls = loop.save_checkpoint, []

    def deadly(*arguments: Any, **named: Any) -> Any:
        if len(calls) == saved:
            monkeypatch.setattr(loop, "save_checkpoint", save)
            raise Killed
        calls.append(arguments)
        return save(*arguments, **named)

    monkeypatch.setattr(loop, "save_checkpoint", deadly)
    out = tmp_path / "cut"
    with pytest.raises(Killed):
        main([*COMMAND, "--out", str(out)])
    assert main(["paper", "selective-copying", "--resume", str(out)]) == 0
    assert_same_experiment(out, whole)


def test_a_process_that_is_killed_and_on(tmp_path: Path) -> None:
    flags = "--encoders mingru --layers 1 --width 8 --updates 200 --log-every 10 --checkpoint-every 20 --threads 1"
    words = ["paper", "selective-copying", *flags.split(), "--length", "8", "--data-tokens", "2"]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "cut"
    command = [sys.executable, "-m", "decision_minrnn", *words, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(read_metrics(out / "mingru__layers-1__seed-0")) < 3:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert main(["paper", "selective-copying", "--resume", str(out)]) == 0
    assert_same_experiment(out, tmp_path / "whole")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--encoders mingro", "unknown encoder 'mingro'. Did you mean mingru"),
        ("--encoders mingru:expansion", "--encoders mingru:expansion: expected KEY=VALUE, got 'expansion'"),
        ("--encoders mingru:expandsion=2", "has no option 'expandsion'"),
        ("--encoders transformer --width 6", "divisor of the width 6"),
        ("--layers 0", "layers"),
        ("--encoders mlp mlp", "the same run was asked for twice: mlp__layers-1__seed-0"),
        ("--seeds", "nothing to run"),
        ("--device nowhere", "--device nowhere cannot be used"),
        ("--json nowhere/x.json", "there is no folder nowhere"),
        ("--resume nowhere", "nowhere holds no experiment"),
        ("--out .", "exists and is not an empty folder"),
    ],
)
def test_refusals_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()
    assert main(["paper", "selective-copying", *words.split()]) in (1, 2)
    assert message in "".join(capsys.readouterr())
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_an_experiment_of_another_command(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "robustness", "--resume", str(whole)]) == 1
    assert f"Continue with: decision-minrnn paper selective-copying --resume {whole}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["runs"][0].update(name="../x"), "'../x' is no name of a folder"),
        (lambda content: content["runs"][0]["config"].update(length="many"), "length: expected int, got 'many'"),
        (lambda content: content["runs"][0].pop("config"), "is damaged, or was written by another version"),
        (lambda content: content.update(format=0), "is not of format 1"),
    ],
)
def test_a_damaged_experiment(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, message: str
) -> None:
    content = json.loads((whole / "experiment.json").read_text())
    change(content)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "experiment.json").write_text(json.dumps(content))
    assert main(["paper", "selective-copying", "--resume", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "experiment.json"]


def test_experiments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper"]) == 0
    assert "selective-copying" in capsys.readouterr().out
    assert main(["paper", "selective-copyin"]) == 2
    assert "Did you mean selective-copying?" in capsys.readouterr().err
