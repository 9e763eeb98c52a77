"""Policies on the way of one training of SAC, and which of them are medium and expert.

Medium is the first evaluated policy whose mean return reaches

    random + 0.333 (expert - random),

about a third of the expert's performance (Fu et al. 2020, "D4RL", section 5), also where returns are negative. Random
and expert are the environment card's reference, and training can end at medium. Where there is none, training goes to
its end, its last policy is the expert, and medium is looked up, when both are measured, among the policies that were
kept on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from decision_minrnn.cards import Reference
from decision_minrnn.collection.agents import Agent
from decision_minrnn.collection.config import CollectConfig
from decision_minrnn.collection.folder import Evaluated, SACFolder
from decision_minrnn.collection.recording import RecordedEpisode, stochastic
from decision_minrnn.collection.replay import replayed_episodes
from decision_minrnn.collection.training import train_sac
from decision_minrnn.devices import torch_device
from decision_minrnn.envs import Environments
from decision_minrnn.errors import TrainingError
from decision_minrnn.interruption import Interruption
from decision_minrnn.progress import Progress
from decision_minrnn.runs import runs_folder

MEDIUM_SCORE = 33.3
"""Normalised score from which a policy is medium."""


def medium_return(low: float, high: float) -> float:
    """The mean return from which a policy is medium, between those of random and expert."""
    return low + MEDIUM_SCORE / 100 * (high - low)


class TrainedAgents:
    """What one training gives a tier to record."""

    def __init__(self, config: CollectConfig, environments: Environments, known: Reference | None) -> None:
        """`known` is the card's reference. Raises `ConfigError` or `CheckpointError` for a folder that does not fit."""
        self.config, self.environments = config, environments
        folder = config.work or runs_folder() / f"sac__{environments.env_id.replace('/', '-')}__{config.seed}"
        self.folder = SACFolder(Path(folder), config.training(environments.env_id))
        self.threshold = config.stop_return
        """Mean return from which a policy is medium; None until it is known."""
        if self.threshold is None and known is not None:
            self.threshold = medium_return(known.min, known.max)
        self.has_expert = config.tier in ("expert", "medium-expert") or self.threshold is None
        """Whether training goes to its end."""

    def train(self, progress: Progress, interruption: Interruption) -> None:
        """Train as far as the tier needs it. Raises as `train_sac`."""
        train_sac(
            self.folder,
            self.config.training_steps,
            lambda evaluations: not self.has_expert and self._first_medium(evaluations) is not None,
            device=torch_device(self.config.device),
            progress=progress,
            interruption=interruption,
        )

    def learn_references(self, low: float, high: float) -> None:
        """Take the measured returns of random and expert as the scale on which a policy is medium, if none is known.

        Raises `TrainingError` for an expert that is no better than random.
        """
        if self.threshold is not None:
            return
        if high <= low:
            raise TrainingError(
                f"after {self.config.training_steps:,} steps the policy returns {high:.1f}, and random {low:.1f}: "
                "it has learned nothing. Train longer with --training-steps."
            )
        self.threshold = medium_return(low, high)

    def expert(self) -> Agent:
        """The last policy of a training that went to its end."""
        return self._agent(self.config.training_steps, "")

    def medium(self) -> Agent:
        """The first policy that is medium. Raises `TrainingError` where there is none."""
        return self._agent(self.medium_step(), f", the first that returned {self.threshold:.1f} or more")

    def medium_step(self) -> int:
        """After how many steps that policy was found. Raises as `medium`."""
        evaluations = self.folder.evaluations(self.config.training_steps)
        if (step := self._first_medium(evaluations)) is not None:
            return step
        best = max(evaluations, key=lambda found: found.return_mean)
        raise TrainingError(
            f"none of the {len(evaluations)} evaluated policies returned {self.threshold:.1f}, as a medium one must; "
            f"the best, after {best.step:,} steps, returned {best.return_mean:.1f}. "
            "Train longer with --training-steps, or set the return with --stop-return."
        )

    def replay(self) -> list[RecordedEpisode]:
        """All steps of the training up to medium. Raises as `medium`."""
        transitions = self.folder.transitions(self.medium_step())
        low, high = self.environments.action_low, self.environments.action_high
        return replayed_episodes(transitions, self.config.environments, low, high)

    def _first_medium(self, evaluations: Sequence[Evaluated]) -> int | None:
        if self.threshold is None:
            return None
        return next((found.step for found in evaluations if found.return_mean >= self.threshold), None)

    def _agent(self, step: int, why: str) -> Agent:
        behaviour = stochastic(self.folder.actor(step), self.environments)
        return Agent(behaviour, "SAC", f"actions drawn from the policy after {step:,} steps of SAC{why}")
