"""Figures are written headless, in one look whatever the user's settings, and in formats that are known beforehand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from decision_minrnn.errors import ConfigError, MissingExtraError
from decision_minrnn.figures.canvas import COLUMN_WIDTH, check_format, legend_below, new_figure, save_figure

matplotlib = pytest.importorskip("matplotlib")


def line(path: Path) -> bytes:
    with new_figure(2) as figure:
        figure.subplots().plot([1, 2], label="a line")
    save_figure(figure, path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "start"),
    [("x.png", b"\x89PNG"), ("x.PDF", b"%PDF"), ("x.svg", b"<?xml"), ("x.jpg", b"\xff\xd8\xff"), ("a.b.eps", b"%!PS")],
)
def test_the_ending_is_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    check_format(tmp_path / name)
    assert line(tmp_path / name).startswith(start)


@pytest.mark.parametrize("name", ["x", "x.", "x.pgn", "png", "x.pgf", "x.csv"])
def test_an_ending_that_is_no_format(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is none of .*\.pdf.*\.png.*\.svg") as error:
        check_format(Path(name))
    assert str(error.value).startswith(f"{name}: ")


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_text("old")
    assert line(path) == line(tmp_path / "y.png")
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "y.png"]


def test_it_has_the_width_of_a_column_at_300_dots_an_inch(tmp_path: Path) -> None:
    line(tmp_path / "x.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "x.png").shape
    assert (width, height) == (300 * COLUMN_WIDTH, 600)


def test_the_users_settings_neither_change_the_look_nor_are_changed(tmp_path: Path) -> None:
    expected = line(tmp_path / "x.png")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 10, "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        assert line(tmp_path / "y.png") == expected
        assert dict(matplotlib.rcParams) == before


def test_neither_a_display_nor_pyplot_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from decision_minrnn.figures.canvas import new_figure, save_figure\n"
        "assert not any(name.startswith('matplotlib') for name in sys.modules)\n"
        "with new_figure(2) as figure: figure.subplots()\n"
        "save_figure(figure, Path(sys.argv[1])); assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name} | {"MPLBACKEND": "tkagg"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.png")], check=True, env=environment)
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.style"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"matplotlib.*decision-minrnn\[plot\]"):
        check_format(Path("x.png"))
    with pytest.raises(MissingExtraError), new_figure(2):
        pass


@pytest.mark.parametrize(("name", "rows"), [("short", 1), ("a name of thirty characters...", 2), ("n" * 60, 3)])
def test_a_legend_stays_within_the_figure(name: str, rows: int) -> None:
    with new_figure(2) as figure:
        axes = figure.subplots()
        for number in range(3):
            axes.plot([1, 2], label=f"{name} {number}")
        legend_below(figure)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        inside = legend.get_window_extent()
    assert inside.x0 >= 0
    assert inside.x1 <= figure.bbox.width
    assert len({round(text.get_window_extent().y0) for text in legend.get_texts()}) == rows
    assert figure.get_figheight() == pytest.approx(2 + 0.12 * rows)
