"""Figures of what a policy remembers: gates over an episode, and how far back actions depend on observations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from decision_minrnn.figures.canvas import COLOURS, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST = 1e-7
"""Of the largest norm: what is below is the rounding of float32."""


def draw_gates(layers: Sequence[Float[ndarray, "time state"]]) -> Figure:
    """The write gates of each layer over an episode: a row for each dimension of the state, the most open on top.

    Raises `MissingExtraError` without matplotlib.
    """
    with new_figure(1.1 * len(layers) + 0.5) as figure:
        panels = list(figure.subplots(len(layers), sharex=True, squeeze=False)[:, 0])
        for number, (axes, gates) in enumerate(zip(panels, layers, strict=True), start=1):
            ranked = gates[:, np.argsort(gates.mean(axis=0))].T
            image = axes.imshow(
                ranked, origin="lower", aspect="auto", interpolation="nearest", cmap="viridis", vmin=0, vmax=1
            )
            axes.set_title(f"layer {number}: mean {gates.mean():.2f}", loc="left")
            axes.set_ylabel("dimension")
            axes.set_yticks([])
        panels[-1].set_xlabel("step of the episode")
        scale = figure.colorbar(image, ax=panels, aspect=12 * len(layers), pad=0.02)
        scale.set_label("write gate (0 keeps, 1 overwrites)")
        scale.outline.set_visible(False)
        return figure


def draw_influence(
    policies: Mapping[str, tuple[Int64[ndarray, " lags"], Float[ndarray, "3 lags"]]], contexts: Collection[int] = ()
) -> Figure:
    """Norms by lag, as a median between quartiles for each policy, over logarithmic axes (lag 0 has its own place).

    `contexts` mark the lags beyond which training has shown nothing. Raises `MissingExtraError` without matplotlib.
    """
    with new_figure(2.4) as figure:
        axes = figure.subplots()
        for index, (name, (lags, (low, median, high))) in enumerate(policies.items()):
            colour = COLOURS[index % len(COLOURS)]
            axes.fill_between(lags, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(lags, median, color=colour, label=name)
        axes.set_yscale("log")
        highest = max(float(high.max()) for _, (_, _, high) in policies.values())
        axes.set_ylim(_LEAST * highest, 2 * highest)
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        longest = max(int(lags[-1]) for lags, _ in policies.values())
        places = [0, *(10**power for power in range(len(str(longest))))]
        axes.set_xticks(places, [str(place) for place in places])
        axes.set_xlim(0, longest)
        shown = sorted(context for context in set(contexts) if context <= longest)
        label = f"trained on {', '.join(map(str, shown))} steps"
        for context in shown:
            axes.axvline(context, color="black", linestyle=":", label=label if context == shown[0] else None)
        axes.set(xlabel="k, steps back", ylabel="| d action$_t$ / d observation$_{t-k}$ |")
        legend_below(figure)
        return figure
