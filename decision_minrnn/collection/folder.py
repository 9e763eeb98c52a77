"""The folder of a training of SAC, which more than one dataset can be made from.

    FOLDER/config.json                      what the training depends on
    FOLDER/metrics.jsonl, events.out.*      each evaluation, also for TensorBoard
    FOLDER/actors/0005000.npz               the actor at each evaluation
    FOLDER/transitions/0000000-0005000.npz  every step that was taken
    FOLDER/state.pt                         what training goes on from: written last, and read without unpickling

What is there of later steps than `state.pt` knows of was written right before a crash; a training that goes on drops
it and writes it again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch

from decision_minrnn.collection.actor import GaussianActor, load_actor
from decision_minrnn.collection.config import SACSettings
from decision_minrnn.collection.replay import Transitions
from decision_minrnn.errors import CheckpointError, ConfigError
from decision_minrnn.files import write_bytes_atomically, write_json
from decision_minrnn.records import record_from_dict
from decision_minrnn.tracking import read_metrics
from decision_minrnn.versions import versions

FORMAT = 1


class Evaluated(NamedTuple):
    """What the actor returned after so many steps."""

    step: int
    return_mean: float


class SACFolder:
    """Reads and writes the folder of one training."""

    def __init__(self, path: Path, settings: SACSettings) -> None:
        """Creates nothing. Raises `ConfigError` for a folder that holds something else, or other settings."""
        self.path, self.settings = path, settings
        if (path / "config.json").exists():
            self._compare()
        elif path.exists() and (not path.is_dir() or any(path.glob("[!.]*"))):
            raise ConfigError(f"{path} exists and holds no training of SAC. Choose another folder with --work.")

    def create(self) -> None:
        """Make the folder and write `config.json`, unless they are there."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "config.json").exists():
            about = versions("stable-baselines3")
            write_json(
                self.path / "config.json", {"format": FORMAT, "settings": asdict(self.settings), "versions": about}
            )
        for name in ("actors", "transitions"):
            (self.path / name).mkdir(exist_ok=True)

    def evaluations(self, steps: int) -> list[Evaluated]:
        """Those within the first `steps` steps, in their order."""
        rows = [row for row in read_metrics(self.path) if row.get("eval/return") is not None]
        return [Evaluated(row["update"], row["eval/return"]) for row in rows if row["update"] <= steps]

    def actor(self, step: int) -> GaussianActor:
        """The actor that was evaluated after `step` steps."""
        return load_actor(self._actor(step))

    def save_actor(self, step: int, actor: GaussianActor) -> None:
        """Keep the actor of an evaluation."""
        actor.save(self._actor(step))

    def transitions(self, steps: int) -> Transitions:
        """The first `steps` steps, which are those up to an evaluation or up to the state.

        Raises `CheckpointError` where they are not all there.
        """
        parts, end = [], 0
        for start, stop, path in self._parts():
            if start == end and stop <= steps:
                parts.append(_read_transitions(path))
                end = stop
        if end != steps:
            raise CheckpointError(f"{self.path / 'transitions'} lacks the steps {end:,} to {steps:,}. {self._remedy()}")
        return Transitions._make(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def save_transitions(self, start: int, transitions: Transitions) -> None:
        """Keep the steps from number `start` on."""
        if count := len(transitions.rewards):
            content = io.BytesIO()
            np.savez(content, **transitions._asdict())
            name = f"{start:07d}-{start + count:07d}.npz"
            write_bytes_atomically(self.path / "transitions" / name, content.getvalue())

    def replace_last_transitions(self, transitions: Transitions) -> None:
        """Write the last part anew; `transitions` are all steps."""
        start, _, _ = list(self._parts())[-1]
        self.save_transitions(start, Transitions._make(rows[start:] for rows in transitions))

    def state(self) -> dict[str, Any] | None:
        """What training goes on from; None before it was saved for the first time.

        Raises `CheckpointError` for a damaged file.
        """
        path = self.path / "state.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise CheckpointError(f"{path} is damaged: {error}. {self._remedy()}") from error
        return state

    def save_state(self, state: dict[str, Any]) -> None:
        """Keep what training goes on from."""
        content = io.BytesIO()
        torch.save(state, content)
        write_bytes_atomically(self.path / "state.pt", content.getvalue())

    def drop_after(self, step: int) -> None:
        """Remove actors and transitions of later steps, and what a crash left half written.

        `Tracker` does the same to the metrics.
        """
        for path in self.path.rglob(".*.tmp"):
            path.unlink()
        for path in (self.path / "actors").glob("*.npz"):
            if int(path.stem) > step:
                path.unlink()
        for _, stop, path in self._parts():
            if stop > step:
                path.unlink()

    def does_not_fit(self, error: Exception) -> CheckpointError:
        """The error for a state that cannot be gone on from."""
        return CheckpointError(f"{self.path / 'state.pt'} does not fit this version: {error}. {self._remedy()}")

    def _compare(self) -> None:
        path = self.path / "config.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise CheckpointError(f"{path} is not of format {FORMAT}, which this version reads. {self._remedy()}")
            stored = record_from_dict(content["settings"], SACSettings, str(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged: {error}. {self._remedy()}") from error
        before, now = asdict(stored), asdict(self.settings)
        if other := [f"{name} {before[name]} (now {now[name]})" for name in now if before[name] != now[name]]:
            raise ConfigError(
                f"{self.path} holds a training with other settings: {', '.join(other)}. "
                "Give those, or choose another folder with --work."
            )

    def _actor(self, step: int) -> Path:
        return self.path / "actors" / f"{step:07d}.npz"

    def _parts(self) -> Iterator[tuple[int, int, Path]]:
        """First step, end and file of each part, by its first step."""
        for path in sorted((self.path / "transitions").glob("*-*.npz")):
            start, _, stop = path.stem.partition("-")
            yield int(start), int(stop), path

    def _remedy(self) -> str:
        return f"Remove {self.path} to train from the beginning."


def _read_transitions(path: Path) -> Transitions:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Transitions(**{name: arrays[name] for name in Transitions._fields})
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged: {error}. Remove {path.parents[1]} to train anew.") from error
