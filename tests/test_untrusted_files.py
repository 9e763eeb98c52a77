"""Files of strangers: nothing in them is executed, none is believed what it cannot hold, and nothing else is raised."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import fuzzing
import h5py
import numpy as np
import pytest
import torch
from mutations import Trap, mutate, seal
from tiny import write_hopper_file

from decision_minrnn.data import load_dataset
from decision_minrnn.data.d4rl import read_d4rl
from decision_minrnn.data.npz import read_raw_npz
from decision_minrnn.errors import CheckpointError, DataError, DecisionMinRNNError


def saved_by(write: Callable[[io.BytesIO, object], object]) -> Callable[[object], bytes]:
    def content(trap: object) -> bytes:
        written = io.BytesIO()
        write(written, trap)
        return written.getvalue()

    return content


def objects(trap: object) -> np.ndarray:
    held = np.empty(1, object)
    held[0] = trap
    return held


ARRAYS = ("observations", "actions", "rewards", "terminals", "timeouts", "n_hidden", "w0", "b0")

PAYLOADS: dict[str, Callable[[object], bytes]] = {
    "pickle": pickle.dumps,
    "torch": saved_by(lambda file, trap: torch.save({"weights": trap}, file)),
    "npy": saved_by(lambda file, trap: np.save(file, objects(trap), allow_pickle=True)),
    "npz": saved_by(lambda file, trap: np.savez(file, **dict.fromkeys(ARRAYS, objects(trap)))),
}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("name", fuzzing.TARGETS)
def test_a_planted_payload_is_not_run(tmp_path: Path, name: str, payload: str) -> None:
    target, sprung = fuzzing.TARGETS[name], tmp_path / "sprung"
    content = PAYLOADS[payload](Trap(sprung))
    sound = tmp_path / "sound"
    sound.mkdir()
    target.make(sound)
    for path in [path for path in sound.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        path.write_bytes(content)
        for about in sound.rglob("checkpoint.json"):
            seal(about)
        with suppress(DecisionMinRNNError):
            target.load(sound)
        assert not sprung.exists(), f"{path} was executed"
        path.write_bytes(whole)


def test_the_payloads_do_run_where_they_are_unpickled(tmp_path: Path) -> None:
    readers: dict[str, Callable[[io.BytesIO], object]] = {
        "pickle": pickle.load,
        "torch": lambda file: torch.load(file, weights_only=False),
        "npy": lambda file: np.load(file, allow_pickle=True),
        "npz": lambda file: np.load(file, allow_pickle=True)["observations"],
    }
    for name, read in readers.items():
        read(io.BytesIO(PAYLOADS[name](Trap(tmp_path / name))))
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("name", fuzzing.TARGETS)
def test_damaged_files_raise_the_projects_errors_alone(tmp_path: Path, name: str) -> None:
    """A few inputs; `python tests/fuzzing.py --seconds 600` tries many."""
    count, failures = fuzzing.fuzz(name, tmp_path, seed=3, seconds=60, most=25, keep=None)
    assert count == 25
    assert failures == []


@pytest.mark.parametrize("kind", ["opaque", "text", "lists"])
def test_objects_in_hdf5_are_refused(tmp_path: Path, kind: str) -> None:
    path, sprung = write_hopper_file(tmp_path / "a.hdf5"), tmp_path / "sprung"
    pickled = pickle.dumps(Trap(sprung))
    types = {"opaque": f"V{len(pickled)}", "text": h5py.string_dtype(), "lists": h5py.vlen_dtype(np.uint8)}
    with h5py.File(path, "a") as file:
        del file["observations"]
        stored = file.create_dataset("observations", (60, 11), types[kind])
        stored[0, 0] = {"opaque": np.void(pickled), "text": "x", "lists": np.frombuffer(pickled, np.uint8)}[kind]
    with pytest.raises(DataError, match="observations should hold numbers"):
        read_d4rl(path)
    assert not sprung.exists()


@pytest.mark.parametrize("chunks", [True, (1, 11)])
def test_rows_that_are_claimed_and_not_stored_are_refused(tmp_path: Path, chunks: object) -> None:
    path = write_hopper_file(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        del file["observations"]
        file.create_dataset("observations", (10**11, 11), np.float32, chunks=chunks, maxshape=(None, 11))
    with pytest.raises(DataError, match=r"observations claims 4,400,000,000,000 bytes, more than .* bytes can hold"):
        load_dataset(path)


def test_a_chunk_that_no_file_holds_is_refused(tmp_path: Path) -> None:
    path = write_hopper_file(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        file.create_dataset("infos/qpos", (60, 3), np.float32, chunks=(10**8, 3), maxshape=(None, 3))
    with pytest.raises(DataError, match=r"infos/qpos claims 1,200,000,000 bytes"):
        load_dataset(path)


@pytest.mark.parametrize("way", ["external link", "virtual", "external storage"])
def test_numbers_of_another_file_are_refused(tmp_path: Path, way: str) -> None:
    other = write_hopper_file(tmp_path / "other.hdf5")
    path = write_hopper_file(tmp_path / "a.hdf5")
    (tmp_path / "secret").write_bytes(bytes(60 * 11 * 4))
    with h5py.File(path, "a") as file:
        del file["observations"]
        if way == "external link":
            file["observations"] = h5py.ExternalLink(str(other), "observations")
        elif way == "virtual":
            layout = h5py.VirtualLayout((60, 11), np.float32)
            layout[:] = h5py.VirtualSource(str(other), "observations", (60, 11))
            file.create_virtual_dataset("observations", layout)
        else:
            secret = [(str(tmp_path / "secret"), 0, 60 * 11 * 4)]
            file.create_dataset("observations", (60, 11), np.float32, external=secret)
    with pytest.raises(DataError, match="observations lies in another file"):
        load_dataset(path)


def test_an_archive_whose_header_claims_a_terabyte_is_refused(tmp_path: Path) -> None:
    header = repr({"descr": "<f8", "fortran_order": False, "shape": (10**9, 1000)}).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("observations.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(80))
    with pytest.raises(DataError, match="is damaged, or not an archive"):
        load_dataset(tmp_path / "a.npz")


def test_end_marks_of_another_shape_are_a_fault_of_the_layout(tmp_path: Path) -> None:
    arrays = {name: np.zeros((7, 1), np.float32) for name in ("observations", "actions")}
    np.savez(tmp_path / "a.npz", **arrays, rewards=np.zeros(7), terminals=np.zeros(7, bool), timeouts=np.zeros((7, 0)))
    fault = read_raw_npz(tmp_path / "a.npz").fault
    assert fault is not None
    assert "timeouts should have the shape" in fault.message


def test_minari_metadata_that_claim_a_terabyte_are_refused(tmp_path: Path) -> None:
    target = fuzzing.TARGETS["minari"]
    target.make(tmp_path)
    path = tmp_path / "data" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"total_steps": 10**10}))
    with pytest.raises(DataError, match="the metadata claims 40,000,000,000 bytes"):
        target.load(tmp_path)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"width": 10**7}, r"has the shape .*, where .*10000000.* is expected"),
        ({"layers": 10**9}, "more layers than there are tensors"),
        ({"encoder_options": {"expansion": 1e6}}, "has the shape .*, where"),
    ],
)
def test_a_model_that_is_larger_than_its_weights_is_not_built(tmp_path: Path, claim: dict, message: str) -> None:
    target = fuzzing.TARGETS["model"]
    target.make(tmp_path)
    path = fuzzing.checkpoint(tmp_path) / "model.safetensors"
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["model"] = json.dumps(json.loads(header["__metadata__"]["model"]) | claim)
    written = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(written)) + written + content[8 + length :])
    seal(path.with_name("checkpoint.json"))
    with pytest.raises(CheckpointError, match=message):
        target.load(tmp_path)


def test_a_header_that_claims_a_terabyte_is_refused(tmp_path: Path) -> None:
    target = fuzzing.TARGETS["model"]
    target.make(tmp_path)
    path = fuzzing.checkpoint(tmp_path) / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 2**40) + path.read_bytes()[8:])
    seal(path.with_name("checkpoint.json"))
    with pytest.raises(CheckpointError, match="does not hold a model"):
        target.load(tmp_path)


def test_mutations_change_files(tmp_path: Path) -> None:
    target = fuzzing.TARGETS["run"]
    target.make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    mutate(tmp_path, random.Random(0))
    assert {path: path.read_bytes() for path in before} != before
