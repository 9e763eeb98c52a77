"""Where a policy comes from: the run, the data it was trained on, the task that this sets, and what it scored there."""

from __future__ import annotations

from dataclasses import dataclass

from decision_minrnn.cards import Reference
from decision_minrnn.config import ModelConfig, TrainConfig
from decision_minrnn.data.trajectories import Trajectories
from decision_minrnn.evaluation import Evaluation


@dataclass(frozen=True)
class Task:
    """What a policy is evaluated on."""

    env_id: str | None
    """gymnasium id; None where the data does not say."""
    targets: tuple[float, ...]
    """Target returns, in the environment's units."""
    reference_name: str | None
    reference: Reference | None
    return_min: float
    """Lowest return of a finished episode in the data."""
    return_max: float
    """Highest return of a finished episode in the data."""

    @staticmethod
    def of(data: Trajectories, targets: tuple[float, ...] = ()) -> Task:
        """The task that a dataset sets; `targets` replace the environment card's, else the data's highest return."""
        name = next(iter(data.references), None)
        returns = data.finished_returns
        usual = data.env.targets if data.env else ()
        return Task(
            env_id=data.env_id,
            targets=targets or usual or (float(returns.max()),),
            reference_name=name,
            reference=data.references[name] if name else None,
            return_min=float(returns.min()),
            return_max=float(returns.max()),
        )

    def target_warnings(self, targets: tuple[float, ...]) -> list[str]:
        """One for each target that lies further outside the data's returns than these are apart from each other."""
        reach = self.return_max - self.return_min
        return [
            f"warning: target {target:g} is far outside the returns of the data, "
            f"{self.return_min:.0f} to {self.return_max:.0f}."
            for target in targets
            if not self.return_min - reach <= target <= self.return_max + reach
        ]


@dataclass(frozen=True)
class RunInfo:
    """The content of `config.json`."""

    train: TrainConfig
    model: ModelConfig
    task: Task
    dataset: str
    """What was read, in words."""
    dataset_sha256: str
    """Digest of the arrays that were trained on."""
    cards: dict[str, str | None]
    """Names of the environment and dataset cards."""
    versions: dict[str, str]


@dataclass(frozen=True)
class Origin:
    """Which weights of which run a policy has."""

    run: RunInfo
    update: int
    """Updates after which they were saved."""
    checkpoint: str
    """The same in words, and whether it is the last checkpoint of the run or a chosen one."""
    evaluation: Evaluation | None = None
    """What these weights scored when they were last evaluated, with the policy's memory."""
