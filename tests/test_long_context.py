"""`benchmark context`: time over the steps that were seen, and memory."""

from __future__ import annotations

import json
import sys

import pytest

from decision_minrnn.benchmarks import long_context
from decision_minrnn.cli.benchmark import main
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.learner import PolicyLearner


def test_a_context_is_measured_in_time_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    main(["context", "--contexts", "300", "--steps", "600", "--rounds", "1", "--threads", "1", "--json", "-"])
    result = json.loads(capsys.readouterr().out)
    (row,) = result["contexts"]
    assert result["threads"] == 1
    assert (row["context"], row["rows"], row["relative"]) == (300, 2, 1.0)
    assert row["microseconds"] > 0
    if sys.platform == "linux":
        assert 0 < row["megabytes"] < 500


def test_an_update_sees_the_steps_that_it_is_divided_by(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def learn(learner: PolicyLearner) -> None:
        clock[0] += float(learner.sampler.sample().mask.sum()) * 1e-6

    monkeypatch.setattr(PolicyLearner, "learn", learn)
    monkeypatch.setattr("decision_minrnn.benchmarks.timing.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(long_context, "_memory_elsewhere", lambda config: None)
    for measured in long_context.measure_contexts([3, 7, 100], steps=100, rounds=1):
        assert measured.microseconds == pytest.approx(1)
        assert measured.relative == pytest.approx(1)
        assert measured.rows == 100 // measured.context


@pytest.mark.parametrize("contexts", [[], [0], [20, 101]])
def test_contexts_that_do_not_fit(contexts: list[int]) -> None:
    with pytest.raises(ConfigError, match="--contexts expects numbers from 1 to --steps 100"):
        long_context.measure_contexts(contexts, steps=100)


def test_an_encoder_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean mingru"):
        long_context.measure_contexts([4], steps=4, encoder="minigru")
