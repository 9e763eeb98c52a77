"""The page of real runs: complete in itself, with figures that say what the runs' files say; seen in a browser."""

from __future__ import annotations

import base64
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import needs_browser, page_after_loading, screenshot
from tiny import write_hopper_file

from decision_minrnn.cli import main
from decision_minrnn.runs import read_evaluation

imread = pytest.importorskip("matplotlib.image").imread

SMALL = (
    "--width 8 --layers 2 --batch-size 4 --updates 6 --log-every 2 --checkpoint-every 3 --threads 1 --env Hopper-v5 "
    "--targets 50 90 --episodes 2"
)


class Elements(HTMLParser):
    """Every start tag of a page with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    data = write_hopper_file(folder / "hopper-tiny.hdf5")
    for seed in ("0", "1"):
        flags = ["--seed", seed, "--out", str(folder / "runs" / f"mingru-{seed}")]
        assert main(["train", str(data), *SMALL.split(), *flags]) == 0
    flags = ["--memory", "reset", "--context", "5", "--episodes", "2"]
    assert main(["evaluate", str(folder / "runs" / "mingru-0"), *flags]) == 0
    return folder / "runs"


@pytest.fixture(scope="module")
def page(runs: Path) -> Path:
    out = runs.parent / "page.html"
    assert main(["report", str(runs), "--out", str(out), "--figures", str(runs.parent / "figures")]) == 0
    return out


def images(page: Path) -> dict[str, str]:
    """The figures inside a page: what an SVG shows as text, by title."""
    found = {}
    for tag, attributes in Elements(page.read_text(encoding="utf-8")).tags:
        if tag == "img":
            source = attributes["src"] or ""
            assert source.startswith("data:image/svg+xml;base64,")
            root = ElementTree.fromstring(base64.b64decode(source.partition(",")[2]))
            found[attributes["alt"] or ""] = " ".join(text.strip() for text in root.itertext() if text.strip())
    return found


def test_nothing_comes_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    elements = Elements(text)
    for tag, attributes in elements.tags:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "url(" not in text
    assert "@import" not in text


def test_figures_and_numbers(page: Path, runs: Path) -> None:
    shown = images(page)
    assert set(shown) == {
        f"{title}, hopper-tiny"
        for title in (
            "Learning curves",
            "Asked and got",
            "Returns of the episodes",
            "Memory modes",
            "How far back actions depend on observations",
            "Gates of mingru",
        )
    }
    assert "training loss" in shown["Learning curves, hopper-tiny"]
    assert "as asked" in shown["Asked and got, hopper-tiny"]
    assert "target 90" in shown["Returns of the episodes, hopper-tiny"]
    assert "carried" in shown["Memory modes, hopper-tiny"]
    assert "reset" in shown["Memory modes, hopper-tiny"]
    assert "layer 2" in shown["Gates of mingru, hopper-tiny"]
    means = [read_evaluation(runs / f"mingru-{seed}").targets[1].return_mean for seed in (0, 1)]
    assert f"{np.mean(means):.0f} ± {np.std(means):.0f}" in Elements(page.read_text(encoding="utf-8")).text


def test_the_figures_as_files(page: Path) -> None:
    files = {path.name: imread(path) for path in (page.parent / "figures").iterdir()}
    names = ("learning", "calibration", "returns", "memory-modes", "influence", "gates-mingru")
    assert set(files) == {f"hopper-tiny-{name}.png" for name in names}
    assert all(pixels.shape[1] == 1020 and pixels[..., :3].std() > 0.05 for pixels in files.values())


@needs_browser
def test_in_a_browser(page: Path, tmp_path: Path) -> None:
    document = page_after_loading(page.as_uri())
    assert len(re.findall("<figure", document)) == 6
    pixels = imread(screenshot(page.as_uri(), tmp_path / "page.png"))[..., :3]
    assert pixels.shape[:2] == (2000, 1200)
    header, body = pixels[:60], pixels[500:1500]
    np.testing.assert_allclose(header[5, 5] * 255, (0, 0x25, 0x3A), atol=2)
    # the blue of the first curve, in the figures that the browser has drawn
    assert (np.abs(body * 255 - (0, 0x72, 0xB2)).max(axis=-1) < 12).sum() > 300


def test_what_cannot_be_shown_is_said(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(runs, tmp_path / "runs")
    shutil.rmtree(folder / "mingru-0" / "checkpoints")
    (folder / "mingru-1" / "config.json").write_text("{")
    assert main(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    printed, errors = capsys.readouterr()
    assert printed == f"report: {tmp_path / 'page.html'} (1 run)\n"
    assert "mingru-1/config.json is damaged" in errors
    assert "mingru: no run has a checkpoint yet" in errors
    assert "no run has a checkpoint yet" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_scores_of_another_checkpoint_are_said_to_be(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(runs / "mingru-0", tmp_path / "run")
    assert main(["evaluate", str(run), "--checkpoint", "3", "--episodes", "1"]) == 0
    capsys.readouterr()
    assert main(["report", str(run), "--out", str(tmp_path / "page.html")]) == 0
    note = "run: the scores are not of the last checkpoint, but: chosen, update 3 of 6."
    assert note in capsys.readouterr().err
    assert note in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_another_dataset_under_the_same_name(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = runs.parent / "hopper-tiny.hdf5"
    kept = data.read_bytes()
    try:
        data.unlink()
        assert main(["report", str(runs), "--out", str(tmp_path / "page.html")]) == 0
        assert "there is no file" in capsys.readouterr().err
        write_hopper_file(data, episodes=4)
        assert main(["report", str(runs), "--out", str(tmp_path / "page.html")]) == 0
        assert "is no longer the one that mingru-0 was trained on" in capsys.readouterr().err
    finally:
        data.write_bytes(kept)
    assert "Asked and got" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "at least one run folder"),
        ("nowhere", "nowhere does not exist"),
        ("RUNS --out nowhere/x.html", "--out nowhere/x.html: there is no folder nowhere"),
        ("RUNS --figures RUNS/mingru-0/config.json", "config.json is a file; the name of a folder was expected"),
    ],
)
def test_bad_flags(runs: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    assert main(["report", *arguments.replace("RUNS", str(runs)).split()]) == 1
    printed, error = capsys.readouterr()
    assert printed == ""
    assert message in error
