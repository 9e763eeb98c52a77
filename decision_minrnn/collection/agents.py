"""Who acts in a recording, and for how long: agents, the returns that they are measured by, and their episodes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from decision_minrnn.collection.actor import load_actor
from decision_minrnn.collection.recording import (
    Behaviour,
    Purpose,
    RecordedEpisode,
    conditioned,
    episode_seeds,
    record_episodes,
    stochastic,
    uniform,
)
from decision_minrnn.envs import Environments
from decision_minrnn.errors import ConfigError
from decision_minrnn.progress import Progress
from decision_minrnn.runs import load_policy


class Agent(NamedTuple):
    """Something that acts."""

    behaviour: Behaviour
    algorithm: str
    """How it came to be."""
    what: str
    """What it is, in words."""


def random_agent(environments: Environments) -> Agent:
    """Acts uniformly. Raises `ConfigError` for an environment whose actions have no bounds."""
    if not np.isfinite([environments.action_low, environments.action_high]).all():
        raise ConfigError(f"{environments.env_id} has actions without bounds, from which none can be drawn uniformly.")
    return Agent(uniform(environments), "uniform", "uniform actions")


def saved_agent(path: Path, target_return: float | None, environments: Environments) -> Agent:
    """The policy in a file or run folder.

    Args:
        path: what `load_actor` reads, or a folder that `decision-minrnn train` wrote.
        target_return: which the policy of a run folder acts to reach; None for others.
        environments: in which it is to act.

    Raises:
        DataError: a file that holds no such policy.
        CheckpointError: a folder that is no run.
        ConfigError: a policy of other sizes, or a target return that is missing or too many.
    """
    if path.is_dir():
        if target_return is None:
            raise ConfigError(f"the policy of the run folder {path} acts to reach a return: give it with --target.")
        policy = load_policy(path)
        model = policy.model.config
        environments.check_sizes(model.observation_size, model.action_size)
        what = f"the policy of {path.name} at target return {target_return:g}"
        return Agent(conditioned(policy, target_return), f"decision-minrnn, {model.encoder}", what)
    if target_return is not None:
        raise ConfigError(f"--target is for run folders; {path} is none.")
    actor = load_actor(path)
    environments.check_sizes(actor.observation_size, actor.action_size)
    return Agent(stochastic(actor, environments), "SAC", f"actions drawn from the policy {path.name}")


class Recorder:
    """Runs agents in one environment, each for its own purpose and so with its own seeds."""

    def __init__(self, environments: Environments, seed: int, progress: Progress) -> None:
        self.environments, self.seed, self.progress = environments, seed, progress

    def measure(self, agent: Agent, episodes: int, purpose: Purpose) -> float:
        """Mean return over so many episodes."""
        returns = []
        with self.progress.episodes(episodes) as bar:
            for episode in islice(self._episodes(agent, purpose), episodes):
                returns.append(episode.episode_return)
                bar.advance(f"return {episode.episode_return:.0f}")
        self.progress.message(
            f"measured  {agent.what}: return {np.mean(returns):.1f} ± {np.std(returns):.1f} in {episodes} episodes"
        )
        return float(np.mean(returns))

    def record(self, agent: Agent, steps: int, purpose: Purpose) -> list[RecordedEpisode]:
        """As many whole episodes as it takes to have at least so many steps."""
        self.progress.message(f"recording {agent.what}")
        episodes, done = [], 0
        with self.progress.steps(steps) as bar:
            for episode in self._episodes(agent, purpose):
                episodes.append(episode)
                done += len(episode.rewards)
                bar.advance(f"return {episode.episode_return:.0f}", to=min(done, steps))
                if done >= steps:
                    break
        return episodes

    def _episodes(self, agent: Agent, purpose: Purpose) -> Iterator[RecordedEpisode]:
        return record_episodes(agent.behaviour, self.environments, episode_seeds(self.seed, purpose))
