"""`benchmark speed` measures what it names, and says who is missing and what to install for it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from decision_minrnn.benchmarks.contestant import Contestant, TrainedContestant
from decision_minrnn.benchmarks.contestants import CONTESTANTS, DEFAULT, build
from decision_minrnn.benchmarks.memory import measure_memory
from decision_minrnn.benchmarks.products import is_product, measure_products
from decision_minrnn.benchmarks.scan import YARDSTICK
from decision_minrnn.benchmarks.sizes import Sizes, random_batch
from decision_minrnn.cli import main as command_line
from decision_minrnn.cli.benchmark import main
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.ops import backends

TINY = Sizes(batch_size=2, context=4, width=8, layers=1)
FLAGS = ["--rounds", "1", "--batch-size", "2", "--context", "4", "--width", "8", "--layers", "1"]
PACKAGES = {
    "minGRU-pytorch/interleaved": "minGRU_pytorch",
    "minLSTM-pytorch/interleaved": "minGRU_pytorch",
    "huggingface": "transformers",
    "mamba-transformers/interleaved": "transformers",
    "d3rlpy": "d3rlpy",
}
OWN = [name for name in CONTESTANTS if name not in PACKAGES]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A baseline of one linear layer, for machines without transformers."""

    class Model(torch.nn.Module):
        def __init__(self, config: SimpleNamespace) -> None:
            super().__init__()
            self.predict_action = torch.nn.Sequential(torch.nn.Linear(config.state_dim, config.act_dim))

        def forward(self, *, states: torch.Tensor, **_: object) -> SimpleNamespace:
            return SimpleNamespace(action_preds=self.predict_action(states))

    module = SimpleNamespace(DecisionTransformerConfig=SimpleNamespace, DecisionTransformerModel=Model)
    monkeypatch.setitem(sys.modules, "transformers", module)


@pytest.mark.parametrize("name", CONTESTANTS)
def test_a_contestant_learns_and_steps(name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    built, left_out = build([name], TINY)
    assert left_out == {}
    contestant, batch = built[name], random_batch(2, 4)
    update = contestant.update(batch, "float32")
    assert update is not None
    before = [parameter.clone() for parameter in parameters(contestant)]
    update()
    moved = [(old != new).any() for old, new in zip(before, parameters(contestant), strict=True)]
    assert sum(before.numel() for before in before) == contestant.parameters
    assert sum(moved) > len(moved) / 2
    step = contestant.step(1)
    if name.startswith(("minLSTM-pytorch", "mamba-transformers")):
        assert step is None
    else:
        assert step is not None
        action = step()
        assert torch.as_tensor(action).numel() == 3
        assert (contestant.step(2) is None) == (name == "d3rlpy")


def parameters(contestant: Contestant) -> list[torch.Tensor]:
    if isinstance(contestant, TrainedContestant):
        return list(contestant.model.parameters())
    return list(contestant.algorithm.impl.modules.transformer.parameters())  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in PACKAGES.values():
        for module in [package, *(found for found in sys.modules if found.startswith(f"{package}."))]:
            monkeypatch.setitem(sys.modules, module, None)
    built, left_out = build([name, "mingru/merged"], TINY)
    assert list(built) == ["mingru/merged"]
    assert list(left_out) == [name]
    assert re.search(r"needs the package .*decision-minrnn\[bench\]", left_out[name])


def test_updates_and_steps_in_one_table(stand_in: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["mingru/merged", "minlstm/interleaved", "huggingface"]
    out = tmp_path / "speed.json"
    words = ["--environments", "1", "3", "--precision", "float32", "bfloat16", "--threads", "1", "--json", str(out)]
    before = torch.get_num_threads()
    main(["speed", *FLAGS, "--contestants", *chosen, *words])
    assert torch.get_num_threads() == before
    result = json.loads(out.read_text())
    assert (result["threads"], result["sizes"]["width"], result["left_out"]) == (1, 8, {})
    assert result["versions"]["torch"] == torch.__version__
    rows = {(row["contestant"], row["what"]): row for row in result["measurements"]}
    whats = ("update/float32", "update/bfloat16", "step/1", "step/3")
    assert set(rows) == {(name, what) for name in chosen for what in whats}
    for (_, what), row in rows.items():
        assert 0 < row["low_ms"] <= row["median_ms"] <= row["high_ms"]
        assert row["ratio"] == pytest.approx(rows["huggingface", what]["median_ms"] / row["median_ms"])
    printed = capsys.readouterr().out
    for what in whats:
        assert what in printed
    assert f"{result['parameters']['mingru/merged']:,}" in printed


def test_scans_of_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    main(
        ["speed", "--parts", "scan", *FLAGS, "--lengths", "3", "5", "--widths", "2", "--sequences", "2", "--json", "-"]
    )
    rows = json.loads(capsys.readouterr().out)["measurements"]
    assert {(row["contestant"], row["what"]) for row in rows} == {
        (name, what) for name in (*backends(torch.device("cpu")), YARDSTICK) for what in ("T=3 D=2", "T=5 D=2")
    }
    assert all(row["ratio"] == 1.0 for row in rows if row["contestant"] == "log_space")


def test_what_counts_as_a_matrix_product() -> None:
    products = (
        "aten::mm",
        "aten::addmm",
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::mkldnn_rnn_layer",
    )
    assert all(map(is_product, products))
    assert not any(
        map(is_product, ("aten::mul", "aten::addmm_out_of_place", "Optimizer.step#AdamW.step", "AddmmBackward0"))
    )


def test_shares_of_products(capfd: pytest.CaptureFixture[str]) -> None:
    (row,) = measure_products(build(["mingru/merged"], Sizes(16, 8, 64, 1))[0], Sizes(16, 8, 64, 1))
    assert 0 < row.percent < 100


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_memory_of_a_larger_batch() -> None:
    (row,) = measure_memory(["mingru/merged"], Sizes(512, 64, 32, 1), threads=1)
    # a dozen tensors of 512 x 64 x 32 float32 numbers and two of four times the width: 4.2 MB each
    assert row.megabytes is not None
    assert 30 < row.megabytes < 300


def test_markdown_is_a_table(stand_in: None, capsys: pytest.CaptureFixture[str]) -> None:
    main(["speed", "--parts", "products", *FLAGS, "--contestants", "mingru/merged", "--format", "markdown"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.count("|") for line in lines] == [3, 3, 3]
    assert set(lines[1]) <= set("|-: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--contestants", "mingru"], "unknown contestant 'mingru'. Did you mean mingru/merged"),
        (["--parts", "score", "--contestants", "gru/merged"], "unknown contestant of the part score 'gru/merged'"),
        (["--rounds", "0"], "--rounds expects a whole number of at least 1, got 0"),
        (["--environments", "0"], "--environments expects whole numbers"),
        (["--width", "0"], "--width expects a whole number"),
        (["--lengths", "0"], "--lengths expects whole numbers"),
        (["--evaluate-every", "0"], "--evaluate-every expects a whole"),
        (["--json", "/nowhere/at/all.json"], "there is no folder /nowhere/at"),
    ],
)
def test_what_cannot_be_measured(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["benchmark", "speed", *words]) in (1, 2)
    assert message in capsys.readouterr().err


def test_the_default_leaves_out_who_takes_too_long() -> None:
    assert set(CONTESTANTS) - set(DEFAULT) == {"mamba-transformers/interleaved"}
    with pytest.raises(UnknownNameError):
        build(["nobody"], TINY)
    with pytest.raises(ConfigError):
        Sizes(layers=0)
