"""Checkpoints: the same to the bit after loading, refused when damaged, and never half-written."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from mutations import Trap
from tiny import random_model

from decision_minrnn.checkpoint import (
    TrainingState,
    checkpoint_folders,
    latest_checkpoint,
    load_model,
    load_training_state,
    save_checkpoint,
)
from decision_minrnn.errors import CheckpointError


def state(update: int) -> TrainingState:
    tensors = {
        "optimizer/head.weight/exp_avg": torch.full((3, 2), 1 / 3),
        "optimizer/head.weight/step": torch.tensor(float(update)),
        "generator/cpu": torch.get_rng_state(),
    }
    return TrainingState(update, tensors, {"bit_generator": "PCG64", "state": {"state": 2**127 + 1, "inc": 3}})


def save(run: Path, update: int, keep: int = 9) -> Path:
    return save_checkpoint(run, random_model(seed=update), state(update), keep)


@pytest.mark.parametrize("encoder", ["mingru", "minlstm"])
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, encoder: str) -> None:
    model = random_model(encoder=encoder, tokens="interleaved", encoder_options={"convolution": 4})
    model.observation_mean.copy_(torch.tensor([0.1, -7.0]))
    folder = save_checkpoint(tmp_path, model, state(5), keep=1)
    assert folder == latest_checkpoint(tmp_path) == tmp_path / "checkpoints" / "update-0000005"
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.json",
        "model.safetensors",
        "training.safetensors",
    ]
    drawn = torch.get_rng_state()
    loaded = load_model(folder)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert loaded.config == model.config
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    restored = load_training_state(folder)
    assert (restored.update, restored.sampler) == (5, state(5).sampler)
    for name, tensor in state(5).tensors.items():
        assert torch.equal(restored.tensors[name], tensor)


def test_a_model_from_before_there_were_choices_is_loaded(tmp_path: Path) -> None:
    folder = save(tmp_path, 1)
    path = folder / "model.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["model"])
    del config["discrete"]
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, {"model": json.dumps(config)})
    about = json.loads((folder / "checkpoint.json").read_text())
    about["sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "checkpoint.json").write_text(json.dumps(about))
    assert load_model(folder).config == random_model().config


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for update in (1, 2, 10, 9_999_999, 10_000_000):
        save(tmp_path, update, keep=3)
    names = [path.name for path in checkpoint_folders(tmp_path)]
    assert names == ["update-0000010", "update-9999999", "update-10000000"]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == sorted(names)


def test_what_a_crash_left_is_ignored_and_cleared_away(tmp_path: Path) -> None:
    folder = save(tmp_path, 1)
    left = folder.with_name(".update-0000002.partial")
    shutil.copytree(folder, left)
    (left / "checkpoint.json").unlink()
    assert latest_checkpoint(tmp_path) == folder
    save(tmp_path, 3)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["update-0000001", "update-0000003"]


def rewrite(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights cut short": (lambda f: os.truncate(f / "model.safetensors", 100), "its content is not what was written"),
    "a bit of the weights": (lambda f: flip(f / "model.safetensors", -1), "its content is not what was written"),
    "a bit of the header": (lambda f: flip(f / "model.safetensors", 20), "its content is not what was written"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "cannot read .*No such file"),
    "no description": (lambda f: (f / "checkpoint.json").unlink(), "it has no checkpoint.json"),
    "not JSON": (lambda f: (f / "checkpoint.json").write_text("{"), "checkpoint.json is damaged"),
    "not text": (lambda f: (f / "checkpoint.json").write_bytes(b"\xff\xfe"), "checkpoint.json is damaged"),
    "JSON of another kind": (lambda f: (f / "checkpoint.json").write_text("[]"), "is of format None"),
    "another format": (
        lambda f: rewrite(f / "checkpoint.json", lambda about: about.update(format=99)),
        "is of format 99, and this version reads format 1",
    ),
    "no digests": (lambda f: rewrite(f / "checkpoint.json", lambda about: about.pop("sha256")), "it lacks"),
    "nothing in it": (lambda f: [path.unlink() for path in f.iterdir()], "it has no checkpoint.json"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    do, message = DAMAGES[damage]
    do(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(folder)
    assert "update-0000002" in str(caught.value)
    if "format" not in message:
        assert f"Remove {folder} to go on from update-0000001." in str(caught.value)


def test_a_damaged_training_state_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, 1)
    flip(folder / "training.safetensors", -1)
    load_model(folder)
    with pytest.raises(CheckpointError, match=r"training.safetensors is damaged.*to train from the beginning"):
        load_training_state(folder)


def test_a_model_of_other_shapes_is_refused(tmp_path: Path) -> None:
    import hashlib

    import safetensors.torch

    folder = save(tmp_path, 1)
    path = folder / "model.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(path)
    tensors["head.weight"] = torch.zeros(5, 5)
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite(folder / "checkpoint.json", lambda about: about["sha256"].update({path.name: digest}))
    with pytest.raises(CheckpointError, match=r"(?s)does not hold a model of this version.*head\.weight"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
@pytest.mark.parametrize("honest_digest", [False, True])
def test_a_planted_pickle_is_refused_and_nothing_runs(tmp_path: Path, name: str, honest_digest: bool) -> None:
    import hashlib

    folder, sprung = save(tmp_path, 1), tmp_path / "sprung"
    content = pickle.dumps(Trap(sprung))
    pickle.loads(content)
    assert sprung.exists()
    sprung.unlink()
    (folder / name).write_bytes(content)
    if honest_digest:
        digest = hashlib.sha256(content).hexdigest()
        rewrite(folder / "checkpoint.json", lambda about: about["sha256"].update({name: digest}))
    with pytest.raises(CheckpointError):
        (load_model if name.startswith("model") else load_training_state)(folder)
    assert not sprung.exists()


def test_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no run folder .*nowhere"):
        latest_checkpoint(tmp_path / "nowhere")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        latest_checkpoint(tmp_path)


SAVE_UPDATE_2 = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
{limit}
from test_checkpoint import save
try:
    save(Path({run!r}), 2)
except Exception as error:
    print(type(error).__name__, error)
"""


def save_in_another_process(run: Path, limit: str = "") -> str:
    code = SAVE_UPDATE_2.format(tests=str(Path(__file__).parent), run=str(run), limit=limit)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def assert_only_update_1_is_there(run: Path, error: str, reason: str) -> None:
    assert error.startswith("CheckpointError cannot write the checkpoint")
    assert reason in error
    assert "update-0000001, is intact" in error
    assert "--resume" in error
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["update-0000001"]
    load_model(latest_checkpoint(run))


def test_a_file_that_may_not_grow_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    save(tmp_path, 1)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    assert_only_update_1_is_there(tmp_path, save_in_another_process(tmp_path, limit), "File too large")


def test_a_full_disk_leaves_the_last_checkpoint(small_disk: Path) -> None:
    save(small_disk, 1)
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "other").write_bytes(bytes(free - 8192))
    with pytest.raises(CheckpointError) as caught:
        save(small_disk, 2)
    assert_only_update_1_is_there(small_disk, f"CheckpointError {caught.value}", "No space left on device")
    (small_disk / "other").unlink()
    load_model(save(small_disk, 2))


def test_a_name_that_is_taken_is_written_anew(tmp_path: Path) -> None:
    folder = save(tmp_path, 1)
    (folder / "model.safetensors").unlink()
    save(tmp_path, 1)
    load_model(folder)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
