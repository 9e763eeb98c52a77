"""Environments stepped in processes of their own, beside each other and beside the policy.

A worker has its share of the copies and obeys one message of orders after another. They are given in two groups: while
the workers step one, the policy acts for the other. A worker that dies, or hangs in a step, is replaced by a new one;
what its copies were in the middle of is lost, and each of them says so (`Fault`), so that their episodes can be run
again.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, ClassVar

from decision_minrnn.envs import Environments, Fault, Order, Transition, register_spec
from decision_minrnn.errors import ConfigError, EvaluationError

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

IDLE = -1


class Worker:
    """One process and this end of its pipe."""

    def __init__(self, spec: EnvSpec, count: int, options: dict[str, Any]) -> None:
        """Started, but not yet waited for; `count` is the number of its copies."""
        # a forked process would have torch's threads and locks, but not what they wait for
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.work = context.RawArray("q", [IDLE, 0])
        """The copy that it steps, and how many orders it has begun."""
        self.process = context.Process(target=_serve, args=(theirs, self.work, spec, count, options), daemon=True)
        try:
            self.process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"{spec.id} cannot be made in other processes ({error}): register it with a class or function that "
                "can be imported, or evaluate without workers."
            ) from error
        theirs.close()

    def wait_until_ready(self) -> None:
        """Raises `EvaluationError` where its environments cannot be made."""
        try:
            error = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            error = f"it ended with exit code {self.process.exitcode}"
        if error is not None:
            raise EvaluationError(f"a worker process could not make its environments: {error}")

    def reply(self, timeout: float | None) -> Any:
        """The answer to the oldest message; raises `TimeoutError` where one order takes longer than so many seconds."""
        begun = self.work[1]
        while timeout is not None and not self.connection.poll(timeout):
            if self.work[1] == begun:
                raise TimeoutError
            begun = self.work[1]
        return self.connection.recv()

    def stop(self) -> None:
        """Let it end, or kill it if it does not."""
        self.connection.close()
        self.process.join(1)
        self.process.kill()
        self.process.join()
        self.process.close()


def _serve(connection: Connection, work: Any, spec: EnvSpec, count: int, options: dict[str, Any]) -> None:
    """What a worker does until the other end of its pipe is closed, be it by the death of the process there."""
    # Ctrl-C goes to all processes of a terminal; the one that evaluates decides what becomes of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        register_spec(spec)
        environments = Environments(spec.id, count, **options)
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")
        return
    with environments:
        connection.send(None)
        while True:
            try:
                orders: list[tuple[int, Order]] = connection.recv()
            except (EOFError, OSError):
                return
            outcomes = []
            for index, order in orders:
                work[:] = index, work[1] + 1
                outcomes.append(environments.obey(index, order))
            work[0] = IDLE
            connection.send(outcomes)


class WorkerEnvironments:
    """Copies of an environment in several processes, with the interface of `Environments` that rollouts use.

    Copy i is copy i // n of worker i % n, where n is their number.
    """

    groups: ClassVar[int] = 2

    def __init__(self, template: Environments, count: int, workers: int, step_timeout: float | None = None) -> None:
        """Start the workers.

        Args:
            template: at least one copy in this process, to make others from; its sizes are theirs.
            count: copies.
            workers: processes.
            step_timeout: seconds after which a step or reset is given up, and its process killed; None waits on.

        Raises:
            ConfigError: fewer than one worker, a time that is not above 0, or an environment whose registration cannot
                be sent to another process.
            EvaluationError: a worker cannot make the environment.
        """
        if workers < 1:
            raise ConfigError(f"workers expects a whole number of at least 1, got {workers}.")
        if step_timeout is not None and not step_timeout > 0:
            raise ConfigError(f"step_timeout expects seconds above 0, got {step_timeout}.")
        self.template, self.step_timeout, self._count = template, step_timeout, count
        self._faults: dict[int, Fault] = {}
        """Of copies that were lost with their worker, until they are asked for."""
        self._workers: list[Worker] = []
        try:
            for number in range(min(workers, count)):
                self._workers.append(self._start(number, min(workers, count)))
            for worker in self._workers:
                worker.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return self._count

    def check_sizes(self, observation_size: int, action_size: int, discrete: bool = False) -> None:
        """As of `Environments`."""
        self.template.check_sizes(observation_size, action_size, discrete)

    def send(self, orders: Mapping[int, Order]) -> None:
        """Give orders to some copies, which begin at once."""
        for number in range(len(self._workers)):
            own = {row: order for row, order in orders.items() if row % len(self._workers) == number}
            for row, order in own.items():
                if isinstance(order, int):
                    self._faults.pop(row, None)
            # a copy that was lost has no episode to go on with; `receive` will say so
            message = [(row // len(self._workers), order) for row, order in own.items() if row not in self._faults]
            if message:
                try:
                    self._workers[number].connection.send(message)
                except OSError:
                    self._replace(number)

    def receive(self, rows: Iterable[int]) -> dict[int, Transition | Fault]:
        """Wait for what came of orders: those of one `send`, in the sequence in which they were given."""
        wanted = list(rows)
        outcomes: dict[int, Transition | Fault] = {}
        for number in range(len(self._workers)):
            own = [row for row in wanted if row % len(self._workers) == number and row not in self._faults]
            if own:
                try:
                    outcomes.update(zip(own, self._workers[number].reply(self.step_timeout), strict=True))
                except TimeoutError:
                    self._replace(number, Fault(f"no answer within {self.step_timeout:g} s"))
                except (EOFError, OSError):
                    self._replace(number)
        return {row: self._faults.pop(row) if row in self._faults else outcomes[row] for row in wanted}

    def _start(self, number: int, workers: int) -> Worker:
        return Worker(self.template.spec, len(range(number, self._count, workers)), self.template.options)

    def _replace(self, number: int, fault: Fault | None = None) -> None:
        """A new worker for one that is dead or hangs; `fault` is that of the copy which it was busy with."""
        worker, workers = self._workers[number], len(self._workers)
        at = worker.work[0]
        worker.process.kill()
        worker.process.join()
        died = f"the worker process died (exit code {worker.process.exitcode})"
        worker.stop()
        self._faults.update(
            (row, Fault("its worker process was replaced", "none")) for row in range(number, self._count, workers)
        )
        if at != IDLE:
            self._faults[at * workers + number] = fault or Fault(died, "unclear")
        self._workers[number] = self._start(number, workers)
        self._workers[number].wait_until_ready()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> WorkerEnvironments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
