"""`decision-minrnn data plot NAME`: a figure of what a dataset holds, for a paper."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro


def plot_dataset(
    name: Annotated[str, tyro.conf.Positional],
    out: str | None = None,
    csv: str | None = None,
    env: str | None = None,
    mirror: tuple[str, ...] = (),
) -> None:
    """Draw a dataset as a figure for a paper, as wide as a column (extra: plot).

    Returns of the episodes with their normalised scores, lengths, returns-to-go by step, and histograms of every
    dimension of the actions and observations. Returns, lengths and returns-to-go are those of the finished episodes.

    --csv writes the numbers behind every panel, one to a row: panel, series, dimension, x, x_end, value. The series are
    returns: terminated, truncated, cut short, mean, score; lengths: the same, with limit in place of score;
    returns-to-go: quantile 0.05 to 0.95, episodes; actions: steps; observations: steps, mean, std. A bin reaches from x
    to x_end in the environment's units, and value counts episodes or steps; the first and last bin of a dimension hold
    what lies outside of the action bounds, or further than 4 deviations from the mean observation.

    Args:
        name: A name from `data list`, a Minari id, or the path of an HDF5 or npz file or Minari folder.
        out: The figure; its ending (.png, .pdf, .svg, …) is its format. By default NAME.png, in the working directory.
        csv: Write the numbers to this file as well, or to standard output if "-".
        env: The environment it belongs to, in place of the one it names: a card, a gymnasium id or a card's path.
        mirror: Addresses (https://host/folder) to download D4RL's files from, tried before those that are known.
    """
    from decision_minrnn.cli.console import progress_console
    from decision_minrnn.cli.outputs import check_output
    from decision_minrnn.data import load_dataset
    from decision_minrnn.data.distribution_table import distribution_csv
    from decision_minrnn.data.distributions import distributions
    from decision_minrnn.data.resolve import locate
    from decision_minrnn.figures.canvas import check_format, save_figure
    from decision_minrnn.figures.dataset import draw_dataset
    from decision_minrnn.files import write_text_atomically
    from decision_minrnn.progress import DownloadDisplay

    check_output("--csv", csv)
    target = Path(out or f"{locate(name).name}.png")
    check_output("--out", target)
    check_format(target)
    with DownloadDisplay(progress_console(stderr=True)) as display:
        data = load_dataset(name, env=env, mirrors=mirror, on_download=display.show)
    told = sys.stderr if csv == "-" else sys.stdout
    print(data.source, file=told)
    found = distributions(data)
    save_figure(draw_dataset(found), target)
    print(f"figure: {target}", file=told)
    if csv == "-":
        print(distribution_csv(found), end="")
    elif csv is not None:
        write_text_atomically(csv, distribution_csv(found))
        print(f"numbers: {csv}")
