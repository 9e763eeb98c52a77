"""Figures of curves: panels one below the other, each with named lines over a common axis; and their numbers as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from decision_minrnn.figures.canvas import COLOURS, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^v<>*"


@dataclass(frozen=True)
class Curve:
    """A line through points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] | None = None
    """Deviations, drawn as bars, or as a band around a line without markers."""


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes."""

    x_label: str
    y_label: str
    curves: Sequence[Curve]
    x_logarithmic: bool = False
    y_logarithmic: bool = False
    markers: bool = True
    """Whether the points are marked, and are the ticks of the axis below: for few of them."""


def draw_panels(panels: Sequence[Panel], title: str, height: float = 2.0) -> Figure:
    """Draw panels of a `height` in inches each, in a figure as wide as a column.

    Raises `MissingExtraError` without matplotlib.
    """
    names = list(dict.fromkeys(curve.name for panel in panels for curve in panel.curves))
    with new_figure(height * len(panels) + 0.3) as figure:
        figure.suptitle(title)
        for panel, axes in zip(panels, figure.subplots(len(panels), squeeze=False)[:, 0], strict=True):
            for curve in panel.curves:
                _draw(axes, curve, names.index(curve.name), panel.markers)
            if panel.x_logarithmic:
                axes.set_xscale("log")
            if panel.markers:
                places = sorted({x for curve in panel.curves for x in curve.x})
                axes.set_xticks(places, [f"{x:g}" for x in places])
                axes.minorticks_off()
            if panel.y_logarithmic:
                axes.set_yscale("log")
            axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
        legend_below(figure)
        return figure


def _draw(axes: Axes, curve: Curve, index: int, marked: bool) -> None:
    """One curve, in the colour and with the marker of its place among the names."""
    colour = COLOURS[index % len(COLOURS)]
    if curve.spread is not None and not marked:
        low, high = ([y + sign * s for y, s in zip(curve.y, curve.spread, strict=True)] for sign in (-1, 1))
        axes.fill_between(curve.x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.errorbar(
        curve.x,
        curve.y,
        curve.spread if marked else None,
        color=colour,
        # shifted from round to round, so that no two names share colour and marker
        marker=_MARKERS[(index + index // len(COLOURS)) % len(_MARKERS)] if marked or len(curve.x) == 1 else "",
        linestyle="-" if index < len(COLOURS) else "--",
        markersize=2.5,
        capsize=1.5,
        label=curve.name,
    )


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
