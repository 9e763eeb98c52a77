"""A process that runs episodes, with a copy of the policy and environments of its own.

It is given an episode for each environment, and another for each result that it sends: one message an episode, not one
a step. In shared memory it notes what it is stepping, for the case that it dies or hangs there.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import torch

from decision_minrnn.envs import Environments, register_spec
from decision_minrnn.episodes import Episode, EpisodeResult, run_episodes
from decision_minrnn.errors import ConfigError, EvaluationError

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

IDLE = -1


class Note(ctypes.Structure):
    """What a worker is at."""

    episode: int
    """Number of the episode whose environment it resets or steps; `IDLE` in between."""
    length: int
    """Steps that this episode has behind it."""
    orders: int
    """Resets and steps that it has begun so far."""
    _fields_ = (("episode", ctypes.c_int64), ("length", ctypes.c_int64), ("orders", ctypes.c_int64))


class Worker:
    """The process, and this end of its pipe."""

    def __init__(self, spec: EnvSpec, environments: int, options: dict[str, Any]) -> None:
        """Started, but not yet waited for.

        Args:
            spec: what its environments are made from.
            environments: how many.
            options: of `gymnasium.make`.

        Raises:
            ConfigError: the spec cannot be sent to it.
        """
        # a forked process would have torch's threads and locks, but not what they wait for
        context = multiprocessing.get_context("spawn")
        self.environments = environments
        self.connection, theirs = context.Pipe()
        self.note: Note = context.RawValue(Note, IDLE, 0, 0)
        arguments = (theirs, self.note, spec, environments, options)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.running: dict[int, Episode] = {}
        """By number: what it was given and has not sent a result of."""
        self._told_all = True
        """Whether it knows that there are no more episodes."""
        self._seen = (0, time.monotonic())
        """The orders that it had begun, and when that number was first seen."""
        try:
            self.process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"{spec.id} cannot be made in other processes ({error}): register it with a class or function that "
                "can be imported, or evaluate without workers."
            ) from error
        theirs.close()

    def prepare(self, policy: bytes) -> None:
        """Send the pickled policy, and wait until it is ready to act; raises `EvaluationError` where it is not."""
        with suppress(OSError):  # that it has ended shows where its answer is waited for
            self.connection.send_bytes(policy)
        try:
            error = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            error = f"it ended with exit code {self.process.exitcode}"
        if error is not None:
            raise EvaluationError(f"a worker process could not make its policy and environments: {error}")

    def begin(self, target_return: float) -> None:
        """Have it run the episodes that it is given next with this target."""
        self._told_all = False
        self._send(target_return)

    def give(self, waiting: deque[Episode]) -> None:
        """The next of the episodes that wait or, once, word that there are no more."""
        if waiting:
            episode = waiting.popleft()
            self.running[episode.number] = episode
            self._send(episode)
        elif not self._told_all:
            self._told_all = True
            self._send(None)

    def _send(self, message: float | Episode | None) -> None:
        with suppress(OSError):  # that it is dead shows where its results are waited for
            self.connection.send(message)

    def receive(self) -> tuple[int, EpisodeResult]:
        """Number and result of an episode.

        Raises:
            TimeoutError: it has sent none: it is stuck.
            EOFError, OSError: it is dead.
            EvaluationError: it cannot go on, as of a policy that fails.
        """
        if not self.connection.poll():
            raise TimeoutError
        message: str | tuple[int, EpisodeResult] = self.connection.recv()
        if isinstance(message, str):
            raise EvaluationError(f"a worker process failed: {message}")
        del self.running[message[0]]
        return message

    def is_stuck(self, seconds: float | None) -> bool:
        """Whether it has been seen in the same step or reset for so long; None is for ever."""
        # read in the opposite order of writing, lest a new episode is seen with an old number of orders
        episode, orders = self.note.episode, self.note.orders
        if orders != self._seen[0]:
            self._seen = (orders, time.monotonic())
        return seconds is not None and episode != IDLE and time.monotonic() - self._seen[1] >= seconds

    def end(self, seconds: float = 0) -> int | None:
        """Close the pipe, which ends it once an episode is over, and kill it after so long; its exit code."""
        self.connection.close()
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        return self.process.exitcode


def _serve(connection: Connection, note: Note, spec: EnvSpec, count: int, options: dict[str, Any]) -> None:
    """What the process does until the other end of its pipe is closed."""
    # Ctrl-C goes to all processes of a terminal; the one that evaluates decides what becomes of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)

    def watch(episode: Episode | None) -> None:
        if episode is None:
            note.episode = IDLE
        else:
            note.orders += 1
            note.length = episode.length
            note.episode = episode.number

    try:
        policy = connection.recv()
        register_spec(spec)
        with Environments(spec.id, count, **options) as environments:
            connection.send(None)
            while True:
                target_return: float = connection.recv()
                given = iter(connection.recv, None)
                for ended in run_episodes(policy, environments, target_return, given, watch):
                    connection.send(ended)
    except Exception as error:
        with suppress(OSError):  # nobody listens where the other end is closed
            connection.send(f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    """Leave at once where the process that evaluates is gone, in the middle of a step or not."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
