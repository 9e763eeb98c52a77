"""The benchmarks of acting: every form is timed and compared, and one that cannot be run says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import LEDGER, random_model

from decision_minrnn.benchmarks import latency
from decision_minrnn.benchmarks.evaluation import measure_throughput
from decision_minrnn.cli import main
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.policy import Policy


def test_forms_are_timed_and_compared_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(model: Any) -> latency.Act:
        act = latency.eager(model)
        return lambda observations, rewards: act(observations, rewards) + np.float32(0.25)

    def missing(model: Any) -> latency.Act:
        raise ConfigError("no such thing here.")

    monkeypatch.setattr(latency, "FORMS", {"eager": latency.eager, "shifted": shifted, "missing": missing})
    eager, other, absent = latency.measure_latency(random_model(), steps=50)
    assert eager.error == 0
    assert other.error == pytest.approx(0.25, abs=1e-6)
    for row in (eager, other):
        assert row.p50_ms is not None
        assert row.p99_ms is not None
        assert 0 < row.p50_ms <= row.p99_ms
    assert absent == latency.Latency("missing", why_not="no such thing here.")


@pytest.mark.slow
def test_all_forms_act_alike() -> None:
    eager, *others = latency.measure_latency(random_model(previous_action=True), steps=50)
    assert eager.error == 0
    assert len(others) == 3
    for other in others:
        assert other.error is not None, other.why_not
        assert other.error < 1e-5


def test_forms_and_steps_that_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean eager"):
        latency.measure_latency(random_model(), ["egaer"])
    with pytest.raises(ConfigError, match="steps expects a whole number of at least 1, got 0"):
        latency.measure_latency(random_model(), steps=0)


def test_the_latency_command(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["benchmark", "latency", "--forms", "eager", "--steps", "20"]
    assert main([*arguments, "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [row["form"] for row in content["latencies"]] == ["eager"]
    assert content["threads"] == 1
    assert main([*arguments, "--format", "markdown"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 thread of ")
    assert "width 128, 3 layers\n" in printed
    assert "| eager |" in printed


def test_an_evaluation_beside_its_simulator() -> None:
    measured = measure_throughput(Policy(random_model()), LEDGER, 10.0, environments=4, episodes=8, rounds=1)
    assert min(measured.simulator, measured.evaluation) > 0
    assert measured.share == pytest.approx(measured.evaluation / measured.simulator)
    with pytest.raises(
        ConfigError, match="at least 0 workers and 1 environment, episode and round, got -1, 20, 100, 5"
    ):
        measure_throughput(Policy(random_model()), LEDGER, 10.0, workers=-1)


def test_the_evaluation_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--env", "CartPole-v1", "--episodes", "2", "--rounds", "1", "--environments", "2"]
    output = ["--format", "markdown", "--json", str(tmp_path / "result.json")]
    assert main(["benchmark", "evaluation", *arguments, *output]) == 0
    content = json.loads((tmp_path / "result.json").read_text())
    (row,) = content["throughput"]
    assert (content["threads"], row["env_id"], row["workers"], row["environments"]) == (1, "CartPole-v1", 0, 2)
    assert f"{row['evaluation']:,.0f} | {row['share']:>5.0%} |" in capsys.readouterr().out
