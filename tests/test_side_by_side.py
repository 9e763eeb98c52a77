"""Ten trainings of one dataset at the same time share its cache, and each is the one that it is alone."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from runs_compared import assert_same_run, needs_forkserver, start
from tiny import train_config, write_hopper_file

from decision_minrnn.data import load_dataset
from decision_minrnn.learner import Learner, Step
from decision_minrnn.training import train

TOGETHER = 10

pytestmark = [needs_forkserver, pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")]


def settings(dataset: Path) -> dict[str, object]:
    return {"dataset": str(dataset), "updates": 60, "checkpoint_every": 20, "evaluate": False, "env": "hopper"}


def train_and_look(out: Path, dataset: Path) -> None:
    """In a process of its own: train, and note open files at some updates and what memory of the cache is its own."""
    open_files: list[int] = []
    learn = Learner.learn

    def spy(self: Learner) -> Step:
        if self.update in (25, 45, 50, 55):
            open_files.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 (a listing of descriptors, not of paths)
        return learn(self)

    Learner.learn = spy  # type: ignore[method-assign]
    data = load_dataset(dataset, env="hopper")
    train(train_config(out, **settings(dataset)), data)
    out.with_suffix(".json").write_text(json.dumps({"open_files": open_files, "own": own_kilobytes(".npy")}))


def own_kilobytes(suffix: str) -> dict[str, int]:
    """Memory that this process has written to, of the files that it maps, by name."""
    found, name = {}, ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            name = words[-1] if words[-1].endswith(suffix) else ""
        elif name and words[0] in ("Private_Dirty:", "Anonymous:"):
            found[Path(name).name] = found.get(Path(name).name, 0) + int(words[1])
    return found


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.npy")}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_trainings_share_one_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("DECISION_MINRNN_CACHE", str(cache))
    dataset = write_hopper_file(tmp_path / "hopper.hdf5", episodes=50)
    # none has read the dataset before: one of them unpacks it, the others wait for it
    processes = [start(in_cache, cache, tmp_path / f"run-{index}", dataset) for index in range(TOGETHER)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * TOGETHER
    after = digests(cache)
    assert after
    alone = train(train_config(tmp_path / "alone", **settings(dataset)), load_dataset(dataset, env="hopper")).folder
    assert digests(cache) == after
    for index in range(TOGETHER):
        assert_same_run(tmp_path / f"run-{index}", alone)
        seen = json.loads((tmp_path / f"run-{index}.json").read_text())
        first, *later = seen["open_files"]
        # TensorBoard's thread may have one open at the moment
        assert min(later) <= first, "files that are opened and not closed"
        assert {"observations.npy", "actions.npy"} <= seen["own"].keys(), "the dataset is not mapped"
        assert not any(seen["own"].values()), "the dataset is copied into the process's own memory"


def in_cache(cache: Path, out: Path, dataset: Path) -> None:
    os.environ["DECISION_MINRNN_CACHE"] = str(cache)
    train_and_look(out, dataset)
