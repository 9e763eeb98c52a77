"""Recorded steps taken again in the simulator, where the file holds its states.

For a sample of steps the simulator is put into the recorded state (`infos/qpos`, `infos/qvel`), the recorded action is
applied, and what follows is held against what was recorded. That turns "recorded in v2, simulated in v5" into numbers,
for each version of the environment that can be made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from decision_minrnn.doctor.base import Finding, check
from decision_minrnn.doctor.subject import Subject
from decision_minrnn.envs import Environments
from decision_minrnn.errors import DecisionMinRNNError

SAMPLE = 500
_TERMINAL_SAMPLE = 50
TOLERANCE = 1e-3
"""States stored as float32 lead to next observations and rewards that are off by some 1e-6."""


@dataclass(frozen=True)
class Replay:
    """How far one version of the environment is from the recording, in absolute differences."""

    env_id: str
    steps: int
    state_median: float
    """Of what is seen in the recorded state from the recorded observation."""
    observation_median: float
    observation_max: float
    reward_median: float
    reward_max: float
    terminal_steps: int
    terminal_reward_median: float
    """Of the reward at terminal steps; versions differ in it."""
    terminated_differently: int
    """Steps whose recorded termination is not the simulated one."""
    reward_scale: float
    """Recorded rewards are this many times the simulated ones, by least squares."""
    off: float
    """What `fits` compares: 99th percentile of the differences, or the median at terminal steps, whichever is worst."""

    @property
    def fits(self) -> bool:
        """Whether the recording could have been made in it."""
        return self.off <= TOLERANCE


@check("simulator", after=("layout", "sizes", "alignment"))
def simulator(subject: Subject) -> Iterator[Finding]:
    """The environment leads from the recorded states to the recorded observations and rewards."""
    if subject.raw.positions is None or subject.raw.velocities is None or subject.env_id is None:
        return
    replays: list[Replay] = []
    refused: dict[str, str] = {}
    for env_id in _candidates(subject):
        try:
            replays.append(replay(subject, env_id))
        except DecisionMinRNNError as error:
            refused[env_id] = str(error)
    if not replays:
        reasons = " ".join(refused.values())
        yield Finding("note", f"recorded steps were not simulated again: {reasons}", "", {"refused": refused})
        return
    # where both fit, the one that the recording names
    best = min(replays, key=lambda found: found.off if not found.fits else 0.0)
    own = replays[0]
    values = {"replays": [asdict(found) for found in replays], "refused": refused, "nearest": best.env_id}
    if own.state_median > TOLERANCE:
        yield Finding(
            "error",
            f"infos/qpos and infos/qvel are not the states of the observations in their rows: in {own.env_id} they "
            f"look off by {own.state_median:.3g} (median)",
            "Store the state before each step, in the row of the observation it belongs to.",
            values,
        )
    elif own.fits:
        yield Finding("note", f"{_words(own)}: it fits the recording", "", values)
    else:
        scaled = abs(own.reward_scale - 1) > 0.01
        scale = f"; recorded rewards are {own.reward_scale:.4g} times the simulated ones" if scaled else ""
        advice = f"{best.env_id} fits; name it with --env." if best.fits else f"{best.env_id} is the nearest here."
        yield Finding(
            "warning",
            f"{_words(own)}{scale}",
            f"{advice} Returns reached there need not be those of the recording; say so beside scores.",
            values,
        )


def replay(subject: Subject, env_id: str, seed: int = 0) -> Replay:
    """Take a sample of the recorded steps again; the same seed takes the same steps."""
    raw = subject.raw
    assert raw.positions is not None
    assert raw.velocities is not None
    generator = np.random.default_rng(seed)
    usable = subject.finite & np.isfinite(raw.positions).all(axis=1) & np.isfinite(raw.velocities).all(axis=1)
    inner = _choose(generator, np.flatnonzero(usable[:-1] & subject.inside), SAMPLE)
    last = _choose(generator, np.flatnonzero(usable & raw.terminals), _TERMINAL_SAMPLE)
    rows = np.concatenate([inner, last])
    state, following, rewards = np.zeros(len(rows)), np.zeros(len(inner)), np.zeros(len(rows))
    terminated = np.zeros(len(rows), bool)
    with Environments(env_id) as environments:
        environments.check_sizes(raw.observations.shape[1], raw.actions.shape[1])
        environments.reset(0, seed)
        for place, row in enumerate(rows):
            seen = environments.set_state(0, raw.positions[row], raw.velocities[row])
            step = environments.step(0, raw.actions[row])
            state[place] = np.abs(seen - raw.observations[row]).max()
            rewards[place], terminated[place] = step.reward, step.terminated
            if place < len(inner):
                following[place] = np.abs(step.observation - raw.observations[row + 1]).max()
    return _compare(subject, env_id, rows, len(inner), state, following, rewards, terminated)


def _compare(
    subject: Subject,
    env_id: str,
    rows: Int64[ndarray, " rows"],
    inner: int,
    state: Float64[ndarray, " rows"],
    following: Float64[ndarray, " inner"],
    rewards: Float64[ndarray, " rows"],
    terminated: Bool[ndarray, " rows"],
) -> Replay:
    """Differences between what was simulated at `rows`, the first `inner` of them not terminal, and the recording."""
    recorded = subject.raw.rewards[rows].astype(np.float64)
    wrong = np.abs(rewards - recorded)
    power = float(np.square(rewards).sum())
    last = float(np.median(wrong[inner:])) if inner < len(rows) else 0.0
    return Replay(
        env_id=env_id,
        steps=inner,
        state_median=_median(state),
        observation_median=_median(following),
        observation_max=float(following.max(initial=0)),
        reward_median=_median(wrong[:inner]),
        reward_max=float(wrong[:inner].max(initial=0)),
        terminal_steps=len(rows) - inner,
        terminal_reward_median=last,
        terminated_differently=int((terminated != subject.raw.terminals[rows]).sum()),
        reward_scale=float((rewards * recorded).sum() / power) if power else 1.0,
        off=max(last, *(float(np.quantile(values, 0.99)) if inner else 0.0 for values in (following, wrong[:inner]))),
    )


def _candidates(subject: Subject) -> list[str]:
    """The environment's id first, then the other versions that its card lists."""
    assert subject.env_id is not None
    listed = subject.env.env_ids.values() if subject.env else ()
    stored = (subject.raw.env_id,) if subject.raw.env_id else ()
    return list(dict.fromkeys([subject.env_id, *stored, *listed]))


def _choose(generator: np.random.Generator, rows: ndarray, count: int) -> Int64[ndarray, " rows"]:
    chosen = rows if len(rows) <= count else np.sort(generator.choice(rows, count, replace=False))
    return chosen.astype(np.int64)


def _median(values: ndarray) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _words(found: Replay) -> str:
    ended = f", reward at {found.terminal_steps:,} terminal steps {found.terminal_reward_median:.2g} (median)"
    differently = f", {found.terminated_differently:,} ended differently" if found.terminated_differently else ""
    return (
        f"{found.steps:,} recorded steps taken again in {found.env_id} are off by: next observation "
        f"{found.observation_median:.2g} (median) and {found.observation_max:.2g} (at most), reward "
        f"{found.reward_median:.2g} and {found.reward_max:.2g}{ended if found.terminal_steps else ''}{differently}"
    )
