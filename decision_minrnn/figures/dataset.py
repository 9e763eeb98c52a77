"""The figure of a dataset: returns, lengths, returns-to-go, actions and observations, one panel each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from decision_minrnn.cards import Reference
from decision_minrnn.data.distributions import DEVIATIONS, ENDS, Distributions, EpisodeHistogram, ReturnsToGo
from decision_minrnn.figures.canvas import BLUE, GREY, SHADES, SKY_BLUE, VERMILLION, new_figure
from decision_minrnn.scores import normalized_score

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_END_COLOURS = dict(zip(ENDS, (BLUE, SKY_BLUE, VERMILLION, GREY), strict=True))

_MOST_NAMES = 12
"""So many action dimensions have a name and a row of full height; of more, the rows are lower and some have no name."""


def draw_dataset(found: Distributions) -> Figure:
    """Draw the distributions of a dataset, in a figure as wide as a column.

    Raises `MissingExtraError` without matplotlib.
    """
    note = textwrap.fill(_note(found), 84)
    heights = [1.0, 1.1, 0.3 + 0.17 * np.clip(len(found.actions.counts), 3, _MOST_NAMES), 1.3]
    with new_figure(sum(heights) + 1.3 + 0.1 * note.count("\n")) as figure:
        panels = figure.subplot_mosaic(
            [["returns"] * 2, ["lengths", "returns-to-go"], ["actions"] * 2, ["observations"] * 2],
            height_ratios=heights,
        )
        _draw_returns(panels["returns"], found)
        _draw_lengths(panels["lengths"], found)
        _draw_returns_to_go(panels["returns-to-go"], found.returns_to_go)
        _draw_actions(panels["actions"], found)
        _draw_observations(panels["observations"], found)
        env = f"{found.env}, " if found.env else ""
        figure.suptitle(f"{textwrap.fill(found.name, 50)}\n{env}{found.steps:,} steps, {found.episodes:,} episodes")
        figure.supxlabel(note, x=0.02, ha="left", fontsize=5.5, color="#444444")
        return figure


def _draw_returns(axes: Axes, found: Distributions) -> None:
    if found.reference is None:
        _draw_episodes(axes, found.returns, "return")
        _legend_above(axes)
    else:
        score = normalized_score(found.returns.mean, found.reference)
        _draw_episodes(axes, found.returns, "return", f" (score {score:.1f})")
        _draw_scores(axes, f"{found.reference_name}", found.reference)
        _legend_above(axes, lines_between=4)


def _draw_scores(axes: Axes, name: str, reference: Reference) -> None:
    """A second axis above the returns, and lines at its 0 and 100."""
    span = reference.max - reference.min
    for end in (reference.min, reference.max):
        axes.axvline(end, color=GREY, linestyle=":")
    scores = axes.secondary_xaxis(
        "top",
        functions=(
            lambda x: normalized_score(np.asarray(x), reference),
            lambda score: reference.min + span * np.asarray(score) / 100,
        ),
    )
    scores.set_xlabel(f"normalised score ({name}: 0 random, 100 expert)")


def _draw_lengths(axes: Axes, found: Distributions) -> None:
    _draw_episodes(axes, found.lengths, "length in steps")
    if found.episode_limit is not None:
        axes.axvline(found.episode_limit, color=GREY, linestyle=":", label=f"limit {found.episode_limit:,}")
    _legend_above(axes, axes.get_lines())  # the panel above names the colours


def _draw_episodes(axes: Axes, histogram: EpisodeHistogram, label: str, remark: str = "") -> None:
    """A histogram of episodes, stacked by how they ended, with a line at the mean."""
    base = np.zeros(len(histogram.edges) - 1)
    for end, counts in zip(ENDS, histogram.counts, strict=True):
        if counts.any():
            axes.stairs(base + counts, histogram.edges, baseline=base, fill=True, color=_END_COLOURS[end], label=end)
            base += counts
    mean = f"{histogram.mean:,.0f}" if abs(histogram.mean) >= 100 else f"{histogram.mean:.3g}"
    axes.axvline(histogram.mean, color="black", label=f"mean {mean}{remark}")
    _count_in_whole_numbers(axes.yaxis)
    axes.set(xlabel=label, ylabel="episodes")


def _draw_returns_to_go(axes: Axes, found: ReturnsToGo) -> None:
    lowest, low, median, high, highest = found.quantiles
    axes.plot(found.steps, median, color=BLUE, label="median")
    axes.fill_between(found.steps, low, high, color=BLUE, alpha=0.4, linewidth=0, label="25-75 %")
    axes.fill_between(found.steps, lowest, highest, color=BLUE, alpha=0.15, linewidth=0, label="5-95 %")
    axes.yaxis.set_major_formatter("{x:g}")  # a common factor would stand where the legend is
    axes.set(xlabel="step", ylabel="return-to-go")
    _legend_above(axes)


def _legend_above(axes: Axes, handles: Sequence[Artist] | None = None, lines_between: float = 0) -> None:
    """Names in a row above a panel, where they hide nothing."""
    handles = handles or axes.get_legend_handles_labels()[0]
    axes.legend(
        handles=handles, ncols=len(handles), loc="lower center", bbox_to_anchor=(0.5, 1), borderaxespad=lines_between
    )


def _draw_actions(axes: Axes, found: Distributions) -> None:
    """A row for each dimension, the first on top: its histogram, as high as the row at its highest bin."""
    low, high, shares = found.actions.low, found.actions.high, found.actions.shares
    alike = bool((low == low[0]).all() and (high == high[0]).all())
    left, right = (low[0], high[0]) if alike else (-1.0, 1.0)
    edges = np.linspace(left, right, shares.shape[1] - 1)
    width = edges[1] - edges[0]
    for row, own in enumerate(shares[::-1]):
        below, *heights, above = row + 0.85 * own / own.max()
        axes.stairs(heights, edges, baseline=row, fill=True, color=BLUE)
        axes.stairs([below], [left - width, left], baseline=row, fill=True, color=VERMILLION)
        axes.stairs([above], [right, right + width], baseline=row, fill=True, color=VERMILLION)
        axes.axhline(row, color=GREY, linewidth=0.3)
    for bound in (left, right):
        axes.axvline(bound, color=GREY, linestyle=":")
    named = range(0, len(shares), -(-len(shares) // _MOST_NAMES))
    places = [len(shares) - 0.6 - dimension for dimension in named]
    for dimension, place in zip(named, places, strict=True):
        highest = f"{100 * shares[dimension].max():.0f} %"
        axes.text(right + 1.5 * width, place, highest, fontsize=6, va="center", color=BLUE)
    axes.set_yticks(places, [str(dimension) for dimension in named])
    axes.tick_params(axis="y", length=0)
    lines = "bounds" if found.bounded else "lowest, highest"
    axes.set(
        xlabel=f"{'action' if alike else 'scaled action'} (dotted: {lines}; %: steps in the highest bin)",
        ylabel="dimension",
        xlim=(left - 2 * width, right + 5 * width),
        ylim=(0, len(shares)),
    )


def _draw_observations(axes: Axes, found: Distributions) -> None:
    """A column for each dimension: its histogram as shades, the darkest at its highest bin."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    shares = found.observations.shares
    relative = np.ma.masked_equal((shares / shares.max(axis=1, keepdims=True)).T, 0)
    edge = DEVIATIONS * len(relative) / (len(relative) - 2)
    image = axes.imshow(
        relative,
        origin="lower",
        extent=(-0.5, len(shares) - 0.5, -edge, edge),
        aspect="auto",
        interpolation="nearest",
        cmap=LinearSegmentedColormap.from_list("shades", SHADES),
        norm=PowerNorm(0.5, 0, 1),
    )
    for end in (-DEVIATIONS, DEVIATIONS):
        axes.axhline(end, color=GREY, linestyle=":")
    scale = axes.inset_axes((0.6, 1.05, 0.4, 0.06))
    axes.figure.colorbar(image, cax=scale, orientation="horizontal", ticks=[0, 0.1, 0.5, 1], ticklocation="top")
    axes.text(0.58, 1.05, "steps, as a share of the highest bin", ha="right", fontsize=6, transform=axes.transAxes)
    _count_in_whole_numbers(axes.xaxis)
    axes.set(xlabel="observation dimension", ylabel="standardised value")


def _count_in_whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True, min_n_ticks=1))


def _note(found: Distributions) -> str:
    """What is counted, in words."""
    none_ends = found.lengths.counts[ENDS.index("unfinished")].any()
    cut = int(found.lengths.counts[ENDS.index("cut short")].sum())
    episodes = "all episodes, since none has an end mark" if none_ends else "finished episodes"
    shorter = f", {cut:,} of them cut short of the limit (so their returns are too low)" if cut else ""
    unfinished = f"; {found.left_out:,} unfinished left out" if found.left_out else ""
    return (
        f"Returns, lengths, returns-to-go: {episodes}{shorter}{unfinished}. Returns-to-go at a step: of the episodes "
        "that reach it. Actions, observations: all steps; what lies beyond the dotted lines is in one bin."
    )
