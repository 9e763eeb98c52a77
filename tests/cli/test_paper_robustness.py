"""`paper robustness` end to end."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest

from decision_minrnn.cli import main

SMALL = (
    "--length 6 --data-tokens 2 --width 8 --updates 4 --batch-size 4 --test-sequences 10 --threads 1 "
    "--vary-forget-bias 0 3 --vary-learning-rate 0.01 --vary-dropout --vary-layers"
)


def test_end_to_end_and_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert main(["paper", "robustness", *SMALL.split(), "--out", "out", "--csv", "points.csv"]) == 0
    printed = capsys.readouterr().out
    runs = json.loads(Path("out/results.json").read_text())["runs"]
    assert [(run["encoder"], run.get("setting")) for run in runs] == [
        ("mingru", None),
        ("mingru", "learning_rate"),
        ("minlstm", None),
        ("minlstm", "forget_bias"),
        ("minlstm", "learning_rate"),
    ]
    rows = list(csv.DictReader(StringIO(Path("points.csv").read_text())))
    mine = [row for row in rows if (row["x_label"], row["curve"]) == ("learning rate", "minlstm")]
    assert [float(row["x"]) for row in mine] == [0.003, 0.01]
    assert float(mine[1]["y"]) == pytest.approx(100 * runs[4]["scalars"]["eval/accuracy"])
    assert [float(row["x"]) for row in rows if row["x_label"] == "forget bias"] == [0, 3]
    assert "forget bias" in printed
    assert main(["paper", "robustness", "--resume", "out", "--figure", "again.svg"]) == 0
    assert "accuracy %" in Path("again.svg").read_text()
