"""What a reader returns, and what a file format is.

Readers know files; they know nothing of cards. `resolve.load_dataset` joins a recording with its environment card.
Where the arrays go, and with which precision, is for the caller to say (`Allocate`): memory, or files (`cache`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from decision_minrnn.cards import Reference
from decision_minrnn.data.raw import RawRecording

AnyRecording = TypeVar("AnyRecording", bound="Recording")

BLOCK_BYTES = 2**24
"""Arrays larger than memory are read, written and summed in blocks of about this size."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """Recorded episodes: N steps in E episodes, T rows in an episode of T actions.

    An episode that is neither terminated nor truncated is unfinished: the recording ends in its middle.
    """

    observations: Float32[ndarray, "steps observation"]
    actions: Float32[ndarray, "steps action"]
    """Vectors; or, where there are `choices`, the index of the one taken, [N, 1]."""
    rewards: Float32[ndarray, " steps"]
    offsets: Int64[ndarray, " episodes+1"]
    """First step of each episode, then N."""
    terminated: Bool[ndarray, " episodes"]
    """The environment ended the episode."""
    truncated: Bool[ndarray, " episodes"]
    """A time limit or the end of the recording cut the episode."""
    final_observations: Float32[ndarray, "episodes observation"] | None = None
    """What the last action of each episode led to; None where that was not recorded."""
    infos: Mapping[str, ndarray] = field(default_factory=dict)
    """Further arrays of one row a step, such as the simulator's `qpos` and `qvel`, where they were asked for."""
    choices: int | None = None
    """How many actions there are to choose from; None where actions are vectors."""
    action_low: Float32[ndarray, " action"] | None = None
    """None where the format does not store action bounds."""
    action_high: Float32[ndarray, " action"] | None = None
    env_id: str | None = None
    """gymnasium id, where the format stores one."""
    references: Mapping[str, Reference] = field(default_factory=dict)
    """Score references stored beside the data, by name."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What is said of the recording, in words: `algorithm`, `description`."""
    notes: tuple[str, ...] = ()
    """What the user should know of how it was read."""

    @property
    def steps(self) -> int:
        """N."""
        return len(self.rewards)

    @property
    def episodes(self) -> int:
        """E."""
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Int64[ndarray, " episodes"]:
        """Steps of each episode."""
        return np.diff(self.offsets)

    @property
    def indices(self) -> Int64[ndarray, " steps"]:
        """The choices taken, as whole numbers; for recordings that have `choices`."""
        return self.actions[:, 0] if self.actions.dtype.kind in "iu" else self.actions[:, 0].astype(np.int64)

    @property
    def action_size(self) -> int:
        """A: numbers in an action, or the choices that there are."""
        return self.choices or self.actions.shape[1]

    @property
    def finished(self) -> Bool[ndarray, " episodes"]:
        """False for an unfinished episode. Statistics of returns and lengths are over the finished ones."""
        return self.terminated | self.truncated

    @property
    def unfinished_steps(self) -> int:
        """Steps of a last episode that is unfinished."""
        return 0 if self.finished[-1:].all() else int(self.offsets[-1] - self.offsets[-2])

    def without_unfinished(self: AnyRecording) -> AnyRecording:
        """The same without an unfinished last episode; its arrays are views."""
        steps = self.steps - self.unfinished_steps
        if steps == self.steps:
            return self
        final = self.final_observations
        return replace(
            self,
            observations=self.observations[:steps],
            actions=self.actions[:steps],
            rewards=self.rewards[:steps],
            offsets=self.offsets[:-1],
            terminated=self.terminated[:-1],
            truncated=self.truncated[:-1],
            final_observations=None if final is None else final[:-1],
            infos={name: values[:steps] for name, values in self.infos.items()},
        )


class AllocationError(Exception):
    """There is no room for an array."""


Allocate = Callable[[str, tuple[int, ...], np.dtype[Any]], ndarray]
"""Makes an array that a reader fills, from its name, its shape and the type in which the file stores it.

Raises `AllocationError` where there is no room, which readers let pass: nothing is wrong with their file then.
"""


def in_memory(name: str, shape: tuple[int, ...], stored: np.dtype[Any]) -> ndarray:
    """An array for training, whatever the file stores: float32, in memory."""
    return np.empty(shape, np.float32)


def row_blocks(rows: int, row_bytes: int, multiple: int = 1) -> Iterator[slice]:
    """Consecutive slices of about `BLOCK_BYTES`, each a multiple of rows (but the last)."""
    count = max(1, BLOCK_BYTES // max(1, row_bytes * multiple)) * multiple
    return (slice(start, min(start + count, rows)) for start in range(0, rows, count))


@dataclass(frozen=True)
class Format:
    """A file format."""

    name: str
    """As printed to the user."""
    kind: Literal["d4rl", "minari"]
    """Which of an environment card's gymnasium ids such data belongs to, where it names none."""
    accepts: Callable[[Path], bool]
    """Whether an existing path looks like this format; looks at names and first bytes only."""
    read: Callable[[Path, Allocate, bool], Recording]
    """Read a path: its arrays into what `Allocate` makes, and `infos` too if the last argument is set."""
    read_raw: Callable[[Path], RawRecording]
    """Read all that there is, faults included."""
