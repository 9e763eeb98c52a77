"""Rolling a policy out, and what its returns are worth.

Protocol: every episode has a seed of its own, the target is fixed before the evaluation, nothing is selected
afterwards. The result of an episode does not depend on how many run beside it: the policy is given as many rows, idle
ones included, as make no difference to their rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from decision_minrnn.cards import EnvCard, Reference
from decision_minrnn.config import EVALUATION_SEED
from decision_minrnn.envs import Environments
from decision_minrnn.errors import ConfigError
from decision_minrnn.evaluation import Evaluation, TargetResult
from decision_minrnn.policy import Policy
from decision_minrnn.rounding import rows_for
from decision_minrnn.scores import bootstrap_interval, interquartile_mean, normalized_score
from decision_minrnn.versions import versions


class EpisodeResult(NamedTuple):
    """What became of one episode."""

    seed: int
    episode_return: float
    """Undiscounted sum of rewards."""
    length: int
    """Steps taken."""
    terminated: bool
    """Whether the environment ended it, rather than a time limit."""


def rollout(
    policy: Policy,
    environments: Environments,
    target_return: float,
    seeds: Sequence[int],
    on_episode: Callable[[EpisodeResult], None] | None = None,
) -> list[EpisodeResult]:
    """Run one episode for each seed, as many at once as there are environments.

    Args:
        policy: reset by this function.
        environments: an environment that finishes an episode takes the next seed at once.
        target_return: in the environment's units.
        seeds: one an episode.
        on_episode: called as each episode ends.

    Returns:
        The episodes in the order of their seeds.

    Raises:
        ConfigError: the environment's sizes do not fit the policy's model.
    """
    config = policy.model.config
    environments.check_sizes(config.observation_size, config.action_size, config.discrete)
    rows = rows_for(policy, min(len(environments), len(seeds)))
    observations, rewards = np.zeros((rows, config.observation_size), np.float32), np.zeros(rows, np.float32)
    results: list[EpisodeResult | None] = [None] * len(seeds)
    waiting = iter(range(len(seeds)))
    running: dict[int, int] = {}
    returns, lengths, row_seeds = np.zeros(rows), np.zeros(rows, int), [0] * rows

    def start(row: int) -> bool:
        episode = next(waiting, None)
        if episode is None:
            return False
        running[row], row_seeds[row] = episode, seeds[episode]
        returns[row] = lengths[row] = rewards[row] = 0
        observations[row] = environments.reset(row, seeds[episode])
        return True

    for row in range(min(len(environments), len(seeds))):
        start(row)
    policy.reset(rows, target_return, row_seeds)
    while running:
        actions = policy.act(observations, rewards)
        restarted = np.zeros(rows, bool)
        for row, episode in list(running.items()):
            observations[row], reward, terminated, truncated = environments.step(row, actions[row])
            rewards[row] = reward
            returns[row] += reward
            lengths[row] += 1
            if terminated or truncated:
                del running[row]
                result = EpisodeResult(seeds[episode], float(returns[row]), int(lengths[row]), terminated)
                results[episode] = result
                if on_episode is not None:
                    on_episode(result)
                restarted[row] = start(row)
        if restarted.any():
            policy.restart(restarted, target_return, row_seeds)
    return [result for result in results if result is not None]


def evaluate(
    policy: Policy,
    env_id: str | None = None,
    targets: Sequence[float] = (),
    *,
    episodes: int = 20,
    seed: int = EVALUATION_SEED,
    reference: Reference | None = None,
    reference_name: str | None = None,
    card: EnvCard | None = None,
    environments: int = 20,
    checkpoint: str | None = None,
    on_episode: Callable[[EpisodeResult], None] | None = None,
) -> Evaluation:
    """Run `episodes` episodes at each target return.

    Args:
        policy: what to evaluate; its memory mode is part of the result. That of a run knows what it was trained for.
        env_id: gymnasium id; by default that of the policy's task.
        targets: target returns, in the environment's units; by default those of the policy's task.
        episodes: for each target, with the seeds `seed`, `seed + 1`, ...
        seed: of the first episode.
        reference: returns that score 0 and 100; by default that of the policy's task, in the environment of that task.
            Without one, scores are None.
        reference_name: what the reference is called in the result.
        card: the environment's card, where it is not one of those in the card folders.
        environments: how many episodes run at once; changes the speed, not the result.
        checkpoint: what the result says of the weights; by default what the policy knows of them.
        on_episode: called as each episode ends.

    Raises:
        ConfigError: no environment, no targets, fewer than one episode, or an environment that does not fit the policy.
    """
    task = policy.task
    if env_id is None:
        if task is None or task.env_id is None:
            raise ConfigError(
                "this policy does not know its environment. Name one, as in evaluate(policy, 'Hopper-v5', [3600])."
            )
        env_id = task.env_id
    if task is not None:
        targets = targets or task.targets
        if reference is None and env_id == task.env_id:
            reference, reference_name = task.reference, task.reference_name
    if not targets:
        raise ConfigError("an evaluation expects at least one target return; give --targets.")
    if episodes < 1 or environments < 1:
        raise ConfigError(
            f"an evaluation expects at least 1 episode and 1 environment, got {episodes}, {environments}."
        )
    seeds = tuple(range(seed, seed + episodes))
    began = time.perf_counter()
    results, steps = [], 0
    with Environments(env_id, min(environments, episodes), card=card) as copies:
        for target in targets:
            finished = rollout(policy, copies, target, seeds, on_episode)
            steps += sum(episode.length for episode in finished)
            results.append(_summary(target, finished, reference))
    seconds = time.perf_counter() - began
    return Evaluation(
        targets=tuple(results),
        reference=reference_name,
        reference_min=reference.min if reference else None,
        reference_max=reference.max if reference else None,
        env_id=env_id,
        memory=policy.memory,
        checkpoint=checkpoint or (policy.origin.checkpoint if policy.origin else "in memory"),
        seeds=seeds,
        versions=versions(),
        steps_per_second=steps / seconds,
        wall_seconds=seconds,
        sampled=policy.sampled,
    )


def _summary(target: float, episodes: Sequence[EpisodeResult], reference: Reference | None) -> TargetResult:
    returns = np.array([episode.episode_return for episode in episodes])
    scores = normalized_score(returns, reference) if reference else None
    return TargetResult(
        target_return=float(target),
        episodes=len(episodes),
        return_mean=float(returns.mean()),
        return_std=float(returns.std()),
        return_min=float(returns.min()),
        return_max=float(returns.max()),
        length_mean=float(np.mean([episode.length for episode in episodes])),
        normalized_mean=None if scores is None else float(scores.mean()),
        normalized_std=None if scores is None else float(scores.std()),
        normalized_iqm=None if scores is None else interquartile_mean(scores),
        ci95=None if scores is None else bootstrap_interval(scores),
        returns=tuple(returns.tolist()),
    )
