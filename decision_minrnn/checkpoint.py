"""Checkpoints: weights and everything else that training goes on from, written whole or not at all.

    RUN/checkpoints/update-0003000/
        model.safetensors      weights and observation statistics, with the model's configuration in the header
        training.safetensors   optimiser moments and generator states
        checkpoint.json        format, update, versions, the sampler's state, a digest of each file

A checkpoint is written into a folder of another name, flushed to disk and renamed, so that a folder of this name is
complete. Nothing in it is a pickle: loading executes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from decision_minrnn.config import ModelConfig
from decision_minrnn.errors import CheckpointError
from decision_minrnn.files import flush_names, read_json
from decision_minrnn.model import DecisionModel
from decision_minrnn.records import record_from_dict
from decision_minrnn.versions import versions

FORMAT = 1
MODEL_FILE = "model.safetensors"
TRAINING_FILE = "training.safetensors"
_PREFIX = "update-"

Config = TypeVar("Config")
Model = TypeVar("Model", bound=nn.Module)


class Configured(Protocol):
    """A module that a dataclass determines but for its weights."""

    config: Any

    def state_dict(self) -> dict[str, Any]:
        """Its weights by name."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose files are not what was written."""

    def __init__(self, fault: str, checkpoint: Path) -> None:
        place = checkpoint.absolute()
        folders = checkpoint_folders(place.parents[1])
        before = folders[: folders.index(place)] if place in folders else []
        on = f"go on from {before[-1].name}" if before else "train from the beginning"
        super().__init__(f"{fault} Remove {checkpoint} to {on}.")
        self.fault = fault


@dataclass(frozen=True)
class TrainingState:
    """What training needs beside the model to go on as if it had never stopped."""

    update: int
    """Updates done."""
    tensors: Mapping[str, Tensor]
    """Optimiser moments and generator states."""
    sampler: dict[str, Any]
    """State of the sampler's generator, as plain data."""


def checkpoint_folders(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = [path for path in (run / "checkpoints").glob(f"{_PREFIX}*") if path.name[len(_PREFIX) :].isdecimal()]
    return sorted(found, key=update_of)


def update_of(checkpoint: Path) -> int:
    """The updates after which a checkpoint was written, from its folder's name."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def latest_checkpoint(run: Path) -> Path:
    """The newest complete checkpoint of a run, or a `CheckpointError` that says what is missing."""
    if not run.is_dir():
        raise CheckpointError(f"there is no run folder {run}; expected the folder that `decision-minrnn train` wrote.")
    folders = checkpoint_folders(run)
    if not folders:
        raise CheckpointError(f"{run} holds no checkpoint: {run / 'checkpoints'} has no folder {_PREFIX}NNNNNNN.")
    return folders[-1]


def whole_checkpoint(run: Path, tell: Callable[[str], None] = lambda message: None) -> Path | None:
    """The newest checkpoint of a run whose files are what was written; None where there never was one.

    Newer ones that are damaged are renamed, so that training can write them anew, and `tell` is called with a message
    for each. Raises `CheckpointError` if all are damaged, which then keep their names, or if the newest cannot be read
    or is of another version.
    """
    folders = checkpoint_folders(run)
    damaged: list[tuple[Path, str]] = []
    for folder in reversed(folders):
        try:
            _verify(folder)
        except DamagedCheckpointError as error:
            damaged.append((folder, error.fault))
            continue
        for other, fault in damaged:
            aside = other.with_name(f"{other.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            other.rename(aside)
            tell(f"{fault} It is now called {aside.name}; going on from {folder.name}.")
        return folder
    if damaged:
        raise CheckpointError(f"no checkpoint of {run} is whole. {damaged[0][1]} Train anew.")
    return None


def save_checkpoint(
    run: Path, model: Configured, state: TrainingState, keep: int, continuation: str = "", keep_every: int = 0
) -> Path:
    """Write a checkpoint and remove those that are not to be kept.

    Args:
        run: the run folder.
        model: the weights, and what they are the weights of.
        state: all else that training goes on from.
        keep: how many of the newest stay.
        continuation: the command that goes on from it.
        keep_every: those after a multiple of so many updates stay too; 0: none.

    Raises:
        CheckpointError: it cannot be written whole (a full disk, say); those before it then stay as they were.
    """
    folder = run / "checkpoints" / f"{_PREFIX}{state.update:07d}"
    files = {
        MODEL_FILE: model_content(model),
        TRAINING_FILE: safetensors.torch.save(_on_cpu(state.tensors)),
    }
    about = {
        "format": FORMAT,
        "update": state.update,
        "versions": versions(),
        "sampler": state.sampler,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    files["checkpoint.json"] = json.dumps(about, indent=2).encode()
    partial = _hidden(folder)
    try:
        for left in folder.parent.glob(_hidden(folder.with_name("*")).name):
            shutil.rmtree(left)
        partial.mkdir(parents=True)
        for name, content in files.items():
            with (partial / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        flush_names(partial)
        _remove(folder)
        partial.rename(folder)
        for above in (folder.parent, run):
            flush_names(above)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        before = checkpoint_folders(run)
        left_intact = f"The last one, {before[-1]}, is intact." if before else "There is none before it."
        raise CheckpointError(
            f"cannot write the checkpoint {folder}: {error.strerror or error}. {left_intact} "
            f"When there is room for it, continue with: {continuation or f'decision-minrnn train --resume {run}'}"
        ) from error
    for old in checkpoint_folders(run)[:-keep]:
        if not keep_every or update_of(old) % keep_every:
            with suppress(OSError):
                _remove(old)
    return folder


def load_model(checkpoint: Path) -> DecisionModel:
    """The policy's model of one checkpoint. Raises as `load_configured`."""
    return load_configured(checkpoint, ModelConfig, DecisionModel)


def load_configured(checkpoint: Path, config_type: type[Config], build: Callable[[Config], Model]) -> Model:
    """The model of one checkpoint, on the CPU: built from its configuration, which is of `config_type`.

    Raises `CheckpointError` if a file is missing, damaged or of another version.
    """
    about = _read_about(checkpoint)
    return read_model(_verified(checkpoint, MODEL_FILE, about), config_type, build)


def model_content(model: Configured) -> bytes:
    """A model as the content of a safetensors file: weights, and its configuration in the header."""
    return safetensors.torch.save(_on_cpu(model.state_dict()), {"model": json.dumps(asdict(model.config))})


def read_model(path: Path, config_type: type[Config], build: Callable[[Config], Model]) -> Model:
    """The model of one such file. Raises `CheckpointError` if it holds none that this version knows."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            config = record_from_dict(json.loads((file.metadata() or {})["model"]), config_type, str(path))
            _check_shapes(build, config, {name: file.get_slice(name).get_shape() for name in sorted(file.keys())})
        with torch.random.fork_rng([]):
            # whose initial weights are random: loading draws nothing from the caller's generator
            model = build(config)
        model.load_state_dict(safetensors.torch.load_file(path))
    except Exception as error:  # whatever a configuration that is not this project's makes of the layers
        raise CheckpointError(f"{path} does not hold a model of this version: {error}") from error
    return model.eval()


def load_training_state(checkpoint: Path) -> TrainingState:
    """What training goes on from. Raises as `load_model`."""
    about = _read_about(checkpoint)
    path = _verified(checkpoint, TRAINING_FILE, about)
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise DamagedCheckpointError(f"{path} does not hold a training state: {error}.", checkpoint) from error
    return TrainingState(about["update"], tensors, about["sampler"])


def _check_shapes(build: Callable[[Config], nn.Module], config: Config, stored: Mapping[str, list[int]]) -> None:
    """Raise `ValueError` for a model that would take other memory than its weights do, before it takes any."""
    if getattr(config, "layers", 0) > len(stored):
        raise ValueError(f"its configuration asks for more layers than there are tensors, {len(stored)}.")
    try:
        with torch.device("meta"):
            expected = {name: list(tensor.shape) for name, tensor in build(config).state_dict().items()}
    except RuntimeError as error:
        if "meta" in str(error):  # a layer of the user's own that looks at values when it is built
            return
        raise
    for name in sorted(expected.keys() | stored.keys()):
        if expected.get(name) != stored.get(name):
            raise ValueError(f"{name} has the shape {stored.get(name)}, where {expected.get(name)} is expected.")


def _hidden(folder: Path) -> Path:
    """The name of a checkpoint that is not complete: not yet, or no longer."""
    return folder.with_name(f".{folder.name}.partial")


def _remove(folder: Path) -> None:
    """Remove a checkpoint so that a crash on the way leaves none of its name."""
    if folder.exists():
        removed = _hidden(folder.with_name(f"{folder.name}.old"))
        folder.rename(removed)
        shutil.rmtree(removed)


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _verify(checkpoint: Path) -> None:
    """Raise unless every file of a checkpoint is what was written."""
    about = _read_about(checkpoint)
    for name in (MODEL_FILE, TRAINING_FILE):
        _verified(checkpoint, name, about)


def _read_about(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / "checkpoint.json"
    try:
        about = read_json(path)
    except FileNotFoundError as error:
        raise DamagedCheckpointError(f"{checkpoint} is damaged: it has no checkpoint.json.", checkpoint) from error
    except PermissionError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}.") from error
    except (OSError, ValueError) as error:
        raise DamagedCheckpointError(f"{path} is damaged: {error}.", checkpoint) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        written = about.get("format") if isinstance(about, dict) else None
        raise CheckpointError(f"{path} is of format {written}, and this version reads format {FORMAT}.")
    kinds = (("update", int), ("sampler", dict), ("sha256", dict))
    if not all(isinstance(about.get(key), kind) for key, kind in kinds):
        raise DamagedCheckpointError(f"{path} is damaged: it lacks update, sampler or sha256.", checkpoint)
    return about


def _verified(checkpoint: Path, name: str, about: dict[str, Any]) -> Path:
    path = checkpoint / name
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except PermissionError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}.") from error
    except OSError as error:
        raise DamagedCheckpointError(f"cannot read {path}: {error.strerror}.", checkpoint) from error
    if digest != about["sha256"].get(name):
        raise DamagedCheckpointError(f"{path} is damaged: its content is not what was written.", checkpoint)
    return path
