"""Figures of evaluations and of memory, by the numbers that they draw."""

from __future__ import annotations

import numpy as np
import pytest

from decision_minrnn.figures.evaluation import draw_calibration, draw_memories, draw_returns, shared_targets
from decision_minrnn.figures.memory import draw_gates, draw_influence

pytest.importorskip("matplotlib")

RETURNS = {10.0: [[8.0, 12.0], [20.0, 20.0]], 30.0: [[30.0, 34.0], [32.0, 32.0]]}
OTHER = {30.0: [[1.0, 3.0]]}


def test_calibration_is_the_mean_over_seeds() -> None:
    axes = draw_calibration({"one": RETURNS, "other": OTHER}, (0.0, 25.0)).axes[0]
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}
    assert lines["one"] == ([10, 30], [15, 32])
    assert lines["other"] == ([30], [2])
    (band, _) = (collection for collection in axes.collections if len(collection.get_paths()[0].vertices) > 3)
    assert band.get_paths()[0].vertices[:, 1].min() == 10  # 15 less the deviation of 10 and 20
    low, high = axes.get_xlim()
    assert low < 10 < 30 < high


def test_returns_have_a_panel_a_target() -> None:
    figure = draw_returns({"one": RETURNS, "other": OTHER})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["target 10", "target 30"]
    heights = [sum(patch.get_data().values) for patch in figure.axes[1].patches]
    assert heights == pytest.approx([1, 1, 1, 1])
    many = draw_returns({"one": {float(target): [[0.0, 1.0]] for target in range(20)}})
    assert len(many.axes) == 8
    assert many.axes[-1].get_title(loc="left") == "target 19"


def test_memories_stand_side_by_side() -> None:
    found = {"one": {"carried": RETURNS, "window": OTHER}, "other": {"carried": RETURNS}}
    assert shared_targets(found) == [30]
    (axes,) = draw_memories(found).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["carried", "window"]
    means = [list(container.lines[0].get_ydata()) for container in axes.containers]
    assert means == [[32, 2], [32]]


def test_gates_are_ranked() -> None:
    gates = np.array([[0.9, 0.1, 0.5], [0.8, 0.0, 0.5]])
    (image,) = draw_gates([gates, gates]).axes[0].get_images()
    np.testing.assert_array_equal(image.get_array(), [[0.1, 0.0], [0.5, 0.5], [0.9, 0.8]])
    assert image.get_clim() == (0, 1)


def test_influence_by_lag() -> None:
    lags = np.arange(120)
    quantiles = np.stack([0.5 * 0.8**lags, 0.8**lags, 2 * 0.8**lags])
    axes = draw_influence({"one": (lags, quantiles)}, [64, 20, 64, 500]).axes[0]
    drawn = {line.get_label(): line for line in axes.get_lines()}
    np.testing.assert_array_equal(drawn["one"].get_ydata(), quantiles[1])
    assert "trained on 20, 64 steps" in drawn
    assert [line.get_xdata()[0] for line in axes.get_lines()[1:]] == [20, 64]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "10", "100"]
