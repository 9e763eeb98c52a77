"""The cache of memory-mapped datasets: what is read again, what is shared, and what stands in where it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pytest
from recordings import hopper_arrays, write_hdf5

from decision_minrnn.data import cache as cache_module
from decision_minrnn.data import d4rl, load_dataset
from decision_minrnn.data.base import Recording
from decision_minrnn.data.cache import cached_datasets, clear_cache, read_cached
from decision_minrnn.errors import DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("DECISION_MINRNN_CACHE", str(folder))
    return folder


def recording_file(path: Path, **settings: object) -> Path:
    write_hdf5(path, hopper_arrays(**settings), env_id="Hopper-v5")  # type: ignore[arg-type]
    return path


def assert_equal(one: Recording, other: Recording) -> None:
    for field in fields(Recording):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b, field.name


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths that the reader of HDF5 files was called for."""
    calls: list[Path] = []

    def read(path: Path, *arguments: object) -> Recording:
        calls.append(path)
        return d4rl.read_d4rl(path, *arguments)  # type: ignore[arg-type]

    format_ = cache_module.replace(d4rl.FORMAT, read=read)
    monkeypatch.setattr("decision_minrnn.data.formats.FORMATS", (format_,))
    return calls


def test_a_mapped_recording_equals_the_one_in_memory(tmp_path: Path) -> None:
    arrays = hopper_arrays((3, 2), tail=2)
    path = write_hdf5(tmp_path / "hopper.hdf5", arrays | {"next_observations": arrays["observations"] + 1}, "Hopper-v5")
    in_memory, first, second = d4rl.read_d4rl(path), *(read_cached(path, d4rl.FORMAT) for _ in range(2))
    assert_equal(in_memory, first)
    assert_equal(in_memory, second)
    assert isinstance(second.observations.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        second.observations[0] = 0


def test_a_source_is_read_once_until_its_content_changes(tmp_path: Path, counted: list[Path]) -> None:
    path = recording_file(tmp_path / "hopper.hdf5")
    assert [load_dataset(path).steps for _ in range(2)] == [5, 5]
    assert len(counted) == 1
    copy = tmp_path / "copied-hopper.hdf5"
    copy.write_bytes(path.read_bytes())
    assert load_dataset(copy, env="hopper").steps == 5
    assert len(counted) == 1, "the same content under another name is the same entry"
    stamp = path.stat()
    with h5py.File(path, "r+") as file:
        file["rewards"][0] = 7.0
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.stat().st_size == stamp.st_size
    assert load_dataset(path).rewards[0] == 7.0, "size and time of modification are as before, the content is not"
    assert len(counted) == 2


def test_the_digest_is_not_computed_again_for_a_file_that_has_not_changed(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recording_file(tmp_path / "hopper.hdf5")
    load_dataset(path)
    assert list((own_cache / "sources").glob("*")) == [], "a file written just now may change again unnoticed"
    monkeypatch.setattr(cache_module, "_GRAIN_NS", 0)
    load_dataset(path)
    assert len(list((own_cache / "sources").glob("*.json"))) == 1
    monkeypatch.setattr(cache_module, "BLOCK_BYTES", "none")  # reading the file for its digest would now fail
    assert load_dataset(path).steps == 5
    with pytest.raises(TypeError):
        load_dataset(recording_file(tmp_path / "other-hopper.hdf5", seed=1), env="hopper")


@pytest.mark.parametrize("damage", ["truncated", "half written", "not json"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, own_cache: Path, damage: str) -> None:
    path = recording_file(tmp_path / "hopper.hdf5")
    expected = np.array(load_dataset(path).observations)
    (folder,) = (entry.parent for entry in own_cache.glob("*/entry.json"))
    if damage == "truncated":
        (folder / "observations.npy").write_bytes((folder / "observations.npy").read_bytes()[:-4])
    elif damage == "half written":
        (folder / "entry.json").unlink()
    else:
        (folder / "entry.json").write_text("{")
    np.testing.assert_array_equal(load_dataset(path).observations, expected)
    assert json.loads((folder / "entry.json").read_text())["steps"] == 5


def test_a_source_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path, own_cache: Path) -> None:
    arrays = hopper_arrays()
    arrays["rewards"][1] = np.nan
    with pytest.raises(DataError, match="rewards holds NaN"):
        load_dataset(write_hdf5(tmp_path / "hopper.hdf5", arrays))
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []


def test_without_a_cache_everything_is_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recording_file(tmp_path / "hopper.hdf5")
    monkeypatch.setenv("DECISION_MINRNN_CACHE", "off")
    assert not isinstance(load_dataset(path).observations.base, np.memmap)
    assert cached_datasets() == []
    monkeypatch.setenv("DECISION_MINRNN_CACHE", str(path / "below-a-file"))
    data = load_dataset(path)
    assert data.steps == 5
    assert "read into memory, since the cache" in data.source
    assert "Not a directory" in data.source


def test_a_full_disk_is_noticed_before_anything_is_written(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    data = load_dataset(recording_file(tmp_path / "hopper.hdf5"))
    assert data.steps == 5
    assert "No space left on device" in data.source
    assert list(own_cache.glob("*/*.npy")) == []


def test_listing_and_clearing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_GRAIN_NS", 0)
    large = recording_file(tmp_path / "hopper.hdf5", lengths=(300, 200))
    small = recording_file(tmp_path / "hopper-small.hdf5")
    data = load_dataset(large)
    load_dataset(small)
    assert [(entry.entry.steps, entry.current) for entry in cached_datasets()] == [(500, True), (5, True)]
    small.unlink()
    assert [entry.current for entry in cached_datasets()] == [True, False]
    assert [entry.entry.source for entry in clear_cache(stale_only=True)] == [str(small)]
    assert [entry.entry.steps for entry in clear_cache()] == [500]
    assert cached_datasets() == []
    assert np.isfinite(data.observations).all(), "an open entry can still be read"


READ = """
import sys, time
from pathlib import Path
import numpy as np
from decision_minrnn.data import load_dataset

data = load_dataset(sys.argv[1])
print(data.steps, float(np.sum(data.observations, dtype=np.float64)), flush=True)
sys.stdin.readline()
pages = {}
for block in Path("/proc/self/smaps").read_text().split("VmFlags"):
    if "observations.npy" in block:
        for line in block.splitlines():
            words = line.split()
            if words and words[0] in ("Rss:", "Pss:"):
                pages[words[0]] = pages.get(words[0], 0) + int(words[1])
print(pages.get("Rss:", 0), pages.get("Pss:", 0), flush=True)
"""


def test_processes_that_start_together_read_once_and_share_pages(tmp_path: Path, own_cache: Path) -> None:
    path = recording_file(tmp_path / "hopper.hdf5", lengths=(20_000, 20_000))
    command = [sys.executable, "-c", READ, str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sums = [process.stdout.readline() for process in processes]  # type: ignore[union-attr]
    assert len(set(sums)) == 1
    assert sums[0].startswith("40000 ")
    answers = [process.communicate("\n")[0] for process in processes[:1]]
    resident, proportional = map(int, answers[0].split())
    for process in processes[1:]:
        process.communicate("\n")
    assert len(list(own_cache.glob("*/entry.json"))) == 1
    assert list(own_cache.glob(".*.building")) == []
    if Path("/proc/self/smaps").exists():
        assert resident > 40_000 * 11 * 4 / 1024 * 0.9
        assert proportional <= resident / 2.9, "three processes have the same pages"


def test_a_killed_process_leaves_no_entry_that_is_half_written(tmp_path: Path, own_cache: Path) -> None:
    path = recording_file(tmp_path / "hopper.hdf5", lengths=(400_000,))
    for delay in (0.0, 0.01, 0.05):
        process = subprocess.Popen([sys.executable, "-c", READ, str(path)], stdout=subprocess.DEVNULL)
        while process.poll() is None and not list(own_cache.glob(".*.building")):
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        process.wait()
    data = load_dataset(path)
    np.testing.assert_array_equal(data.observations, d4rl.read_d4rl(path).observations)
    assert list(own_cache.glob(".*.building")) == []
