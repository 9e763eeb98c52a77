"""What a policy's returns are worth.

Protocol: every episode has a seed of its own, the target is fixed before the evaluation, nothing is selected
afterwards. An episode that its environment fails in has no return: it is left out, and reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np

from decision_minrnn.cards import EnvCard, Reference
from decision_minrnn.config import EVALUATION_SEED
from decision_minrnn.envs import Environments
from decision_minrnn.episodes import EpisodeResult, rollout
from decision_minrnn.errors import ConfigError, EvaluationError
from decision_minrnn.evaluation import Evaluation, Failure, TargetResult
from decision_minrnn.policy import Policy
from decision_minrnn.scores import bootstrap_interval, interquartile_mean, normalized_score
from decision_minrnn.versions import versions
from decision_minrnn.workers import Workers


def evaluate(
    policy: Policy,
    env_id: str | None = None,
    targets: Iterable[float] = (),
    *,
    episodes: int = 20,
    seed: int = EVALUATION_SEED,
    reference: Reference | None = None,
    reference_name: str | None = None,
    card: EnvCard | None = None,
    environments: int = 20,
    workers: int = 0,
    step_timeout: float | None = None,
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
        workers: processes that run the episodes, each with a copy of the policy, on the policy's device, and one
            thread; none by default. A program that asks for them guards its start with `if __name__ == "__main__"`.
            Changes the speed, not the result.
        step_timeout: seconds after which a step of an environment is given up; needs workers.
        checkpoint: what the result says of the weights; by default what the policy knows of them.
        on_episode: called as each episode ends.

    Raises:
        ConfigError: no environment, no targets, fewer than one episode, or an environment that does not fit the policy
            or, as the policy itself, cannot be sent to workers.
        EvaluationError: every episode at a target failed, or the workers cannot go on.
    """
    task = policy.task
    if env_id is None:
        if task is None or task.env_id is None:
            raise ConfigError(
                "this policy does not know its environment. Name one, as in evaluate(policy, 'Hopper-v5', [3600])."
            )
        env_id = task.env_id
    targets = tuple(targets)
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
    if workers < 0:
        raise ConfigError(f"workers expects a whole number of at least 0, got {workers}.")
    if step_timeout is not None and workers == 0:
        raise ConfigError("a step that hangs can be ended only with its process. Give --workers with --step-timeout.")
    seeds, count = tuple(range(seed, seed + episodes)), min(environments, episodes)
    began = time.perf_counter()
    results, steps = [], 0
    with ExitStack() as stack:
        copies = stack.enter_context(Environments(env_id, 1 if workers else count, card=card))
        config = policy.model.config
        copies.check_sizes(config.observation_size, config.action_size, config.discrete)
        run: Callable[..., list[EpisodeResult]] = partial(rollout, policy, copies)
        if workers:
            run = stack.enter_context(Workers(policy, copies, count, workers, step_timeout)).rollout
        for target in targets:
            finished = run(target, seeds, on_episode)
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


def _summary(target: float, results: Sequence[EpisodeResult], reference: Reference | None) -> TargetResult:
    episodes = [result for result in results if result.failure is None]
    failures = tuple(Failure(result.seed, result.length, result.failure) for result in results if result.failure)
    if not episodes:
        first = failures[0]
        raise EvaluationError(
            f"all {len(failures)} episodes at target {target:g} failed. The first, with seed {first.seed}, at step "
            f"{first.step}: {first.reason}"
        )
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
        failures=failures,
    )
