"""Curves in panels, and their numbers."""

from __future__ import annotations

import pytest

from decision_minrnn.figures.curves import Curve, Panel, curves_csv, draw_panels

pytest.importorskip("matplotlib")

RISING = Curve("rising", [1, 10], [2.0, 4.0], [0.5, 0.25])
PANELS = [
    Panel("length", "ms", [RISING, Curve("flat", [1, 5], [3.0, 3.0])], x_logarithmic=True, y_logarithmic=True),
    Panel("rate", "accuracy", [RISING], markers=False),
]


def test_csv() -> None:
    assert curves_csv(PANELS).splitlines() == [
        "y_label,x_label,curve,x,y,spread",
        "ms,length,rising,1,2.0,0.5",
        "ms,length,rising,10,4.0,0.25",
        "ms,length,flat,1,3.0,",
        "ms,length,flat,5,3.0,",
        "accuracy,rate,rising,1,2.0,0.5",
        "accuracy,rate,rising,10,4.0,0.25",
    ]


def test_panels() -> None:
    figure = draw_panels(PANELS, "title")
    upper, lower = figure.axes
    assert (upper.get_xscale(), upper.get_yscale(), lower.get_xscale()) == ("log", "log", "linear")
    assert [text.get_text() for text in upper.get_xticklabels()] == ["1", "5", "10"]
    assert (lower.get_xlabel(), lower.get_ylabel()) == ("rate", "accuracy")
    assert [list(line.get_ydata()) for line in upper.get_lines()[::3][:1]] == [[2.0, 4.0]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["rising", "flat"]


def test_a_lone_point_is_seen() -> None:
    curves = [Curve("one", [10], [4.0]), Curve("two", [10, 20], [4.0, 3.0])]
    axes = draw_panels([Panel("updates", "nats", curves, markers=False)], "short").axes[0]
    assert [line.get_marker() for line in axes.get_lines()] == ["o", ""]


def test_no_two_names_look_alike() -> None:
    curves = [Curve(str(i), [1, 2], [i, i]) for i in range(20)]
    axes = draw_panels([Panel("x", "y", curves)], "many").axes[0]
    lines = [line for line in axes.get_lines() if line.get_marker() not in ("", "None", "|", "_")]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == 20
