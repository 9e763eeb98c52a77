"""`data plot` from the command line: files with a figure and its numbers, and refusals before any work."""

from __future__ import annotations

import csv
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from tiny import write_hopper_file

from decision_minrnn.cli import main
from decision_minrnn.data import load_dataset

imread = pytest.importorskip("matplotlib.image").imread


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_the_embedded_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "plot", "hopper-medium", "--csv", "numbers.csv"]) == 0
    printed, error = capsys.readouterr()
    assert printed.splitlines() == [
        load_dataset("hopper-medium").source, "figure: hopper-medium.png", "numbers: numbers.csv"
    ]  # fmt: skip
    assert error == ""
    assert sorted(path.name for path in Path().iterdir()) == ["hopper-medium.png", "numbers.csv"]
    pixels = imread("hopper-medium.png")
    assert pixels.shape[1] == 1020
    assert 0.1 < (pixels[..., :3] < 0.9).any(axis=-1).mean() < 0.6
    with Path("numbers.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_series = {(row["panel"], row["series"]): float(row["value"]) for row in rows}
    data = load_dataset("hopper-medium")
    assert by_series["returns", "mean"] == pytest.approx(data.returns.mean())
    assert by_series["lengths", "limit"] == 1000
    terminated = [row for row in rows if (row["panel"], row["series"]) == ("lengths", "terminated")]
    assert sum(int(row["value"]) for row in terminated) == data.terminated.sum()
    low = [int(row["value"]) for row in rows if (row["panel"], row["dimension"], row["x"]) == ("actions", "2", "-1.0")]
    assert low == [np.sum((data.actions[:, 2] >= -1) & (data.actions[:, 2] < -0.95))]


def test_numbers_to_the_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_hopper_file(tmp_path / "recording.hdf5")
    assert main(["data", "plot", str(path), "--env", "Hopper-v5", "--out", str(tmp_path / "x.svg"), "--csv", "-"]) == 0
    printed, error = capsys.readouterr()
    rows = list(csv.DictReader(StringIO(printed)))
    (score,) = {row["series"] for row in rows if row["series"].startswith("score")}
    assert score == "score d4rl"
    assert error.splitlines()[1:] == [f"figure: {tmp_path / 'x.svg'}"]
    assert ">Hopper-v5, 60 steps, 3 episodes<" in (tmp_path / "x.svg").read_text()
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("missing.hdf5 --out x.pgn", "'.pgn' is none of"),
        ("missing.hdf5 --out nowhere/x.png", "--out nowhere/x.png: there is no folder nowhere."),
        ("missing.hdf5 --out ..", "--out .. is a folder"),
        ("missing.hdf5 --csv nowhere/x.csv", "--csv nowhere/x.csv: there is no folder nowhere."),
        ("missing.hdf5 --csv ..", "--csv .. is a folder"),
        ("missing.hdf5", "there is no file missing.hdf5"),
        ("hoper-medium", "Did you mean hopper-medium"),
    ],
)
def test_refusals_come_first(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert main(["data", "plot", *words.split()]) == 1
    printed, error = capsys.readouterr()
    assert printed == ""
    assert message in error
    assert not list(Path().iterdir())


def test_without_matplotlib(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.style"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["data", "plot", "hopper-medium"]) == 1
    assert "pip install 'decision-minrnn[plot]'" in capsys.readouterr().err
