"""Figures of evaluations: returns asked for and got, returns of all episodes, and memory modes side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from decision_minrnn.figures.canvas import COLOURS, GREY, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Returns = Mapping[float, Sequence[Sequence[float]]]
"""By target: the episodes' returns of each run."""

_MOST_TARGETS = 8
_BINS = 24


def draw_calibration(policies: Mapping[str, Returns], data: tuple[float, float] | None = None) -> Figure:
    """Mean return against the target that was asked for, a line for each policy.

    Several runs of a policy are shown by their mean and deviation. On the grey line a policy returns what it was asked
    for; `data` are the lowest and highest return of the episodes trained on, drawn as a shade.

    Raises `MissingExtraError` without matplotlib.
    """
    with new_figure(2.4) as figure:
        axes = figure.subplots()
        targets = sorted({target for returns in policies.values() for target in returns})
        axes.axline((targets[-1], targets[-1]), slope=1, color=GREY, linestyle=":", label="as asked")
        if data is not None:
            axes.axvspan(*data, color=GREY, alpha=0.12, linewidth=0, label="returns in the data")
        for index, (name, returns) in enumerate(policies.items()):
            means = [[float(np.mean(episodes)) for episodes in runs] for runs in returns.values()]
            colour = COLOURS[index % len(COLOURS)]
            middle, deviation = np.array([(np.mean(runs), np.std(runs)) for runs in means]).T
            axes.fill_between(
                list(returns), middle - deviation, middle + deviation, color=colour, alpha=0.2, linewidth=0
            )
            axes.plot(list(returns), middle, color=colour, marker="o", markersize=3, label=name)
        reach = 0.06 * max(targets[-1] - targets[0], abs(targets[-1]), 1e-6)
        axes.set(xlim=(targets[0] - reach, targets[-1] + reach), xlabel="target return", ylabel="return")
        legend_below(figure)
        return figure


def draw_returns(policies: Mapping[str, Returns]) -> Figure:
    """A histogram of the returns of all episodes for each target, with a line at the target.

    Of more than eight targets, eight are shown. Raises `MissingExtraError` without matplotlib.
    """
    targets = np.array(sorted({target for returns in policies.values() for target in returns}))
    shown = targets[np.unique(np.linspace(0, len(targets) - 1, _MOST_TARGETS).round().astype(int))]
    pooled = {
        name: {target: np.concatenate([np.asarray(run) for run in runs]) for target, runs in returns.items()}
        for name, returns in policies.items()
    }
    everything = np.concatenate([returns for by_target in pooled.values() for returns in by_target.values()])
    edges = np.histogram_bin_edges(np.append(everything, shown), _BINS)
    with new_figure(0.7 * len(shown) + 0.6) as figure:
        panels: list[Axes] = list(figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0])
        for axes, target in zip(panels, shown, strict=True):
            for index, (name, by_target) in enumerate(pooled.items()):
                if target in by_target:
                    counts, _ = np.histogram(by_target[target], edges)
                    colour = COLOURS[index % len(COLOURS)]
                    axes.stairs(counts / counts.sum(), edges, fill=True, color=colour, alpha=0.25)
                    axes.stairs(counts / counts.sum(), edges, color=colour, label=name)
            axes.axvline(target, color="black", linestyle=":")
            axes.set_title(f"target {target:g}", loc="left")
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        panels[-1].set_xlabel("return of an episode")
        legend_below(figure)
        return figure


def draw_memories(policies: Mapping[str, Mapping[str, Returns]]) -> Figure:
    """Mean return of each policy with each memory mode, one panel for each target that several modes share.

    Raises `MissingExtraError` without matplotlib.
    """
    modes = list(dict.fromkeys(mode for by_mode in policies.values() for mode in by_mode))
    targets = shared_targets(policies)
    with new_figure(1.55 * len(targets) + 0.4) as figure:
        panels: list[Axes] = list(figure.subplots(len(targets), sharex=True, squeeze=False)[:, 0])
        for axes, target in zip(panels, targets, strict=True):
            for index, (name, by_mode) in enumerate(policies.items()):
                found = [(modes.index(mode), by_mode[mode][target]) for mode in by_mode if target in by_mode[mode]]
                if not found:
                    continue
                shift = 0.5 * ((index + 0.5) / len(policies) - 0.5)
                pools = [np.concatenate([np.asarray(run) for run in runs]) for _, runs in found]
                axes.errorbar(
                    [place + shift for place, _ in found],
                    [pool.mean() for pool in pools],
                    [1.96 * pool.std() / np.sqrt(len(pool)) for pool in pools],
                    color=COLOURS[index % len(COLOURS)],
                    linestyle="",
                    marker="o",
                    markersize=3,
                    capsize=2,
                    label=name,
                )
            axes.set_title(f"target {target:g}", loc="left")
            axes.set(ylabel="return", xlim=(-0.5, len(modes) - 0.5))
            axes.set_xticks(range(len(modes)), modes)
        legend_below(figure)
        return figure


def shared_targets(policies: Mapping[str, Mapping[str, Returns]]) -> list[float]:
    """Targets at which some policy was evaluated with more than one memory mode; at most four, the highest last."""
    found = set()
    for by_mode in policies.values():
        counted = [target for returns in by_mode.values() for target in returns]
        found |= {target for target in counted if counted.count(target) > 1}
    return sorted(found)[-4:]
