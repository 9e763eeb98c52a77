"""What reaches a user: the files that the installed package needs, and what exactly is in the wheel.

The fast tests ask the package that is imported, so run from another directory they test an installed wheel.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import decision_minrnn
from decision_minrnn.cards import card_folders, dataset_cards, env_cards

PACKAGE = Path(next(iter(decision_minrnn.__path__)))
CHECKOUT = Path(__file__).resolve().parents[1]
SHIPPED = ("decision_minrnn", "envs", "datasets")
EMBEDDED = ("main_data.hdf5", "metadata.json")


def test_every_module_can_be_imported() -> None:
    names = [module.name for module in pkgutil.walk_packages(decision_minrnn.__path__, "decision_minrnn.")]
    for name in names:
        # kernels are written in Triton, which comes with PyTorch for CUDA; all else is imported where it is used
        if name.startswith("decision_minrnn.ops.triton.") and importlib.util.find_spec("triton") is None:
            continue
        if not name.endswith(".__main__"):
            importlib.import_module(name)
    assert {"decision_minrnn.cards", "decision_minrnn.data.minari"} <= set(names)


def test_what_the_package_offers_is_listed_before_it_is_used() -> None:
    assert set(decision_minrnn.__all__) == set(decision_minrnn._PUBLIC) <= set(dir(decision_minrnn))


def test_type_checkers_are_told_of_the_annotations() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_every_dataset_card_names_a_known_environment() -> None:
    assert {"hopper", "halfcheetah", "walker2d", "ant"} <= set(env_cards())
    unknown = {card.name: card.env for card in dataset_cards().values() if card.env not in env_cards()}
    assert dataset_cards()
    assert not unknown


def test_embedded_dataset_is_beside_its_card() -> None:
    embedded = [card for card in dataset_cards().values() if card.source == "embedded"]
    assert "hopper-medium" in {card.name for card in embedded}
    for card in embedded:
        data = card_folders("datasets")[-1] / card.location / "data"
        assert all((data / name).stat().st_size > 0 for name in EMBEDDED)


@pytest.mark.skipif((PACKAGE.parent / "pyproject.toml").is_file(), reason="the package is imported from a checkout")
def test_installed_package_brings_its_own_cards() -> None:
    assert card_folders("envs")[-1] == PACKAGE.resolve() / "_cards" / "envs"
    # Top-level packages of these names would overwrite other people's.
    assert not any((PACKAGE.parent / name / "hopper.toml").exists() for name in ("envs", "datasets"))


def shipped_files(repository: Path) -> set[str]:
    """What the wheel must hold, by its path there."""
    package = repository / "decision_minrnn"
    files = {
        path.relative_to(repository).as_posix()
        for kind in ("*.py", "*.cpp", "*.h", "*.html")
        for path in package.rglob(kind)
    }
    for kind, patterns in {"envs": ["*.toml"], "datasets": ["*.toml", "*/data/*"]}.items():
        for path in (found for pattern in patterns for found in (repository / kind).glob(pattern)):
            files.add(f"decision_minrnn/_cards/{path.relative_to(repository).as_posix()}")
    return files | {"decision_minrnn/py.typed"}


@pytest.mark.skipif(not (CHECKOUT / "decision_minrnn").is_dir(), reason="no checkout to build a wheel from")
def test_wheel_holds_the_shipped_files_and_nothing_else(tmp_path: Path) -> None:
    # A copy, because setuptools writes into the folder it builds from and packs what earlier builds left there.
    source = tmp_path / "source"
    source.mkdir()
    for folder in SHIPPED:
        shutil.copytree(CHECKOUT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for stray in ("tests/test_stray.py", "runs/stray/config.json", "datasets/stray.hdf5"):
        (source / stray).parent.mkdir(parents=True, exist_ok=True)
        (source / stray).touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    isolation = ["--no-isolation"] if importlib.util.find_spec("setuptools") else []
    command = [sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""})

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = {name.split("/", 1)[1] for name in wheel.namelist() if ".dist-info/" in name}
    expected = shipped_files(source)
    assert any(name.endswith(EMBEDDED[0]) for name in expected)
    assert names == expected
    assert {"entry_points.txt", "licenses/LICENSE"} <= metadata
