"""The tiers of D4RL (Fu et al. 2020, "D4RL", section 5), recorded anew in any environment."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from decision_minrnn.cards import Reference
from decision_minrnn.collection.agents import Agent, Recorder, random_agent, saved_agent
from decision_minrnn.collection.config import CollectConfig
from decision_minrnn.collection.recording import Purpose, RecordedEpisode
from decision_minrnn.collection.trained import TrainedAgents
from decision_minrnn.envs import Environments
from decision_minrnn.errors import ConfigError
from decision_minrnn.interruption import Interruption
from decision_minrnn.progress import Progress

STEPS = 1_000_000
"""Steps of a recording, unless asked otherwise: as many as D4RL's have."""


class Collected(NamedTuple):
    """The episodes of a tier, and what is to be said of them."""

    episodes: list[RecordedEpisode]
    reference: Reference | None
    """Returns of random and expert; None where no expert is known that is better than random."""
    algorithm: str
    what: str
    """What acted, in words."""


class Collection:
    """One tier, in one environment."""

    def __init__(
        self, config: CollectConfig, environments: Environments, known: Reference | None, progress: Progress
    ) -> None:
        """`known` is the card's reference. Raises `DecisionMinRNNError` for a policy or folder that cannot be used."""
        self.config, self.environments, self.known, self.progress = config, environments, known, progress
        self.recorder = Recorder(environments, config.seed, progress)
        self.random = random_agent(environments)
        self.saved = saved_agent(Path(config.policy), config.target, environments) if config.policy else None
        untrained = self.saved is not None or config.tier == "random"
        if environments.discrete and not untrained:
            raise ConfigError(
                f"SAC acts with vectors, and {environments.env_id} has discrete actions: record --tier random, or a "
                "policy that is trained already, with --policy."
            )
        self.trained = None if untrained else TrainedAgents(config, environments, known)

    def train(self, interruption: Interruption) -> None:
        """Train what is to act, if it must be. Raises as `train_sac`."""
        if self.trained is not None:
            self.trained.train(self.progress, interruption)

    def record(self) -> Collected:
        """Measure the references and record. Raises `TrainingError` where no policy is medium."""
        expert, episodes = self._expert(), self.config.reference_episodes
        low = self.recorder.measure(self.random, episodes, Purpose.RANDOM_REFERENCE)
        high = self.recorder.measure(expert, episodes, Purpose.EXPERT_REFERENCE) if expert else None
        reference = self._reference(low, high, expert)
        if self.trained is not None and high is not None:
            self.trained.learn_references(low, high)
        if self.trained is not None and self.config.tier == "medium-replay":
            what = f"all steps of SAC before {self.trained.medium().what}"
            return Collected(self.trained.replay(), reference, "SAC", what)
        agents = self._agents()
        steps = (self.config.steps or STEPS) // len(agents)
        recorded = [
            episode
            for agent, purpose in zip(agents, (Purpose.RECORDING, Purpose.SECOND_RECORDING), strict=False)
            for episode in self.recorder.record(agent, steps, purpose)
        ]
        return Collected(recorded, reference, agents[0].algorithm, "; as much of ".join(agent.what for agent in agents))

    def _expert(self) -> Agent | None:
        """The policy that is the expert here; None where the tier has none."""
        if self.trained is not None:
            return self.trained.expert() if self.trained.has_expert else None
        return self.saved if self.config.tier == "expert" else None

    def _agents(self) -> list[Agent]:
        """Those who act, one after the other, for as many steps each."""
        if self.trained is None:
            return [self.saved or self.random]
        medium, expert = self.trained.medium, self.trained.expert
        by_tier = {"medium": [medium], "expert": [expert], "medium-expert": [medium, expert]}
        return [agent() for agent in by_tier[self.config.tier]]

    def _reference(self, low: float, high: float | None, expert: Agent | None) -> Reference | None:
        """What scores 0 and 100, and from where; the card's expert, where none was measured."""
        source = f"mean return over {self.config.reference_episodes} episodes in {self.environments.env_id}"
        source = f"random: uniform actions, {source}; expert: "
        if high is not None and expert is not None:
            reference = Reference(low, high, f"{source}{expert.what}, likewise")
        elif self.known is not None:
            reference = Reference(low, self.known.max, f"{source}{self.known.source}")
        else:
            return None
        return reference if reference.min < reference.max else None
