"""The self-test passes here, and fails with exit code 1 where something is broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from decision_minrnn import checkpoint
from decision_minrnn.cli import main
from decision_minrnn.encoders.mingru import MinGRU
from decision_minrnn.errors import MissingExtraError
from decision_minrnn.ops import scan
from decision_minrnn.policy import Policy
from decision_minrnn.selftest import encoders, persistence, rollouts, scans
from decision_minrnn.selftest.base import CHECKS, Finding, Outcome, run_check

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "LENGTHS", (1, 33, 300))
    monkeypatch.setattr(encoders, "LONG", 300)


def only(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("decision_minrnn.selftest.suite.CHECKS", {name: CHECKS[name]})


def failures(outcome: Outcome) -> list[str]:
    return [finding.what for finding in outcome.findings if not finding.passed]


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_passes_here(name: str) -> None:
    outcome = run_check(name, CPU)
    assert outcome.passed, outcome
    assert len(outcome.findings) > 1


def test_the_cpu_of_a_machine_with_a_gpu_has_no_kernels_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan.triton, "runs_here", lambda: True)
    monkeypatch.setattr(scan.triton, "interpreted", lambda: False)
    assert "triton" in scan.backends()
    outcome = run_check("scans", CPU)
    assert outcome.passed
    assert not any("triton" in finding.what for finding in outcome.findings)


@pytest.mark.slow
def test_the_whole_passes_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.undo()
    assert main(["selftest", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "sequential, 20,000 steps, float32: gradients" in printed
    assert "passed on cpu" in printed
    assert main(["selftest", "--determinism"]) == 0
    assert "equal to the bit" in capsys.readouterr().out


def off_by_little(*inputs: torch.Tensor) -> torch.Tensor:
    return scan.sequential_scan(*inputs) * (1 + 1e-4)


def wrong_gradient(coefficients: torch.Tensor, values: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    return scan.sequential_scan(coefficients, values, state.detach())


def drops_the_state(coefficients: torch.Tensor, values: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    return scan.sequential_scan(coefficients, values, 0 * state)


def broken(*inputs: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no kernel image is available")


@pytest.mark.parametrize("backend", [off_by_little, wrong_gradient, drops_the_state])
def test_a_broken_scan_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, backend: Any
) -> None:
    monkeypatch.setitem(scan._BACKENDS, "reference", backend)
    only(monkeypatch, "scans")
    assert main(["selftest", "--device", "cpu", "--json", str(tmp_path / "report.json")]) == 1
    printed = capsys.readouterr().out
    assert "FAILED" in printed
    assert printed.splitlines()[-1].startswith("FAILED on cpu")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["passed"] is False
    wrong = {finding["what"].partition(",")[0] for finding in report["checks"][0]["findings"] if not finding["passed"]}
    assert wrong == {"reference"}


def test_a_scan_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(scan._BACKENDS, "sequential", broken)
    only(monkeypatch, "scans")
    assert main(["selftest", "--device", "cpu"]) == 1
    assert "scans failed: RuntimeError: no kernel image is available" in capsys.readouterr().out
    assert main(["selftest", "--device", "cpu", "--json", "-"]) == 1
    assert json.loads(capsys.readouterr().out)["checks"][0]["fault"].startswith("RuntimeError")


def test_an_encoder_whose_steps_are_others_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stepper = MinGRU.stepper

    def wrong(self: MinGRU, rows: int | None = None) -> Any:
        step = stepper(self, rows)
        return lambda x, state: step(1.001 * x, state)

    monkeypatch.setattr(MinGRU, "stepper", wrong)
    assert failures(run_check("encoders", CPU)) == ["mingru: 40 steps and one forward pass"]


def test_a_rollout_that_forgets_rewards_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    act = Policy.act
    monkeypatch.setattr(
        Policy, "act", lambda self, seen, paid=None: act(self, seen, None if paid is None else 0 * paid)
    )
    assert failures(run_check("rollouts", CPU)) == ["return-to-go after three rewards"]


def test_an_environment_that_pays_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "constant_return", lambda seed, action: 1.0)
    assert failures(run_check("rollouts", CPU)) == [f"returns, {count} at once" for count in (1, 3, 20)]


def test_weights_that_are_saved_otherwise_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = checkpoint._on_cpu
    monkeypatch.setattr(
        checkpoint, "_on_cpu", lambda tensors: on_cpu({k: v.bfloat16().to(v) for k, v in tensors.items()})
    )
    assert "weights saved and loaded" in failures(run_check("checkpoints", CPU))


def test_a_training_that_is_resumed_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    resume = persistence.resume

    def forgetful(folder: Path, *others: Any) -> Any:
        config = json.loads((folder / "config.json").read_text())
        config["train"]["weight_decay"] = 0.5
        (folder / "config.json").write_text(json.dumps(config))
        return resume(folder, *others)

    monkeypatch.setattr(persistence, "resume", forgetful)
    assert failures(run_check("checkpoints", CPU)) == ["weights of a training that was resumed"]


def test_what_is_not_installed_is_skipped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(device: torch.device) -> Iterator[Finding]:
        raise MissingExtraError("onnx", "export")
        yield

    monkeypatch.setitem(CHECKS, "missing", missing)
    only(monkeypatch, "missing")
    assert main(["selftest", "--device", "cpu"]) == 0
    assert "missing skipped: this needs the package onnx" in capsys.readouterr().out


def test_nothing_to_compare_is_not_near() -> None:
    assert not Finding("x", float("nan"), 1.0).passed
    assert not Finding("x", float("inf"), 1.0).passed
    assert Finding("x", 0, 0).passed
