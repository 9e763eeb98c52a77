"""`metrics.jsonl` and TensorBoard events hold the same numbers, once each, also after a crash and a resumption."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest
from events import hparams_of, scalars_of, texts_of

from decision_minrnn.tracking import Tracker, read_metrics


def write(tracker: Tracker, first: int, last: int, step: int = 1) -> None:
    for update in range(first, last + 1, step):
        tracker.scalars(update, {"losses/action": 1 / update, "charts/gradient_norm": float(update)})


def assert_each_once(folder: Path, updates: list[int]) -> None:
    assert [row["update"] for row in read_metrics(folder)] == updates
    scalars = scalars_of(folder)
    assert set(scalars) == {"losses/action", "charts/gradient_norm"}
    for tag, value in (("losses/action", lambda update: 1 / update), ("charts/gradient_norm", float)):
        assert [update for update, _ in scalars[tag]] == updates
        assert [found for _, found in scalars[tag]] == pytest.approx([value(update) for update in updates])


def test_the_same_numbers_in_both(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path)
    write(tracker, 1, 3)
    tracker.text("configuration", "| width | 8 |")
    tracker.hparams({"width": 8, "rate": 0.1, "cosine": True, "out": None, "targets": (1, 2)}, {"losses/action": 0.5})
    tracker.close()
    assert_each_once(tmp_path, [1, 2, 3])
    assert texts_of(tmp_path) == {"configuration": "| width | 8 |"}
    assert hparams_of(tmp_path) == [{"width": 8, "rate": 0.1, "cosine": True, "out": "None", "targets": "(1, 2)"}]


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path)
    tracker.scalars(1, {"a": math.nan, "b": math.inf})
    tracker.close()
    assert read_metrics(tmp_path) == [{"update": 1, "a": None, "b": None}]
    assert math.isnan(scalars_of(tmp_path)["a"][0][1])


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path)
    write(tracker, 1, 4)
    tracker.flush()
    write(tracker, 5, 6)
    tracker.close()
    resumed = Tracker(tmp_path, resumed_at=4)
    write(resumed, 5, 8)
    resumed.close()
    assert_each_once(tmp_path, list(range(1, 9)))


def test_events_that_a_crash_kept_from_the_disk_are_written_again(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path)
    write(tracker, 1, 3)
    tracker.flush()
    (events,) = tmp_path.glob("events.*")
    on_disk = events.read_bytes()
    write(tracker, 4, 4)
    tracker.close()
    assert len(events.read_bytes()) > len(on_disk)
    events.write_bytes(on_disk)
    resumed = Tracker(tmp_path, resumed_at=4)
    write(resumed, 5, 5)
    resumed.close()
    assert_each_once(tmp_path, [1, 2, 3, 4, 5])


def test_a_run_that_begins_again_drops_everything(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path)
    tracker.text("configuration", "first")
    write(tracker, 1, 4)
    tracker.close()
    again = Tracker(tmp_path, resumed_at=0)
    again.text("configuration", "second")
    write(again, 1, 2)
    again.close()
    assert_each_once(tmp_path, [1, 2])
    assert texts_of(tmp_path) == {"configuration": "second"}


def test_evaluations_of_a_resumed_run_are_known(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path)
    for update in (2, 4):
        tracker.scalars(update, {"losses/action": 1.0})
        tracker.scalars(update, {"eval/return/30": 1.0})
    tracker.close()
    assert tracker.evaluated == set()
    resumed = Tracker(tmp_path, resumed_at=3)
    resumed.close()
    assert resumed.evaluated == {2}


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    rows = [{"update": 1, "a": 0.5}, {"update": 2, "a": 0.25}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_bytes(text.encode()[:-5] + b"\xff\n[1]\n{}\n")
    assert read_metrics(tmp_path) == rows[:1]
    assert read_metrics(tmp_path / "nowhere") == []


def test_events_of_the_same_second_are_read_in_the_order_they_were_written(tmp_path: Path) -> None:
    for update in (1, 2, 3):
        # without a wait, names that begin alike would be ordered by the process, whatever was written first
        (tmp_path / f"events.out.tfevents.{int(time.time())}.zzz.1.0").touch()
        tracker = Tracker(tmp_path, update - 1)
        tracker.scalars(update, {"losses/action": float(update)})
        tracker.close()
        newest = max(tmp_path.glob("events.out.tfevents.*"), key=lambda path: path.name)
        assert newest.stat().st_size > 0
