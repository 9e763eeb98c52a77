"""`benchmark gpu` on a CPU: every part runs, and a machine without a GPU says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from decision_minrnn.benchmarks.gpu import _optional, copy_speed
from decision_minrnn.cli import main

SMALL = ["--times", "4", "8", "--tokens", "16", "--width", "8", "--updates", "2", "--seeds", "2", "--rounds", "1"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "gpu"]) == 1
    assert "error: this measures a GPU, and PyTorch finds none that it can use" in capsys.readouterr().err


def test_every_part_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "gpu", "--device", "cpu", *SMALL, "--json", "-"]) == 0
    measured = json.loads(capsys.readouterr().out)
    names = {"linear scan", "torch gru: layer", "torch lstm: layer"}
    names |= {f"{name}: {what}" for name in ("mingru", "minlstm") for what in ("gates and scan", "layer")}
    rows = [(row["contestant"], row["steps"]) for row in measured["kernels"]]
    assert sorted(rows) == sorted((name, steps) for name in names for steps in (4, 8))
    assert [update["how"] for update in measured["updates"]] == ["plain", "graphed", "graphed, 2 seeds"]
    assert all(update["updates_per_second"] > 0 for update in measured["updates"])
    floors = {row["contestant"]: row for row in measured["kernels"] if row["steps"] == 8}
    by_hand = {  # numbers moved for each of 16 steps of width 8: forward, and both ways
        "linear scan": (3, 3 + 5),
        "mingru: gates and scan": (3, 3 + 6),
        "minlstm: gates and scan": (4, 4 + 8),
    }
    for name, counts in by_hand.items():
        milliseconds = [4 * 16 * 8 * count / (measured["copied_gb_per_second"] * 1e6) for count in counts]
        found = [floors[name]["forward_floor_ms"], floors[name]["both_floor_ms"]]
        assert found == pytest.approx(milliseconds)
    assert floors["mingru: layer"]["forward_floor_ms"] is None


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "gpu", "--device", "cpu", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert "cpu, which copies" in printed
    assert "graphed, 2 seeds" in printed
    assert copy_speed(torch.device("cpu"), 1000, 1) > 0


def test_a_package_that_cannot_be_compiled_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compiled_at_import.py").write_text("raise OSError('CUDA_HOME environment variable is not set.')")
    monkeypatch.syspath_prepend(tmp_path)
    assert _optional("compiled_at_import", "scan") is None
