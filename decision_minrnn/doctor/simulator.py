"""Recorded steps taken again in the simulator, where the file holds its states.

For a sample of steps the simulator is put into the recorded state (`infos/qpos`, `infos/qvel`), the recorded actions
are applied, and what follows is held against what was recorded. That turns "recorded in v2, simulated in v5" into
numbers, for each version of the environment that can be made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Int64
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
    """Of what is seen in the recorded state from the recorded observation, in what follows from a state alone."""
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
    """Take a sample of the recorded steps again; the same seed takes the same steps.

    Each sample is two steps: from the recorded state with the recorded action to the next observation, and on from
    there with the next action, of which the reward is compared. Ant measures its speed from what the step before has
    left behind in the simulator, and setting a state wipes that out.
    """
    raw = subject.raw
    assert raw.positions is not None
    assert raw.velocities is not None
    generator = np.random.default_rng(seed)
    usable = subject.inside & np.isfinite(raw.positions[:-1]).all(axis=1) & np.isfinite(raw.velocities[:-1]).all(axis=1)
    ended = raw.terminals[1:]
    inner = _choose(generator, np.flatnonzero(usable & ~ended), SAMPLE)
    rows = np.concatenate([inner, _choose(generator, np.flatnonzero(usable & ended), _TERMINAL_SAMPLE)])
    size = raw.observations.shape[1]
    seen, following = np.zeros((len(rows), size)), np.zeros((len(rows), size))
    rewards, terminated = np.zeros(len(rows)), np.zeros(len(rows), bool)
    # what is seen in a state whatever came before it; contact forces are not of that kind
    of_state = np.ones(size, bool)
    with Environments(env_id, card=subject.env) as environments:
        environments.check_sizes(size, raw.choices or raw.actions.shape[1], raw.choices is not None)
        environments.reset(0, seed)
        for place, row in enumerate(rows):
            state = raw.positions[row], raw.velocities[row]
            seen[place] = environments.set_state(0, *state)
            following[place] = environments.step(0, raw.actions[row]).observation
            second = environments.step(0, raw.actions[row + 1])
            rewards[place], terminated[place] = second.reward, second.terminated
            of_state &= np.abs(environments.set_state(0, *state) - seen[place]) <= TOLERANCE
    state_off = np.abs(seen - raw.observations[rows])[:, of_state].max(axis=1, initial=0)
    observation_off = np.abs(following - raw.observations[rows + 1]).max(axis=1, initial=0)
    recorded = raw.rewards[rows + 1].astype(np.float64)
    reward_off, last_off = np.split(np.abs(rewards - recorded), [len(inner)])
    power = float(np.square(rewards).sum())
    return Replay(
        env_id=env_id,
        steps=len(inner),
        state_median=_quantile(state_off, 0.5),
        observation_median=_quantile(observation_off, 0.5),
        observation_max=_quantile(observation_off, 1),
        reward_median=_quantile(reward_off, 0.5),
        reward_max=_quantile(reward_off, 1),
        terminal_steps=len(last_off),
        terminal_reward_median=_quantile(last_off, 0.5),
        terminated_differently=int((terminated != ended[rows]).sum()),
        reward_scale=float((rewards * recorded).sum() / power) if power else 1.0,
        off=max(_quantile(observation_off, 0.99), _quantile(reward_off, 0.99), _quantile(last_off, 0.5)),
    )


def _candidates(subject: Subject) -> list[str]:
    """The environment's id first, then the other versions that its card lists."""
    assert subject.env_id is not None
    listed = subject.env.ids if subject.env else ()
    stored = (subject.raw.env_id,) if subject.raw.env_id else ()
    return list(dict.fromkeys([subject.env_id, *stored, *listed]))


def _choose(generator: np.random.Generator, rows: ndarray, count: int) -> Int64[ndarray, " rows"]:
    chosen = rows if len(rows) <= count else np.sort(generator.choice(rows, count, replace=False))
    return chosen.astype(np.int64)


def _quantile(values: ndarray, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else 0.0


def _words(found: Replay) -> str:
    ended = f", reward at {found.terminal_steps:,} terminal steps {found.terminal_reward_median:.2g} (median)"
    differently = f", {found.terminated_differently:,} ended differently" if found.terminated_differently else ""
    return (
        f"{found.steps:,} recorded steps taken again in {found.env_id} are off by: next observation "
        f"{found.observation_median:.2g} (median) and {found.observation_max:.2g} (at most), reward "
        f"{found.reward_median:.2g} and {found.reward_max:.2g}{ended if found.terminal_steps else ''}{differently}"
    )
