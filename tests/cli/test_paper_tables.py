"""`paper parameters` and `paper scaling` end to end."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest

from decision_minrnn.cli import main


def test_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "counts.json"
    assert main(["paper", "parameters", "--width", "10", "--expansions", "2", "--json", str(out)]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mingru", "/", "gru", "2x", "400", "1,800", "22.2", "22", "670", "2,130"] in table
    assert ["minlstm", "/", "lstm", "2x", "600", "2,400", "25.0", "25", "890", "2,770"] in table
    assert [row["percent"] for row in json.loads(out.read_text())] == pytest.approx([400 / 18, 25])
    assert main(["paper", "parameters", "--width", "0"]) == 1
    assert "at least 1, got 0" in capsys.readouterr().err


def test_scaling(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    words = "--encoders mingru gru-loop --lengths 4 8 --width 8 --batch-size 2 --repeats 1 --threads 1"
    files = "--figure cost.svg --csv cost.csv --json cost.json"
    assert main(["paper", "scaling", *words.split(), *files.split()]) == 0
    printed = capsys.readouterr().out
    content = json.loads(Path("cost.json").read_text())
    assert [(row["encoder"], row["length"]) for row in content["costs"]] == [
        ("mingru", 4), ("mingru", 8), ("gru-loop", 4), ("gru-loop", 8)
    ]  # fmt: skip
    assert (content["threads"], set(content["slopes"])) == (1, {"mingru", "gru-loop"})
    assert f"{content['costs'][3]['milliseconds']:.3g}" in printed
    assert f"{content['slopes']['mingru']:.2f}" in printed
    rows = [row for row in csv.DictReader(StringIO(Path("cost.csv").read_text())) if "ms" in row["y_label"]]
    assert [float(row["y"]) for row in rows] == [row["milliseconds"] for row in content["costs"]]
    assert ">gru-loop<" in Path("cost.svg").read_text()
    assert main(["paper", "scaling", "--encoders", "mingro"]) in (1, 2)
    assert "Did you mean mingru" in "".join(capsys.readouterr())
