"""How much of the bare simulator's speed an evaluation keeps.

The simulator alone takes random actions, in as many processes as the evaluation has workers (one, if it has none), each
with one copy and nothing to wait for. The two take turns, round after round.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from decision_minrnn.envs import Environments, register_spec
from decision_minrnn.episodes import rollout
from decision_minrnn.errors import ConfigError
from decision_minrnn.policy import Policy
from decision_minrnn.workers import WorkerEnvironments

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec


@dataclass(frozen=True)
class Throughput:
    """Environment steps a second, resets included; medians over rounds."""

    simulator: float
    evaluation: float
    share: float
    """The second by the first, median over rounds."""


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
        workers: processes; 0 steps the environments in this one.
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
        copies: Environments | WorkerEnvironments
        copies = template = stack.enter_context(Environments(env_id, 1 if workers else environments))
        if workers:
            copies = stack.enter_context(WorkerEnvironments(template, environments, workers))
        pool = stack.enter_context(
            ProcessPoolExecutor(max(workers, 1), multiprocessing.get_context("spawn"))  # as workers are started
        )
        seconds = 0.1
        for _ in range(rounds + 1):
            tasks = [pool.submit(simulate, template.spec, seconds) for _ in range(max(workers, 1))]
            alone.append(sum(task.result() for task in tasks))
            began = time.perf_counter()
            results = rollout(policy, copies, target_return, range(episodes))
            seconds = time.perf_counter() - began
            evaluated.append(sum(result.length for result in results) / seconds)
    # the first round warms up, and says how long the simulator is to be measured
    shares = np.divide(evaluated[1:], alone[1:])
    return Throughput(float(np.median(alone[1:])), float(np.median(evaluated[1:])), float(np.median(shares)))


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
