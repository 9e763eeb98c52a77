"""The figure of a dataset, read back: its size, the colours in each panel, and its words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import ndarray
from tiny import trajectories

from decision_minrnn.cards import env_card
from decision_minrnn.data.distributions import distributions
from decision_minrnn.figures.canvas import BLUE, SKY_BLUE, VERMILLION, save_figure
from decision_minrnn.figures.dataset import draw_dataset

to_rgb = pytest.importorskip("matplotlib.colors").to_rgb
imread = pytest.importorskip("matplotlib.image").imread

PANELS = ("returns", "lengths", "returns-to-go", "actions", "observations")


def sized(observation: int, action: int, **facts: Any) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {
        "observations": generator.standard_normal((63, observation)).astype(np.float32),
        "actions": generator.uniform(-1, 1, (63, action)).astype(np.float32),
        "action_low": np.full(action, -1, np.float32),
        "action_high": np.full(action, 1, np.float32),
        **facts,
    }


def panels(path: Path, **facts: Any) -> dict[str, ndarray]:
    """Draw to a PNG; the pixels inside each panel as it was read back."""
    figure = draw_dataset(distributions(trajectories(**facts)))
    save_figure(figure, path)
    pixels = image(path)
    height, width, _ = pixels.shape
    result = {}
    for name, axes in zip(PANELS, figure.axes, strict=False):
        left, bottom, right, top = axes.get_position().extents
        result[name] = pixels[
            int((1 - top) * height) : int((1 - bottom) * height), int(left * width) : int(right * width)
        ]
    return result


def image(path: Path) -> ndarray:
    return imread(path)[..., :3]


def share(pixels: ndarray, colour: str) -> float:
    """How much of an image has that colour."""
    return float((np.abs(pixels - to_rgb(colour)).max(axis=-1) < 0.02).mean())


def words(path: Path, **facts: Any) -> str:
    """All text of the figure, one piece to a line."""
    save_figure(draw_dataset(distributions(trajectories(**facts))), path)
    return "\n".join(re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8")))


def test_every_panel_is_drawn(tmp_path: Path) -> None:
    found = panels(tmp_path / "x.png")
    assert share(found["returns"], BLUE) > 0.03
    assert share(found["returns"], SKY_BLUE) > 0.03
    assert share(found["lengths"], BLUE) > 0.05
    assert share(found["returns-to-go"], "white") < 0.9
    assert share(found["actions"], BLUE) > 0.1
    assert len(np.unique(found["observations"].reshape(-1, 3), axis=0)) > 5
    assert not any(share(pixels, VERMILLION) for pixels in found.values())


def test_ways_to_end_are_stacked(tmp_path: Path) -> None:
    # two episodes terminated and two truncated, all of the same return and length: two bars, one on the other
    found = panels(tmp_path / "x.png", lengths=(5,) * 4, rewards=np.ones(20, np.float32))
    for name in ("returns", "lengths"):
        assert share(found[name], BLUE) == pytest.approx(share(found[name], SKY_BLUE), rel=0.1)
    assert share(found["lengths"], BLUE) > 0.2


def test_what_is_amiss_has_the_colour_of_alarm(tmp_path: Path) -> None:
    # cut short of the limit of 1000 steps; actions beyond the bounds
    facts = sized(11, 3, action_high=np.full(3, 0.5, np.float32), env=env_card("hopper"))
    found = panels(tmp_path / "x.png", **facts)
    assert {name for name, pixels in found.items() if share(pixels, VERMILLION) > 0.001} == {
        "returns", "lengths", "actions"
    }  # fmt: skip


@pytest.mark.parametrize(("observation", "action"), [(3, 1), (111, 28)])
def test_many_dimensions_find_room(tmp_path: Path, observation: int, action: int) -> None:
    facts = sized(observation, action)
    facts["observations"][:, ::2], facts["observations"][:, 1::2] = 0, np.resize([[1], [-1]], (63, 1))
    found = panels(tmp_path / "x.png", **facts)
    height, width, _ = image(tmp_path / "x.png").shape
    assert width == 1020
    assert 1500 < height < 2500
    # at one deviation from the mean, the columns of the observations are empty and full in turn
    edge = 4 * 43 / 41
    row = int(len(found["observations"]) * (edge - 1) / (2 * edge))
    borders = np.flatnonzero(np.diff(found["observations"][row, 3:-3, 0] < 0.5))
    assert len(borders) == observation - 1
    assert np.diff(borders).min(initial=1020) > 5
    assert found["actions"].shape[0] / action > 15
    assert share(found["actions"], BLUE) > 0.2


def test_words(tmp_path: Path) -> None:
    text = words(tmp_path / "x.svg", **sized(11, 3, env=env_card("hopper")))
    data = trajectories()
    mean = data.returns.mean()
    for expected in (
        "ledger",
        "decision-minrnn-tests/Ledger-v0, 63 steps, 5 episodes",
        f"mean {mean:.3g} (score {2 * mean:.1f})",
        "normalised score (card: 0 random, 100 expert)",
        "limit 1,000",
        "action (dotted: bounds; %: steps in the highest bin)",
        "cut short",
    ):
        assert expected in text.splitlines()
    note = " ".join(text.split())
    assert "finished episodes, 2 of them cut short of the limit (so their returns are too low)." in note


def test_words_where_little_is_known(tmp_path: Path) -> None:
    unmarked = np.zeros(5, bool)
    bounds = {"action_low": np.full(2, -np.inf, np.float32), "action_high": np.array([1, 2], np.float32)}
    facts = sized(2, 2, **bounds, env_id=None, references={}, terminated=unmarked, truncated=unmarked)
    text = words(tmp_path / "x.svg", **facts)
    assert "63 steps, 5 episodes" in text.splitlines()
    assert "scaled action (dotted: lowest, highest; %: steps in the highest bin)" in text.splitlines()
    assert "all episodes, since none has an end mark" in " ".join(text.split())
    assert not {"score", "limit"} & set(re.findall(r"\w+", text))


def test_an_unfinished_episode_is_told(tmp_path: Path) -> None:
    ends = np.array([True, True, True, True, False])
    text = words(tmp_path / "x.svg", terminated=ends, truncated=np.zeros(5, bool))
    assert "finished episodes; 1 unfinished left out" in " ".join(text.split())


def test_one_step_is_enough(tmp_path: Path) -> None:
    alone = np.full((1, 1), 3, np.float32)
    found = panels(tmp_path / "x.png", lengths=(1,), observations=alone, actions=alone)
    assert share(found["actions"], VERMILLION) > 0.005
    assert share(found["lengths"], BLUE) > 0.5
