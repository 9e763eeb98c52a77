"""The examples of docs/examples run as they stand, and do what they say. `run_onnx.py` is run in tests/export."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from decision_minrnn.encoders import base, build_encoder

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples are in the repository, not in the wheel")


@pytest.fixture(autouse=True)
def as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each example runs in an empty folder, and the encoder that one registers is gone afterwards."""
    monkeypatch.chdir(tmp_path)
    before = dict(base._LAYERS)
    yield
    base._LAYERS.clear()
    base._LAYERS.update(before)


def run(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_train_and_evaluate(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("train_and_evaluate.py", capsys)
    assert "80,342 steps in 184 episodes, which returned 1436 on average" in printed
    assert re.search(r"target 1800: return \d+, score \d", printed)
    assert "shared: README.md cards.json config.json model.safetensors" in printed


def test_an_environment_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    found = re.search(r"random actions return (-[\d.]+), the policy (-[\d.]+)", run("own_environment.py", capsys))
    assert found is not None
    random, policy = map(float, found.groups())
    assert policy > random + 5


def test_an_encoder_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(r"return \d+", run("own_encoder.py", capsys))
    encoder = build_encoder("moving-average", 4, 2).eval()
    x = torch.randn(3, 6, 4)
    expected, last = encoder(x)
    state = encoder.initial_state(3)
    for t in range(6):
        y, state = encoder.step(x[:, t], state)
        torch.testing.assert_close(y, expected[:, t])
    torch.testing.assert_close(state, last)


@pytest.mark.slow
def test_encoders_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    header, *rows = run("compare_encoders.py", capsys).splitlines()
    assert header.split() == ["encoder", "parameters", "loss", "return", "score"]
    assert [row.split()[0] for row in rows] == ["mingru", "minlstm", "gru", "transformer", "mlp"]
    assert all(0 < float(row.split()[2]) < 1 for row in rows)


@pytest.mark.slow
def test_the_notebook_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parents[1]))
    notebook = nbformat.read(EXAMPLES / "first-steps.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    client.NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "reference: d4rl environment: Hopper-v5" in printed
    assert printed.rstrip().endswith("Hopper-v5 (3600.0, 1800.0)")
