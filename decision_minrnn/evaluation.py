"""The result of an evaluation: returns, scores, and everything that is needed to read them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Failure:
    """An episode without a return, which none of the numbers contain."""

    seed: int
    step: int
    """Steps taken before."""
    reason: str


@dataclass(frozen=True)
class TargetResult:
    """The episodes run at one target return.

    Deviations are over episodes, with 1/n; scores are None without a reference.
    """

    target_return: float
    episodes: int
    """Those that came to their end."""
    return_mean: float
    return_std: float
    return_min: float
    return_max: float
    length_mean: float
    normalized_mean: float | None
    normalized_std: float | None
    normalized_iqm: float | None
    """Mean of the middle half of the scores."""
    ci95: tuple[float, float] | None
    """Bootstrap interval of the mean score."""
    returns: tuple[float, ...]
    """Each episode's return, in the order of the seeds."""
    failures: tuple[Failure, ...] = ()
    """The other episodes."""


@dataclass(frozen=True)
class Evaluation:
    """What a policy returned, and everything that is needed to read the number."""

    targets: tuple[TargetResult, ...]
    reference: str | None
    """Name of the two returns that the scores are normalised with."""
    reference_min: float | None
    reference_max: float | None
    env_id: str
    memory: str
    checkpoint: str
    """Which weights: the last of a run, unless asked otherwise."""
    seeds: tuple[int, ...]
    """Seeds of the episodes, the same for each target."""
    versions: dict[str, str]
    steps_per_second: float
    """Environment steps of all episodes a second, simulation included."""
    wall_seconds: float
    sampled: bool = False
    """Whether discrete actions were drawn, rather than the likeliest taken."""

    def to_dict(self) -> dict[str, Any]:
        """As written to `evaluation.json`."""
        return asdict(self)

    def scalars(self) -> dict[str, float]:
        """As TensorBoard scalars: one set for each target, which ends the tag."""
        scalars = {}
        for result in self.targets:
            target = f"{result.target_return:g}"
            scalars[f"eval/return/{target}"] = result.return_mean
            scalars[f"eval/length/{target}"] = result.length_mean
            if result.normalized_mean is not None:
                scalars[f"eval/normalized_score/{target}"] = result.normalized_mean
        return scalars
