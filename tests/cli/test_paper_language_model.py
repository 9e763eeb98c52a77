"""`paper language-model` end to end: curves, samples and tables from a text, and on after a stop."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from decision_minrnn.cli import main
from decision_minrnn.tasks import training

SMALL = "--width 8 --layers 1 --updates 6 --context 8 --batch-size 4 --evaluate-every 2 --log-every 3 --threads 1"


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("verse.txt").write_text("Roses are red,\nviolets are blue.\n" * 20)
    return "verse.txt"


def test_end_to_end(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    words = ["paper", "language-model", text, *SMALL.split(), "--encoders", "mingru", "gru", "transformer"]
    files = ["--figure", "curves.svg", "--csv", "curves.csv", "--json", "results.json"]
    assert main([*words, "--seeds", "0", "1", "--out", "out", *files]) == 0
    printed = capsys.readouterr().out
    assert "verse.txt: 17 different characters; 594 to train on, 33 for validation, 33 for test" in printed
    runs = json.loads(Path("results.json").read_text())["runs"]
    assert [(run["encoder"], run["seed"]) for run in runs] == [
        (encoder, seed) for encoder in ("mingru", "gru", "transformer") for seed in (0, 1)
    ]
    assert runs[4]["encoder_options"] == {"context": 8}
    assert runs[0]["width"] == 8 > runs[2]["width"]
    assert runs[2]["parameters"] == pytest.approx(runs[0]["parameters"], rel=0.15)
    for run in runs:
        assert len((Path("out") / run["name"] / "sample.txt").read_text()) == 300
        assert run["scalars"]["eval/test_bits"] > run["scalars"]["eval/test_nats"] > 0
    rows = list(csv.DictReader(StringIO(Path("curves.csv").read_text())))
    mine = [row for row in rows if row["curve"] == "gru, seed 1"]
    assert [int(row["x"]) for row in mine] == [2, 4, 6]
    assert float(mine[-1]["y"]) == runs[3]["scalars"]["eval/nats"]
    assert "validation, nats a character" in Path("curves.svg").read_text()


def test_on_after_a_stop(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["paper", "language-model", text, *SMALL.split(), "--encoders", "mingru", "--checkpoint-every", "2"]
    assert main([*words, "--out", "whole"]) == 0
    learn = training.TokenLearner.learn

    def stopped(self: Any) -> Any:
        if self.update == 5:
            raise KeyboardInterrupt
        return learn(self)

    monkeypatch.setattr(training.TokenLearner, "learn", stopped)
    assert main([*words, "--out", "cut"]) == 130
    monkeypatch.setattr(training.TokenLearner, "learn", learn)
    assert main(["paper", "language-model", "--resume", "cut"]) == 0
    whole, cut = (json.loads((Path(out) / "results.json").read_text())["runs"][0] for out in ("whole", "cut"))
    assert cut["scalars"] == whole["scalars"]
    samples = [(Path(out) / whole["name"] / "sample.txt").read_text() for out in ("whole", "cut")]
    assert samples[0] == samples[1]
    Path(text).write_text("Something else\n" * 20)
    capsys.readouterr()
    assert main(["paper", "language-model", "--resume", "cut"]) == 1
    assert "cut was trained on other data than there are now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere.txt", "cannot read nowhere.txt"),
        ("empty.txt", "empty.txt is empty"),
        ("verse.txt --context 100", "verse.txt is too short: its validation part has 33 characters"),
        ("verse.txt --context 8 --encoders mingro", "Did you mean mingru"),
        ("verse.txt --figure x.doc", "'.doc' is none of"),
        ("verse.txt --csv nowhere/x.csv", "there is no folder nowhere"),
        ("verse.txt --temperature 0", "--temperature expects a number above 0"),
    ],
)
def test_refusals_come_first(text: str, capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    Path("empty.txt").touch()
    assert main(["paper", "language-model", *words.split()]) in (1, 2)
    assert message in " ".join("".join(capsys.readouterr()).split())
    assert sorted(path.name for path in Path().iterdir()) == ["empty.txt", "verse.txt"]
