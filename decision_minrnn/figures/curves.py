"""Figures of curves: panels one below the other, each with named lines over a common axis; and their numbers as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from decision_minrnn.figures.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")
_MARKERS = "osD^v<>*"


@dataclass(frozen=True)
class Curve:
    """A line through points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] | None = None
    """Deviations, drawn as bars."""


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes."""

    x_label: str
    y_label: str
    curves: Sequence[Curve]
    x_logarithmic: bool = False
    y_logarithmic: bool = False
    markers: bool = True


def draw_panels(panels: Sequence[Panel], title: str, height: float = 2.0) -> Figure:
    """Draw panels of a `height` in inches each, in a figure as wide as a column.

    Raises `MissingExtraError` without matplotlib.
    """
    names = list(dict.fromkeys(curve.name for panel in panels for curve in panel.curves))
    look = {name: (_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]) for i, name in enumerate(names)}
    with new_figure(height * len(panels) + 0.3) as figure:
        figure.suptitle(title)
        for panel, axes in zip(panels, figure.subplots(len(panels), squeeze=False)[:, 0], strict=True):
            for curve in panel.curves:
                colour, marker = look[curve.name]
                axes.errorbar(
                    curve.x,
                    curve.y,
                    curve.spread,
                    color=colour,
                    marker=marker if panel.markers else "",
                    markersize=2.5,
                    capsize=1.5,
                    label=curve.name,
                )
            if panel.x_logarithmic:
                axes.set_xscale("log")
            if panel.y_logarithmic:
                axes.set_yscale("log")
            axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
            if len(panel.curves) > 1:
                axes.legend(ncols=2)
        return figure


def curves_csv(panels: Sequence[Panel]) -> str:
    """Every point of every panel: y, x, curve, x, y, spread."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["y_label", "x_label", "curve", "x", "y", "spread"])
    for panel in panels:
        for curve in panel.curves:
            spreads: Sequence[float | str] = curve.spread or [""] * len(curve.x)
            for x, y, spread in zip(curve.x, curve.y, spreads, strict=True):
                writer.writerow([panel.y_label, panel.x_label, curve.name, x, y, spread])
    return text.getvalue()
