"""The package `d4rl`: read without being imported, and held against the cards where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from decision_minrnn.cards import dataset_cards, env_card
from decision_minrnn.data.legacy import infos_path, read_infos
from decision_minrnn.errors import DataError, MissingExtraError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `d4rl` that cannot be imported, like the real one without mujoco_py."""
    folder = tmp_path / "site" / "d4rl"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('No module named mujoco_py')")
    (folder / "infos.py").write_text(
        "DATASET_URLS = {'hopper-medium-v2': 'http://host/hopper_medium-v2.hdf5'}\n"
        "REF_MIN_SCORE = {'hopper-medium-v2': -20, 'half-known': 0}\nREF_MAX_SCORE = {'hopper-medium-v2': 3234.3}\n"
    )
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


def test_it_is_read_without_being_imported(package: Path) -> None:
    infos = read_infos()
    assert infos.urls == {"hopper-medium-v2": "http://host/hopper_medium-v2.hdf5"}
    assert set(infos.references) == {"hopper-medium-v2"}
    reference = infos.references["hopper-medium-v2"]
    assert (reference.min, reference.max) == (-20.0, 3234.3)
    assert str(package) in reference.source
    assert not any(name.partition(".")[0] == "d4rl" for name in sys.modules)


def test_a_package_of_that_name_that_is_another(package: Path) -> None:
    (package / "infos.py").write_text("nothing = 1")
    with pytest.raises(DataError, match=r"infos\.py of the package d4rl cannot be read: AttributeError"):
        read_infos()
    (package / "infos.py").unlink()
    with pytest.raises(MissingExtraError, match=r"pip install 'decision-minrnn\[d4rl\]'"):
        read_infos()


@pytest.mark.slow
@pytest.mark.skipif(infos_path() is None, reason="the package d4rl is not installed (extra d4rl)")
def test_the_cards_agree_with_the_installed_package() -> None:
    infos = read_infos()
    for card in dataset_cards().values():
        if card.source == "d4rl":
            ours, theirs = env_card(card.env).references["d4rl"], infos.references[card.name]
            assert (ours.min, ours.max) == (theirs.min, theirs.max), card.name
            assert card.urls[0] == infos.urls[card.name]
