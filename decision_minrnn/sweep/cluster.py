"""Trials on a Ray cluster: the only file that imports ray (extra `ray`).

All nodes must see the folder that the sweep is started in, at the same path, on a file system that they share: datasets
are read and run folders are written there. So a trial whose process or node dies can go on from its last checkpoint, on
whatever node has room.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from pathlib import Path
from typing import Any

from decision_minrnn.errors import ConfigError, MissingExtraError
from decision_minrnn.sweep.trial import Trial, run_trial
from decision_minrnn.sweep.workers import Ended, Workers

SECONDS_TO_ANSWER = 120
"""How long a node may take for a first answer, which needs a new process there."""


class RayCluster(Workers):
    """The nodes of a Ray cluster, each of which runs as many trials as it has resources for."""

    def __init__(self, address: str, out: str | Path, cpus: float = 1, gpus: float = 0) -> None:
        """Connect, and make sure that every node sees the same files.

        Args:
            address: of the cluster (HOST:PORT, ray://HOST:PORT or auto); `local` starts one on this machine.
            out: folder of the trials' run folders, which is made if it is not there.
            cpus: CPUs that each trial takes.
            gpus: GPUs that each trial takes, which may be a part of one.

        Raises:
            MissingExtraError: ray is not installed.
            ConfigError: no cluster at the address, no node with such resources, or one that does not see the files.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("ray", "ray") from error
        self._ray, self._resources = ray, {"CPU": cpus, "GPU": gpus}
        self._running: dict[Any, Trial] = {}
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"--ray {address}: cannot connect to a Ray cluster: {error}") from error
        self._work = ray.remote(_work).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        try:
            if not self._places():
                raise ConfigError(
                    f"--ray {address}: no node of the cluster has {cpus:g} CPUs and {gpus:g} GPUs for a trial."
                )
            self._check_files(Path(out))
        except BaseException:
            ray.shutdown()
            raise

    def has_room(self) -> bool:
        """Whether the nodes that are there now have resources left."""
        return len(self._running) < self._places()

    def start(self, trial: Trial) -> None:
        """Run a trial on a node that has room."""
        self._running[self._work.remote(trial, str(Path.cwd()))] = trial

    def ended(self, timeout: float) -> list[Ended]:
        """The trials that returned, or whose process or node died."""
        if not self._running:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        return [Ended(self._running.pop(reference), self._error(reference)) for reference in ready]

    def stop(self) -> None:
        """Interrupt the trials, wait until they have saved, and leave the cluster; a local one ends."""
        for reference in self._running:
            self._ray.cancel(reference)
        for reference in self._running:
            self._error(reference)
        self._running = {}
        self._ray.shutdown()

    def _error(self, reference: Any) -> str:
        """What went wrong with a trial, which is waited for."""
        try:
            error: str = self._ray.get(reference)
        except self._ray.exceptions.RayError as lost:
            return f"{type(lost).__name__}: {str(lost).strip().splitlines()[0]}"
        return error

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _places(self) -> int:
        """Trials that the nodes have resources for, with those that run."""
        asked = {name: amount for name, amount in self._resources.items() if amount}
        shares = (
            [node["Resources"].get(name, 0) // amount for name, amount in asked.items()] for node in self._nodes()
        )
        return sum(int(min(share)) for share in shares)

    def _check_files(self, out: Path) -> None:
        """Have every node look for a file that is written now."""
        out.mkdir(parents=True, exist_ok=True)
        mark = out.absolute() / f".{secrets.token_hex(8)}"
        mark.touch()
        try:
            blind = [node["NodeManagerHostname"] for node in self._nodes() if not self._sees(node["NodeID"], mark)]
        finally:
            mark.unlink(missing_ok=True)
        if blind:
            raise ConfigError(
                f"the node {blind[0]} does not see {out.absolute()}. Start the sweep in a folder that all nodes share, "
                "and that is at the same path on each."
            )

    def _sees(self, node_id: str, mark: Path) -> bool:
        """Whether a node sees a file."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(node_id, soft=False)
        look = self._ray.remote(_exists).options(num_cpus=0, scheduling_strategy=here)
        try:
            found: bool = self._ray.get(look.remote(str(mark)), timeout=SECONDS_TO_ANSWER)
        except self._ray.exceptions.RayError as error:
            raise ConfigError(
                f"a node of the cluster cannot run trials: {str(error).strip().splitlines()[-1]}"
            ) from error
        return found


def _exists(path: str) -> bool:
    """On a node: whether a file is there."""
    return Path(path).exists()


def _work(trial: Trial, folder: str) -> str:
    """On a node: run a trial, whose paths are relative to a folder."""
    os.chdir(folder)
    return run_trial(trial)
