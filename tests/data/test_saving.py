"""Writing datasets: every format and back equal to the bit, read by the libraries that own the formats."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import permutations
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest
from recordings import hopper_arrays, write_hdf5
from tiny import LEDGER, trajectories

from decision_minrnn.cards import Reference
from decision_minrnn.cli.data import main
from decision_minrnn.data import convert_dataset, load_dataset, save_dataset
from decision_minrnn.data.base import Recording
from decision_minrnn.data.resolve import locate, read_raw
from decision_minrnn.data.saving import check_target
from decision_minrnn.errors import DataError

FORMATS = ("x.hdf5", "x.npz", "./x-folder", "test/x-v0")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def source(path: str, dtype: type = np.float32, following: bool = True, seed: int = 0) -> Path:
    """Four episodes, the last unfinished, with everything that a file can hold; only `dtype` holds its values."""
    generator = np.random.default_rng(seed)
    arrays: dict[str, Any] = hopper_arrays((4, 1, 3), tail=2, seed=seed)
    steps = len(arrays["rewards"])
    for name in ("observations", "actions", "rewards"):
        arrays[name] = generator.uniform(-1, 1, arrays[name].shape).astype(dtype)
    arrays["timeouts"][4] = arrays["terminals"][4] = True
    if following:
        arrays["next_observations"] = np.concatenate([arrays["observations"][1:], arrays["observations"][:1]])
        arrays["next_observations"][[3, 4, 7]] = generator.standard_normal((3, 11))
    arrays["infos/qpos"] = generator.standard_normal((steps, 6))
    arrays["infos/action_log_probs"] = generator.standard_normal(steps).astype(np.float32)
    arrays["metadata/algorithm"] = "by hand"
    arrays["metadata/description"] = "Vier Läufe, einer ohne Ende."
    arrays |= {"metadata/ref_min_score": 1 / 3, "metadata/ref_max_score": 7.0, "metadata/ref_score_source": "a guess"}
    return write_hdf5(Path(path), arrays, env_id="Hopper-v5")


def assert_equal(one: Recording, other: Recording) -> None:
    """Everything but the words on how it was read, and the name that a format gives to its own reference."""
    for field in fields(Recording):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("notes", "references"):
            continue
        if field.name == "infos":
            assert set(a) == set(b)
            pairs = [(a[name], b[name]) for name in a]
        else:
            pairs = [(a, b)]
        for x, y in pairs:
            if isinstance(x, np.ndarray):
                assert (x.dtype, x.tobytes()) == (y.dtype, y.tobytes()), field.name
            else:
                assert x == y, field.name
    assert [*one.references.values()][-1:] == [*other.references.values()][-1:]


def dataset_names(group: h5py.Group) -> list[str]:
    names: list[str] = []
    group.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def exactly(path: str | Path) -> Recording:
    from decision_minrnn.data.formats import format_of

    location = locate(path)
    return format_of(location.path).read(location.path, lambda _, shape, stored: np.empty(shape, stored), True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("following", [True, False])
def test_every_way_round_is_equal_to_the_bit(dtype: type, following: bool) -> None:
    first = source("hopper.hdf5", dtype, following)
    convert_dataset(first, "start.hdf5")  # bounds come from the card and are written down
    expected = exactly("start.hdf5")
    assert expected.observations.dtype == dtype
    assert (expected.final_observations is not None) == following
    assert set(expected.infos) == {"qpos", "action_log_probs"}
    assert expected.unfinished_steps == 2
    for number, (one, other) in enumerate(permutations(FORMATS, 2)):
        here = [f"{number}-{name}" if "x" in name[:1] else name.replace("x", f"x{number}") for name in (one, other)]
        convert_dataset("start.hdf5", here[0], overwrite=True)
        convert_dataset(here[0], here[1], overwrite=True)
        convert_dataset(here[1], "back.hdf5", overwrite=True)
        assert_equal(expected, exactly(here[1]))
        assert_equal(expected, exactly("back.hdf5"))
        with h5py.File("start.hdf5") as a, h5py.File("back.hdf5") as b:
            names = dataset_names(a)
            assert len(names) >= 12
            for name in names:
                np.testing.assert_array_equal(a[name][()], b[name][()], strict=True)


def test_what_is_trained_on_does_not_depend_on_the_format() -> None:
    path = source("hopper.hdf5", np.float64)
    loaded = load_dataset(path)
    for target in FORMATS:
        convert_dataset(path, target)
        again = load_dataset(target)
        assert (again.steps, again.episodes, again.env_id) == (8, 3, "Hopper-v5")
        assert_equal(loaded, again)
        assert load_dataset(target, keep_unfinished=True).episodes == 4
    assert load_dataset("test/x-v0").references["minari-metadata"] == Reference(1 / 3, 7.0, "a guess")
    assert load_dataset("x.npz").references["metadata"] == Reference(1 / 3, 7.0, "a guess")


@pytest.mark.parametrize("storage", ["hdf5", "arrow", "parquet"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_minari_itself_takes_what_is_written(storage: Any) -> None:
    if storage != "hdf5":
        pytest.importorskip("pyarrow")
    data = load_dataset(source("hopper.hdf5"))
    path = save_dataset(
        data, "mine/hopper-v3", algorithm="SAC", description="Three episodes.", storage=storage, overwrite=True
    )
    assert path == Path("minari/mine/hopper-v3").absolute()
    dataset = minari.load_dataset("mine/hopper-v3")
    assert (dataset.total_steps, dataset.total_episodes, dataset.id) == (8, 3, "mine/hopper-v3")
    metadata = dataset.storage.metadata
    assert (metadata["algorithm_name"], metadata["description"]) == ("SAC", "Three episodes.")
    assert metadata["data_format"] == storage
    dataset.set_seed(0)
    (episode,) = dataset.sample_episodes(1)
    rows = slice(*data.offsets[episode.id : episode.id + 2])
    np.testing.assert_array_equal(episode.actions, data.actions[rows])
    np.testing.assert_array_equal(episode.observations[:-1], data.observations[rows])
    assert data.final_observations is not None
    np.testing.assert_array_equal(episode.observations[-1], data.final_observations[episode.id])
    assert bool(episode.terminations[-1]) == data.terminated[episode.id]
    assert dataset.observation_space.shape == (11,)
    np.testing.assert_array_equal(dataset.action_space.high, np.ones(3))
    with dataset.recover_environment() as env:
        assert env.spec is not None
        assert env.spec.id == "Hopper-v5"
        assert env.reset()[0].shape == (11,)
    # the environment card's reference comes first: D4RL's hopper
    score = minari.get_normalized_score(dataset, np.array([3234.3, -20.272305]))
    np.testing.assert_allclose(score, [1, 0], atol=1e-12)
    assert_equal(load_dataset("mine/hopper-v3"), load_dataset(path))


def test_final_observations_that_nobody_recorded_are_marked() -> None:
    path = source("hopper.hdf5", following=False)
    convert_dataset(path, "./folder")
    episode = minari.MinariDataset("folder/data")[0]
    np.testing.assert_array_equal(episode.observations[-1], episode.observations[-2])
    assert load_dataset("./folder").final_observations is None
    assert read_raw(locate("folder")).next_observations is None


def test_next_observations_that_do_not_follow_are_told() -> None:
    path = source("hopper.hdf5")
    with h5py.File(path, "r+") as file:
        file["next_observations"][[0, 6]] += 1
    data = load_dataset(path)
    assert "next_observations differ from the observation that follows in 2 steps" in data.source
    with h5py.File(path) as file:
        np.testing.assert_array_equal(data.final_observations, file["next_observations"][()][[3, 4, 7]])


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = source("hopper.hdf5")
    for target in FORMATS:
        written, _ = convert_dataset(path, target)
        before = written.stat().st_mtime_ns
        with pytest.raises(DataError, match=r"exists already.*--overwrite"):
            convert_dataset(path, target)
        assert written.stat().st_mtime_ns == before
        convert_dataset(path, target, overwrite=True)
        assert load_dataset(target).steps == 8
    Path("photos").mkdir()
    Path("photos/a.jpg").touch()
    with pytest.raises(DataError, match="something other than a Minari dataset"):
        convert_dataset(path, "./photos", overwrite=True)
    assert Path("photos/a.jpg").exists()
    convert_dataset(path, path, overwrite=True)
    assert load_dataset(path).steps == 8
    assert [found.name for found in tmp_path.rglob(".*")] == [], "no temporary file is left"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("data.csv", "ends in .csv, which is no known format"),
        ("https://host/data.hdf5", "is an address"),
        ("hopper.hdf5/below/x.npz", "cannot be written: Not a directory"),
    ],
)
def test_targets_that_are_none(target: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        convert_dataset(source("hopper.hdf5"), target)


def test_a_writer_that_fails_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = source("hopper.hdf5")
    convert_dataset(path, "x.npz")
    before = Path("x.npz").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(DataError, match=r"No space left on device\. Nothing was changed"):
        convert_dataset(path, "x.npz", overwrite=True)
    assert Path("x.npz").read_bytes() == before
    assert [found.name for found in tmp_path.rglob(".*")] == []


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut", b"no archive", b""])
def test_damaged_archives(content: bytes) -> None:
    Path("x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"damaged|empty"):
        load_dataset("x.npz")


def test_archives_with_objects_are_refused_and_run_nothing() -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (Path("planted"),)

    arrays: dict[str, Any] = dict(hopper_arrays())
    np.savez("x.npz", **arrays | {"rewards": np.array([Planted()] * 5, dtype=object)})
    with pytest.raises(DataError, match="not an archive of plain arrays"):
        load_dataset("x.npz")
    assert not Path("planted").exists()


def test_an_archive_of_ones_own_needs_five_arrays() -> None:
    np.savez("hopper-own.npz", **hopper_arrays())  # type: ignore[arg-type]
    data = load_dataset("hopper-own.npz")
    assert (data.steps, data.env.name if data.env else None) == (5, "hopper")
    np.savez("x.npz", observations=np.zeros((3, 2)))
    with pytest.raises(DataError, match="actions, rewards, terminals, timeouts missing"):
        load_dataset("x.npz")


def test_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    source("hopper.hdf5")
    main(["convert", "hopper.hdf5", "x.npz", "--algorithm", "SAC", "--no-unfinished-episode"])
    printed = capsys.readouterr().out
    assert "without the last 2 steps" in printed
    assert "written x.npz" in printed
    assert exactly("x.npz").about["algorithm"] == "SAC"
    assert exactly("x.npz").episodes == 3
    load_dataset("x.npz")
    main(["cache", "--json", "-"])
    rows = json.loads(capsys.readouterr().out)
    assert str(Path("x.npz").absolute()) in {row["source"] for row in rows}
    main(["cache"])
    assert f"{len(rows)} datasets kept" in capsys.readouterr().out
    main(["cache", "--clear", "all"])
    assert f"{len(rows)} datasets deleted" in capsys.readouterr().out
    main(["cache"])
    assert "0 datasets kept" in capsys.readouterr().out


def test_an_environment_that_was_registered_as_a_class_is_found_again() -> None:
    save_dataset(trajectories(), "./own-v0")
    environment = minari.MinariDataset("own-v0/data").recover_environment()
    assert environment.spec is not None
    assert (environment.spec.id, environment.spec.entry_point) == (LEDGER, "ledger:Ledger")
    assert environment.reset(seed=3)[0].tolist() == [0, 3]


def test_a_target_is_looked_at_before_anything_is_recorded(tmp_path: Path) -> None:
    for target in FORMATS:
        check_target(target)
    assert not list(tmp_path.iterdir())
    (tmp_path / "x.npz").touch()
    with pytest.raises(DataError, match="exists already"):
        check_target("x.npz")
    check_target("x.npz", overwrite=True)
    with pytest.raises(DataError, match="is an address"):
        check_target("https://host/x")
