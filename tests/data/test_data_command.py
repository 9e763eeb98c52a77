"""`data list` and `data show`: what they print, as tables and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from recordings import hopper_arrays, write_hdf5

from decision_minrnn.cards import dataset_cards
from decision_minrnn.cli.data import main
from decision_minrnn.cli.data.listing import list_datasets
from decision_minrnn.cli.data.show import describe, show_dataset
from decision_minrnn.data import load_dataset


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def test_the_list_says_what_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d4rl").mkdir()
    write_hdf5(tmp_path / "d4rl" / "hopper_medium-v2.hdf5", hopper_arrays())
    list_datasets(json="-")
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(dataset_cards())
    assert {name for name, row in rows.items() if row["available"]} == {"hopper-medium", "hopper-medium-v2"}
    assert rows["hopper-medium-v2"]["normalized_mean"] == pytest.approx(100 * (1422 + 20.272305) / (3234.3 + 20.272305))
    assert rows["mujoco/ant/expert-v0"]["steps"] is None
    assert rows["ant-medium-v2"]["env_id"] is None
    list_datasets()
    printed = capsys.readouterr().out
    assert all(name in printed for name in rows)


def test_show_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_hdf5(tmp_path / "x.hdf5", hopper_arrays(lengths=(3, 2), tail=1))
    target = tmp_path / "facts.json"
    show_dataset(str(path), env="Hopper-v5", json=str(target))
    facts = json.loads(target.read_text())
    assert facts["return_mean"] == (6 + 9) / 2
    assert facts["return_std"] == 1.5
    assert (facts["return_min"], facts["return_max"]) == (6, 9)
    assert (facts["length_mean"], facts["length_min"], facts["length_max"]) == (2.5, 2, 3)
    assert (facts["steps"], facts["episodes"], facts["terminated"], facts["truncated"]) == (5, 2, 1, 1)
    assert (facts["observation_size"], facts["action_size"]) == (11, 3)
    assert (facts["action_low"], facts["action_high"]) == ([-1] * 3, [1] * 3)
    assert (facts["env_id"], facts["reference"]) == ("Hopper-v5", "d4rl")
    assert facts["normalized_mean"] == pytest.approx(100 * (7.5 + 20.272305) / (3234.3 + 20.272305))
    printed = capsys.readouterr().out
    assert "without the last 1 steps" in printed
    assert "7.5 ± 1.5" in printed
    assert "1 terminated, 1 truncated, 1 of them cut short of the time limit" in printed


def test_an_unfinished_episode_stays_out_of_the_statistics(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "x.hdf5", hopper_arrays(lengths=(3, 2), tail=1))
    facts = describe(load_dataset(path, env="Hopper-v5", keep_unfinished=True))
    assert (facts["steps"], facts["episodes"], facts["unfinished"], facts["cut_short"]) == (6, 3, 1, 1)
    assert (facts["return_mean"], facts["return_min"], facts["length_min"], facts["length_mean"]) == (7.5, 6, 2, 2.5)


def test_show_without_an_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_hdf5(tmp_path / "x.hdf5", hopper_arrays())
    show_dataset(str(path), json="-")
    facts = json.loads(capsys.readouterr().out)
    assert (facts["env"], facts["env_id"], facts["reference"], facts["normalized_mean"]) == (None,) * 4
    show_dataset(str(path))
    assert "no reference scores" in capsys.readouterr().out


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_hdf5(tmp_path / "x.hdf5", hopper_arrays())
    main(["show", str(path), "--env", "hopper", "--json", "-"])
    assert json.loads(capsys.readouterr().out)["env"] == "hopper"
    main(["list", "--json", str(tmp_path / "list.json")])
    assert len(json.loads((tmp_path / "list.json").read_text())) == len(dataset_cards())


def test_infinite_bounds_are_no_json_numbers() -> None:
    from decision_minrnn.cli.data.show import _finite

    assert _finite(np.array([-np.inf, 1])) == [None, 1.0]


@pytest.mark.parametrize(
    ("module", "light"),
    [
        ("decision_minrnn.cli.data", ("torch", "gymnasium", "minari", "h5py", "scipy", "rich.table")),
        ("decision_minrnn.data", ("gymnasium", "minari", "h5py", "mujoco")),
    ],
)
def test_importing_is_light(module: str, light: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {light!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
