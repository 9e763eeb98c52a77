"""Episodes in several processes: which worker runs which, and what becomes of those that are lost with one.

A worker that dies, or hangs in a step, is replaced. The episodes that it was in the middle of are run again, with the
same results, except the one whose step it hung in, or died in twice.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait

from decision_minrnn.envs import Environments
from decision_minrnn.episodes import Episode, EpisodeResult, numbered
from decision_minrnn.errors import ConfigError, EvaluationError
from decision_minrnn.policy import Policy
from decision_minrnn.worker import IDLE, Worker


class Workers:
    """Processes that run episodes of one policy in one environment."""

    def __init__(
        self, policy: Policy, template: Environments, count: int, workers: int, step_timeout: float | None = None
    ) -> None:
        """Start them.

        Args:
            policy: each has a copy, on the same device.
            template: at least one environment in this process, of the policy's sizes, to make others from.
            count: environments, of which each worker has its share.
            workers: processes; one an environment at most.
            step_timeout: seconds after which a step or reset is given up, and its process killed; None waits on.

        Raises:
            ConfigError: fewer than one worker, a time that is not above 0, or a policy or an environment's registration
                that cannot be sent to another process.
            EvaluationError: a worker cannot make the policy or the environments.
        """
        if workers < 1:
            raise ConfigError(f"workers expects a whole number of at least 1, got {workers}.")
        if step_timeout is not None and not step_timeout > 0:
            raise ConfigError(f"step_timeout expects seconds above 0, got {step_timeout}.")
        try:
            self._policy = pickle.dumps(policy)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"this policy cannot be sent to other processes ({error}): make it of classes that can be imported, "
                "or evaluate without workers."
            ) from error
        self._template, self._count, self._step_timeout = template, count, step_timeout
        self._workers: list[Worker] = []
        try:
            for number in range(min(workers, count)):
                self._workers.append(self._start(len(range(number, count, workers))))
            for worker in self._workers:
                worker.prepare(self._policy)
        except BaseException:
            self.close()
            raise

    def _start(self, environments: int) -> Worker:
        return Worker(self._template.spec, environments, self._template.options)

    def rollout(
        self,
        target_return: float,
        seeds: Sequence[int],
        on_episode: Callable[[EpisodeResult], None] | None = None,
    ) -> list[EpisodeResult]:
        """Run one episode for each seed, as `episodes.rollout` does in this process, with the same results.

        Args:
            target_return: in the environment's units.
            seeds: one an episode.
            on_episode: called in this process as each episode ends.

        Returns:
            The episodes in the order of their seeds.

        Raises:
            EvaluationError: the workers cannot go on.
        """
        results: dict[int, EpisodeResult] = {}
        for number, result in self._run(target_return, deque(numbered(seeds))):
            results[number] = result
            if on_episode is not None:
                on_episode(result)
        return [results[number] for number in range(len(seeds))]

    def _run(self, target_return: float, waiting: deque[Episode]) -> Iterator[tuple[int, EpisodeResult]]:
        deaths: Counter[int] = Counter()
        """How often a worker died in a step of an episode, and, under `IDLE`, elsewhere since the last result."""
        for worker in self._workers:
            worker.begin(target_return)
        for environment in range(self._count):
            self._workers[environment % len(self._workers)].give(waiting)
        while any(worker.running for worker in self._workers):
            for worker in self._heard():
                try:
                    ended = worker.receive()
                except (EOFError, OSError) as error:
                    yield from self._lost(worker, isinstance(error, TimeoutError), waiting, deaths)
                    replacement = self._start(worker.environments)
                    self._workers[self._workers.index(worker)] = replacement
                    replacement.prepare(self._policy)
                    replacement.begin(target_return)
                    for _ in range(replacement.environments):
                        replacement.give(waiting)
                else:
                    deaths[IDLE] = 0
                    yield ended
                    worker.give(waiting)

    def _heard(self) -> list[Worker]:
        """Wait for workers that have a result, or are dead or stuck."""
        busy = [worker for worker in self._workers if worker.running]
        heard = wait([worker.connection for worker in busy], self._step_timeout)
        return [worker for worker in busy if worker.connection in heard or worker.is_stuck(self._step_timeout)]

    def _lost(
        self, worker: Worker, stuck: bool, waiting: deque[Episode], deaths: Counter[int]
    ) -> Iterator[tuple[int, EpisodeResult]]:
        """Have the episodes of a dead or stuck worker run again, except one that is to blame, whose failure this is."""
        code, at = worker.end(), worker.note.episode
        stuck = stuck and worker.is_stuck(self._step_timeout)  # it may have gone on before it was killed
        deaths[at] += 1
        if at in worker.running and (stuck or deaths[at] > 1):
            episode = worker.running.pop(at)
            episode.length = worker.note.length
            died = f"the worker process died (exit code {code})"
            yield episode.failed(f"no answer within {self._step_timeout:g} s" if stuck else died)
        if deaths[IDLE] > 2 * len(self._workers):
            raise EvaluationError(f"worker processes die, last with exit code {code}, while the policy acts in them.")
        waiting.extendleft(worker.running.values())

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.connection.close()
        patience = time.monotonic() + 1
        for worker in self._workers:
            worker.end(max(0, patience - time.monotonic()))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
