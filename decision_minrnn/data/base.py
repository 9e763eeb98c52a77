"""One reader per format: what a reader returns, and the registry that chooses between them.

A reader is a function from a path to a `Recording`, registered under the name of its format with a cheap test of
whether a path looks like that format:

    @reader("D4RL-layout HDF5", accepts=looks_like_hdf5)
    def read_d4rl(path: Path) -> Recording: ...

Readers know files; they know nothing of cards. `resolve.load_dataset` joins a recording with its environment card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from decision_minrnn.cards import Reference
from decision_minrnn.errors import DataError


@dataclass(frozen=True, eq=False)
class Recording:
    """The content of one file or folder, checked: N steps in E episodes, T rows in an episode of T actions."""

    observations: Float32[ndarray, "steps observation"]
    actions: Float32[ndarray, "steps action"]
    rewards: Float32[ndarray, " steps"]
    offsets: Int64[ndarray, " episodes+1"]
    """First step of each episode, then N."""
    terminated: Bool[ndarray, " episodes"]
    truncated: Bool[ndarray, " episodes"]
    action_low: Float32[ndarray, " action"] | None = None
    """None where the format does not store action bounds."""
    action_high: Float32[ndarray, " action"] | None = None
    env_id: str | None = None
    """gymnasium id, where the format stores one."""
    references: Mapping[str, Reference] = field(default_factory=dict)
    """Score references stored beside the data, by name."""
    notes: tuple[str, ...] = ()
    """What the user should know of how it was read."""

    @property
    def unfinished_steps(self) -> int:
        """Steps of a last episode that is neither terminated nor truncated: the recording ended in its middle."""
        finished = bool(self.terminated[-1:].all() or self.truncated[-1:].all())
        return 0 if finished else int(self.offsets[-1] - self.offsets[-2])

    def without_unfinished(self) -> Recording:
        """The same without an unfinished last episode; its arrays are views."""
        steps = len(self.rewards) - self.unfinished_steps
        if steps == len(self.rewards):
            return self
        return replace(
            self,
            observations=self.observations[:steps],
            actions=self.actions[:steps],
            rewards=self.rewards[:steps],
            offsets=self.offsets[:-1],
            terminated=self.terminated[:-1],
            truncated=self.truncated[:-1],
        )


@dataclass(frozen=True)
class Format:
    """A registered reader."""

    name: str
    """As printed to the user."""
    accepts: Callable[[Path], bool]
    """Whether an existing path looks like this format; looks at names and first bytes only."""
    read: Callable[[Path], Recording]


_formats: list[Format] = []


def reader(
    name: str, *, accepts: Callable[[Path], bool]
) -> Callable[[Callable[[Path], Recording]], Callable[[Path], Recording]]:
    """Register the decorated function as the reader of a format."""

    def register(read: Callable[[Path], Recording]) -> Callable[[Path], Recording]:
        _formats.append(Format(name, accepts, read))
        return read

    return register


def format_of(path: Path) -> Format:
    """The format of an existing file or folder.

    Raises `DataError` where no reader accepts it.
    """
    for candidate in _formats:
        if candidate.accepts(path):
            return candidate
    known = ", ".join(candidate.name for candidate in _formats)
    if path.is_dir():
        inside = sorted(item.name for item in path.iterdir())
        held = f"it holds {', '.join(inside[:5])}{', …' if len(inside) > 5 else ''}" if inside else "it is empty"
        raise DataError(
            f"the folder {path} is not a dataset: {held}. A Minari dataset is a folder with data/metadata.json in it; "
            f"an HDF5 file is given by its own path."
        )
    raise DataError(f"the file {path} is in no format that can be read. Known formats: {known}.")
