"""Evaluations in bad environments and with workers: a fault costs its own episode and no other, and none is silent."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from faulty import FAULTY, STEP
from gymnasium.envs.registration import registry
from ledger import Ledger
from tiny import LEDGER, hopper_model, random_model

from decision_minrnn.envs import Environments
from decision_minrnn.episodes import EpisodeResult
from decision_minrnn.errors import ConfigError, EvaluationError
from decision_minrnn.evaluation import Evaluation, Failure
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate
from decision_minrnn.workers import Workers

EPISODES = 7


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test writes which seeds are to fail, and how."""
    path = tmp_path / "faults"
    path.write_text("")
    monkeypatch.setenv("DECISION_MINRNN_FAULTS", str(path))
    return path


def evaluated(env_id: str = FAULTY, **settings: Any) -> Evaluation:
    return evaluate(
        Policy(random_model()), env_id, [10.0], **{"episodes": EPISODES, "seed": 0, "environments": 4} | settings
    )


def without(evaluation: Evaluation, *seeds: int) -> tuple[float, ...]:
    """The returns of the other seeds."""
    return tuple(value for seed, value in enumerate(evaluation.targets[0].returns) if seed not in seeds)


@pytest.mark.parametrize(
    ("fault", "step", "reason"),
    [
        ("step", STEP, "ValueError: cannot be stepped"),
        ("reset", 0, "ValueError: cannot be reset"),
        ("observation", STEP, "an observation that is not finite"),
        ("reward", STEP, "a reward that is not finite"),
    ],
)
def test_an_environment_that_fails_costs_its_episode_and_no_other(
    faults: Path, fault: str, step: int, reason: str
) -> None:
    sound = evaluated(LEDGER)
    faults.write_text(f"{fault} 1\n{fault} 5")
    ended: list[EpisodeResult] = []
    (row,) = evaluated(on_episode=ended.append).targets
    assert {result.seed for result in ended if math.isnan(result.episode_return)} == {1, 5}
    assert row.failures == (Failure(1, step, reason), Failure(5, step, reason))
    assert row.returns == without(sound, 1, 5)
    assert row.episodes == 5
    assert row.return_mean == pytest.approx(sum(row.returns) / 5)


def test_if_all_fail_the_error_says_why(faults: Path) -> None:
    faults.write_text("\n".join(f"step {seed}" for seed in range(EPISODES)))
    with pytest.raises(
        EvaluationError, match=r"all 7 episodes at target 10 failed.*seed 0, at step 2: ValueError: can"
    ):
        evaluated()


def test_faults_in_worker_processes(faults: Path) -> None:
    # in turn: an exception, a step that hangs, a worker that dies once, and an episode in which it always does
    sound = evaluated(LEDGER)
    faults.write_text("step 0\nhang 1\nkill-once 3\nkill 6")
    (row,) = evaluated(workers=2, step_timeout=0.5).targets
    assert [(failure.seed, failure.step) for failure in row.failures] == [(0, STEP), (1, STEP), (6, STEP)]
    reasons = [failure.reason for failure in row.failures]
    assert reasons[:2] == ["ValueError: cannot be stepped", "no answer within 0.5 s"]
    assert reasons[2] == "the worker process died (exit code -9)"
    assert row.returns == without(sound, 0, 1, 6)
    assert (faults.parent / "kill-once 3").exists()


def test_a_worker_that_is_killed_is_replaced_and_nothing_else_changes() -> None:
    policy, seeds = Policy(random_model()), range(30)
    expected = evaluate(policy, LEDGER, [10.0, 20.0], episodes=30, seed=0).targets
    with Environments(LEDGER) as template, Workers(policy, template, 6, 2) as workers:
        first = processes(workers)

        def kill(result: object) -> None:
            if processes(workers)[0] == first[0]:
                os.kill(first[0], signal.SIGKILL)

        results = workers.rollout(10.0, seeds, kill)
        second = processes(workers)
        assert [new == old for new, old in zip(second, first, strict=True)] == [False, True]
        os.kill(first[1], signal.SIGKILL)  # between two targets
        more = workers.rollout(20.0, seeds)
        assert [new == old for new, old in zip(processes(workers), second, strict=True)] == [True, False]
    assert tuple(result.episode_return for result in results) == expected[0].returns
    assert tuple(result.episode_return for result in more) == expected[1].returns
    assert expected[0].returns != expected[1].returns


def processes(workers: Workers) -> list[int]:
    return [worker.process.pid or 0 for worker in workers._workers]


def test_what_is_sampled_does_not_depend_on_workers() -> None:
    model = random_model(observation_size=4, action_size=2, discrete=True, action_low=(), action_high=())
    settings: dict[str, Any] = {"episodes": 9, "seed": 0, "environments": 6}
    drawn, with_workers, likeliest = (
        evaluate(Policy(model, sampled=sampled), "CartPole-v1", [50.0, 9.0], workers=workers, **settings).targets
        for sampled, workers in ((True, 0), (True, 2), (False, 0))
    )
    assert drawn == with_workers
    assert drawn != likeliest


class SlowPolicy(Policy):
    """Takes its time before it acts."""

    def act(self, *arguments: Any) -> Any:
        time.sleep(1.1)
        return super().act(*arguments)


def test_a_step_is_not_blamed_for_a_policy_that_takes_longer() -> None:
    settings: dict[str, Any] = {"episodes": 1, "seed": 0}
    expected = evaluate(Policy(random_model()), LEDGER, [10.0], **settings).targets
    settings |= {"workers": 1, "step_timeout": 0.5}
    assert evaluate(SlowPolicy(random_model()), LEDGER, [10.0], **settings).targets == expected


class FailingPolicy(Policy):
    """Cannot act."""

    def act(self, *arguments: Any) -> Any:
        raise RuntimeError("no action")


def test_a_policy_that_fails_ends_the_evaluation() -> None:
    with pytest.raises(EvaluationError, match="a worker process failed: RuntimeError: no action"):
        evaluate(FailingPolicy(random_model()), LEDGER, [10.0], workers=1)


class DeadlyPolicy(Policy):
    """Ends its process."""

    def act(self, *arguments: Any) -> Any:
        os._exit(3)


@pytest.mark.slow
def test_a_policy_that_ends_its_process_ends_the_evaluation() -> None:
    with pytest.raises(EvaluationError, match="processes die, last with exit code 3, while the policy acts"):
        evaluate(DeadlyPolicy(random_model()), LEDGER, [10.0], workers=1)


def test_a_policy_that_cannot_be_sent() -> None:
    class Local(Policy):
        pass

    with pytest.raises(ConfigError, match=r"this policy cannot be sent to other processes .*Local"):
        evaluate(Local(random_model()), LEDGER, [10.0], workers=1)


@pytest.fixture
def env_id() -> Iterator[str]:
    """An id for a test to register."""
    name = "decision-minrnn-tests/Passing-v0"
    yield name
    registry.pop(name)


def test_an_environment_that_cannot_be_sent(env_id: str) -> None:
    gymnasium.register(env_id, lambda: Ledger())
    with pytest.raises(ConfigError, match=r"cannot be made in other processes .*register it with a class or function"):
        evaluated(env_id, workers=1)


def made_in_one_process() -> Ledger:
    if multiprocessing.parent_process() is not None:
        raise OSError("no licence")
    return Ledger()


def test_an_environment_that_cannot_be_made_in_a_worker(env_id: str) -> None:
    gymnasium.register(env_id, made_in_one_process)
    with pytest.raises(EvaluationError, match="could not make its policy and environments: OSError: no licence"):
        evaluated(env_id, workers=1)


ENDLESS = """
if __name__ == "__main__":
    import multiprocessing
    import signal
    import faulty
    import tiny
    from decision_minrnn.policy import Policy
    from decision_minrnn.rollout import evaluate

    def show(result):
        if result.seed == 20:
            print(*[process.pid for process in multiprocessing.active_children()], flush=True)

    # a shell that starts the tests in the background has them ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = {"episodes": 10**5, "seed": 0, "environments": 4, "workers": 2}
    evaluate(Policy(tiny.random_model()), faulty.FAULTY, [1.0], on_episode=show, **settings)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_evaluation(number: signal.Signals, tmp_path: Path, faults: Path) -> None:
    faults.write_text("hang 1")  # one worker is in the middle of a step, the other at work
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        # Ctrl-C reaches all processes of a terminal, a kill the one
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        assert process.wait(60) != 0
        deadline = time.monotonic() + 60
        while any(map(runs, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(runs, workers))
    finally:
        # what this test would find must not go on after it
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    """Whether a process is there, and no zombie that only waits to be noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_a_thousand_episodes_leave_nothing_behind(faults: Path) -> None:
    # some of which fail, so that environments and a worker are replaced
    faults.write_text("\n".join(["kill-once 7", *(f"step {seed}" for seed in range(0, 1000, 50))]))
    for settings in ({}, {"workers": 2}):
        memory: list[int] = []
        handles: list[int] = []

        def measure(result: object, memory: list[int] = memory, handles: list[int] = handles) -> None:
            memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            handles.append(len(list(Path("/proc/self/fd").iterdir())))

        # the first evaluation of a process fills its caches
        evaluated(episodes=1000, environments=200, **settings)
        (row,) = evaluated(episodes=1000, environments=200, on_episode=measure, **settings).targets
        assert len(row.failures) == 20
        assert abs(np.mean(memory[-100:]) - np.mean(memory[:100])) < 2e6
        assert max(handles[-100:]) <= max(handles[:100])


@pytest.mark.slow
def test_long_episodes_leave_nothing_behind() -> None:
    model, memory = hopper_model(), []

    def measure(result: object) -> None:
        memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    evaluate(Policy(model), "Hopper-v5", [1000.0], episodes=200, environments=50, on_episode=measure)
    assert abs(np.mean(memory[-20:]) - np.mean(memory[:20])) < 2e6


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_result_does_not_depend_on_workers(workers: int) -> None:
    policy = Policy(hopper_model())
    expected = evaluate(policy, "Hopper-v5", [1000.0, 0.0], episodes=22)
    assert evaluate(policy, "Hopper-v5", [1000.0, 0.0], episodes=22, workers=workers).targets == expected.targets


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": -1}, "at least 0, got -1"),
        ({"step_timeout": 1.0}, "ended only with its process"),
        ({"step_timeout": 0.0, "workers": 1}, "seconds above 0, got 0"),
        ({"env_id": "Hopper-v5", "workers": 1}, "Hopper-v5 has observations of size 11"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluated(**{"env_id": LEDGER} | settings)
