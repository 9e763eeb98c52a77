"""One look for all figures, and files in the formats that matplotlib writes.

Figures are as wide as a column of a paper, to be included at their own size. Colours are those of Okabe and Ito (2008,
"Color Universal Design"), which people with any colour vision tell apart. Nothing here needs a display or touches
`pyplot` and its global state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from decision_minrnn.errors import ConfigError, MissingExtraError
from decision_minrnn.files import write_bytes_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN_WIDTH = 3.4
"""Inches."""

BLUE, SKY_BLUE, VERMILLION, GREY = "#0072B2", "#56B4E9", "#D55E00", "#999999"

COLOURS = (BLUE, VERMILLION, "#009E73", "#CC79A7", SKY_BLUE, "#E69F00", "#000000", GREY)
"""Of curves that are told apart by name, in this order."""

SHADES = ("#DCEAF5", "#0072B2", "#00253A")
"""From little to much; each is darker than the one before, in print without colours too."""

_ROW_HEIGHT = 0.12
"""Inches of a legend's row."""

_STYLE = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 6.5,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "figure.titlesize": 7.5,
    "axes.linewidth": 0.5,
    "lines.linewidth": 0.8,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.titlepad": 3.0,
    "axes.labelpad": 2.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "legend.frameon": False,
    "legend.handlelength": 0.8,
    "legend.handletextpad": 0.4,
    "legend.columnspacing": 0.6,
    "legend.borderpad": 0.2,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # text stays text: publishers refuse the other kind
    "svg.fonttype": "none",
}


def check_format(path: Path) -> None:
    """Refuse what `save_figure` could not write, before the work.

    Raises `MissingExtraError` without matplotlib, `ConfigError` for an ending that names no format it knows.
    """
    with _look():
        from matplotlib.figure import Figure

        # pgf is typeset by a LaTeX, which may not be there
        known = sorted(set(Figure().canvas.get_supported_filetypes()) - {"pgf"})
    if path.suffix[1:].lower() not in known:
        raise ConfigError(
            f"{path}: the ending of a figure's name is its format, and '{path.suffix}' is none of "
            f"{', '.join(f'.{name}' for name in known)}."
        )


@contextmanager
def new_figure(height: float) -> Iterator[Figure]:
    """An empty figure, as wide as a column and `height` inches high; what is drawn in its context has the look.

    Raises `MissingExtraError` without matplotlib.
    """
    with _look():
        from matplotlib.figure import Figure

        yield Figure((COLUMN_WIDTH, height))


def legend_below(figure: Figure) -> None:
    """Every name once, below the panels, in as many columns as fit, of three; the figure grows by the rows."""
    named = {
        name: handle for axes in figure.axes for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    for columns in (3, 2, 1):
        legend = figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + _ROW_HEIGHT * -(-len(named) // columns))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the ending of `path` names; what was there is replaced, as a whole."""
    write_bytes_atomically(path, render(figure, path.suffix[1:].lower()))


def render(figure: Figure, file_format: str) -> bytes:
    """A figure as the content of a file: png, svg, pdf, ..."""
    content = BytesIO()
    with _look():
        figure.savefig(content, format=file_format)
    return content.getvalue()


@contextmanager
def _look() -> Iterator[None]:
    """The style of all figures, in place of the user's own, which is there again afterwards."""
    try:
        import matplotlib.style
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plot") from error
    with matplotlib.style.context(["default", _STYLE]):
        yield
