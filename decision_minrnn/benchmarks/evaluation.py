"""How much of the bare simulator's speed an evaluation keeps.

The simulator alone takes random actions, in as many processes as the evaluation has workers (one, if it has none), each
with one copy and nothing to wait for. The two take turns, round after round.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from decision_minrnn.benchmarks.sizes import Sizes, model_config
from decision_minrnn.envs import Environments, register_spec
from decision_minrnn.episodes import EpisodeResult, rollout
from decision_minrnn.errors import ConfigError
from decision_minrnn.model import DecisionModel
from decision_minrnn.policy import Policy
from decision_minrnn.workers import Workers

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec


@dataclass(frozen=True)
class Throughput:
    """Environment steps a second, resets included; medians over rounds."""

    env_id: str
    workers: int
    environments: int
    """Episodes that ran at once."""
    simulator: float
    evaluation: float
    share: float
    """The evaluation's by the simulator's, median over rounds."""


def random_policy(env_id: str) -> Policy:
    """A policy with random weights of the default model, in the sizes of an environment."""
    with Environments(env_id) as environments:
        low, high = (
            () if environments.discrete else tuple(bound.tolist())
            for bound in (environments.action_low, environments.action_high)
        )
        config = replace(
            model_config("mingru", "merged", Sizes()),
            observation_size=environments.observation_size,
            action_size=environments.action_size,
            action_low=low,
            action_high=high,
            discrete=environments.discrete,
        )
    return Policy(DecisionModel(config))


def measure_throughput(
    policy: Policy,
    env_id: str,
    target_return: float,
    workers: int = 0,
    environments: int = 20,
    episodes: int = 100,
    rounds: int = 5,
) -> Throughput:
    """Measure the simulator and an evaluation in it, without the time that workers take to start.

    Args:
        policy: to evaluate.
        env_id: gymnasium id.
        target_return: in the environment's units.
        workers: processes that run the episodes; 0 runs them in this one.
        environments: how many episodes run at once.
        episodes: of each evaluation.
        rounds: how often both are measured.

    Raises:
        ConfigError: an environment that does not fit the policy, or numbers below 1 (workers: below 0).
    """
    if workers < 0 or min(environments, episodes, rounds) < 1:
        raise ConfigError(
            "expected at least 0 workers and 1 environment, episode and round, "
            f"got {workers}, {environments}, {episodes}, {rounds}."
        )
    alone, evaluated = [], []
    with ExitStack() as stack:
        copies = stack.enter_context(Environments(env_id, 1 if workers else environments))
        run: Callable[..., list[EpisodeResult]] = partial(rollout, policy, copies)
        if workers:
            run = stack.enter_context(Workers(policy, copies, environments, workers)).rollout
        pool = stack.enter_context(
            ProcessPoolExecutor(max(workers, 1), multiprocessing.get_context("spawn"))  # as workers are started
        )
        seconds = 0.1
        for _ in range(rounds + 1):
            tasks = [pool.submit(simulate, copies.spec, seconds) for _ in range(max(workers, 1))]
            alone.append(sum(task.result() for task in tasks))
            began = time.perf_counter()
            results = run(target_return, range(episodes))
            seconds = time.perf_counter() - began
            evaluated.append(sum(result.length for result in results) / seconds)
    # the first round warms up, and says how long the simulator is to be measured
    shares = np.divide(evaluated[1:], alone[1:])
    medians = (float(np.median(values)) for values in (alone[1:], evaluated[1:], shares))
    return Throughput(env_id, workers, environments, *medians)


def simulate(spec: EnvSpec, seconds: float) -> float:
    """Steps a second of one copy that is given random actions for so long."""
    register_spec(spec)
    with Environments(spec.id) as environments:
        copy = environments[0]
        copy.reset(seed=0)
        copy.action_space.seed(0)
        steps, episodes, began = 0, 1, time.perf_counter()
        while time.perf_counter() - began < seconds:
            _, _, terminated, truncated, _ = copy.step(copy.action_space.sample())
            steps += 1
            if terminated or truncated:
                copy.reset(seed=episodes)
                episodes += 1
        return steps / (time.perf_counter() - began)
