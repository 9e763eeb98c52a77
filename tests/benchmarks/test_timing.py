"""Rounds, quartiles and ratios."""

import pytest

from decision_minrnn.benchmarks.timing import WARM_UP, Work, measure, summarise


def test_quartiles_and_ratios_by_hand() -> None:
    rows = summarise({("a", "x"): [4.0, 1.0, 2.0, 3.0, 5.0], ("b", "x"): [6.0], ("a", "y"): [1.0, 2.0]}, baseline="b")
    by_key = {(row.contestant, row.what): row for row in rows}
    first = by_key["a", "x"]
    assert (first.low_ms, first.median_ms, first.high_ms, first.rounds) == (2.0, 3.0, 4.0, 5)
    assert first.ratio == 2.0
    assert by_key["b", "x"].ratio == 1.0
    assert by_key["a", "y"].median_ms == 1.5
    assert by_key["a", "y"].ratio is None, "the baseline did not do y"


def test_without_a_baseline_there_are_no_ratios() -> None:
    assert [row.ratio for row in summarise({("a", "x"): [1.0]}, baseline="b")] == [None]
    assert [row.ratio for row in summarise({("a", "x"): [1.0]})] == [None]


def test_contestants_take_turns_and_the_first_rounds_do_not_count() -> None:
    calls: list[str] = []
    works = {("a", "x"): Work(lambda: calls.append("a")), ("b", "x"): Work(lambda: calls.append("b"))}
    rows = measure(works, rounds=3)
    assert calls == ["a", "b"] * (WARM_UP + 3)
    assert [row.rounds for row in rows] == [3, 3]


def test_what_is_repeated_is_timed_as_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], []

    def task() -> None:
        calls.append(1)
        clock[0] += 0.25

    monkeypatch.setattr("decision_minrnn.benchmarks.timing.time.perf_counter", lambda: clock[0])
    (row,) = measure({("a", "x"): Work(task, repeats=4)}, rounds=1)
    assert row.median_ms == 250.0
    assert len(calls) == (WARM_UP + 1) * 8


def test_what_a_device_has_left_to_do_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = [0.0], [0]

    def task() -> None:
        told[0] += 1

    def wait() -> None:
        clock[0] += 0.25 * told[0]
        told[0] = 0

    monkeypatch.setattr("decision_minrnn.benchmarks.timing.time.perf_counter", lambda: clock[0])
    (row,) = measure({("a", "x"): Work(task, repeats=4)}, rounds=1, wait=wait)
    assert row.median_ms == 250.0, "what was told before the clock started does not count"
