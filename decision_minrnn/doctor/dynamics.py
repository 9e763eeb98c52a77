"""What the recorded dynamics say: which row follows which, without a simulator.

The rule is a linear one, fitted by least squares: z_{t+1} - z_t from (z_t, a_t, 1), with z the standardised
observations. It explains a good part of the change in any continuous control task, and hardly any where the action
belongs to another step; a reset to the start of an episode is far outside of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from decision_minrnn.doctor.subject import Subject

LAGS = (-2, -1, 0, 1, 2)
_SAMPLE = 20_000
_FEWEST = 200
"""Fewer rows than this fit no rule worth a finding."""


def action_gains(subject: Subject) -> dict[int, float] | None:
    """How much of the change of an observation the action `lag` steps later explains, beyond the observation itself.

    The share of variance explained on rows held out from the fit; None where there are too few rows.
    """
    farthest = max(LAGS)
    inside = subject.inside
    run = np.ones(len(inside) - 2 * farthest, bool) if len(inside) > 2 * farthest else np.zeros(0, bool)
    for shift in range(2 * farthest + 1):
        run &= inside[shift : shift + len(run)]
    rows = _sample(np.flatnonzero(run) + farthest)
    if len(rows) < _FEWEST:
        return None
    z, change = _standardised(subject, rows), _change(subject, rows)
    without = _explained(z, change)
    return {lag: _explained(np.hstack([z, subject.actions[rows + lag]]), change) - without for lag in LAGS}


def start_spread(subject: Subject, drift: int) -> float:
    """How unlike each other the observations are at row `start of episode k + drift * k`, over the episodes k.

    The median distance from their median, in deviations of all observations: small where these rows are resets.
    """
    values = subject.raw.observations[_drifting_starts(subject, drift)] / subject.scale
    return float(np.median(np.abs(values - np.median(values, axis=0)).mean(axis=1)))


def start_jump(subject: Subject, drift: int) -> float:
    """How far these observations are from those of the rows before them: the median, in the same deviations.

    Large where they are resets. A controller that holds still makes rows alike too, but they do not jump.
    """
    rows = _drifting_starts(subject, drift)
    rows = rows[(rows > 0) & subject.finite[rows - 1]]
    change = (subject.raw.observations[rows] - subject.raw.observations[rows - 1]) / subject.scale
    return float(np.median(np.abs(change).mean(axis=1)))


def _drifting_starts(subject: Subject, drift: int) -> Int64[ndarray, " rows"]:
    rows = subject.starts + drift * np.arange(subject.episodes)
    rows = rows[(rows >= 0) & (rows < subject.steps)]
    return rows[subject.finite[rows]]


class Jumps(NamedTuple):
    """Which transitions from row t to t+1 look like a reset, and which like a step."""

    resets: Bool[ndarray, " steps-1"]
    """Far outside the rule, and to where episodes start."""
    steps: Bool[ndarray, " steps-1"]
    """Within the rule, and not to where episodes start."""


def jumps(subject: Subject) -> Jumps | None:
    """Judge every transition; None where there are too few of them, or where episodes start anywhere."""
    inside, starts = subject.inside, subject.starts[subject.finite[subject.starts]]
    rows = _sample(np.flatnonzero(inside))
    if len(rows) < _FEWEST or len(starts) < 5:
        return None
    actions = subject.actions
    nearness = _distance_from_start(subject, starts)
    near = nearness[1:] <= 4 * np.median(nearness[starts])
    if near[inside].mean() > 0.01:
        return None

    weights = _fit(_inputs(_standardised(subject, rows), actions[rows]), _change(subject, rows))
    every = slice(0, subject.steps - 1)
    residual = _change(subject, every) - _inputs(_standardised(subject, every), actions[every]) @ weights
    size = np.abs(residual[rows])
    deviation = np.minimum(size, np.quantile(size, 0.99, axis=0)).std(axis=0) + 1e-9
    with np.errstate(invalid="ignore"):
        distance = np.sqrt(np.square(residual / deviation).mean(axis=1))
    usual = float(np.quantile(distance[rows], 0.99))
    return Jumps(resets=(distance > 4 * usual) & near, steps=(distance < 4 * usual) & ~near)


def _change(subject: Subject, rows: ndarray | slice) -> ndarray:
    """z_{t+1} - z_t."""
    observations = subject.raw.observations
    change: ndarray = (observations[1:][rows] - observations[:-1][rows]) / subject.scale
    return change


def _standardised(subject: Subject, rows: ndarray | slice) -> ndarray:
    """z_t."""
    z: ndarray = (subject.raw.observations[rows] - subject.mean) / subject.scale
    return z


def _distance_from_start(subject: Subject, starts: ndarray) -> Float64[ndarray, " steps"]:
    """How far each observation is from the usual first one, in deviations of first observations."""
    first = subject.raw.observations[starts].astype(np.float64)
    centre = np.median(first, axis=0)
    deviation = np.maximum(1.4826 * np.median(np.abs(first - centre), axis=0), 1e-4 * subject.scale)
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.square((subject.raw.observations - centre) / deviation).mean(axis=1))


def _sample(rows: ndarray) -> ndarray:
    """At most `_SAMPLE` rows, spread evenly."""
    return rows if len(rows) <= _SAMPLE else rows[np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64)]


def _inputs(*columns: ndarray) -> ndarray:
    """The columns and a constant one."""
    return np.hstack([*columns, np.ones((len(columns[0]), 1), columns[0].dtype)])


def _fit(inputs: ndarray, targets: ndarray) -> ndarray:
    # by the normal equations: many rows, few columns, and these are standardised
    inputs = inputs.astype(np.float64)
    weights: ndarray = np.linalg.lstsq(inputs.T @ inputs, inputs.T @ targets.astype(np.float64), rcond=1e-10)[0]
    return weights.astype(np.float32)


def _explained(inputs: ndarray, targets: ndarray) -> float:
    """Share of variance that a linear rule fitted on the even rows explains on the odd ones."""
    inputs = _inputs(inputs)
    rest = targets[1::2] - inputs[1::2] @ _fit(inputs[::2], targets[::2])
    return float(1 - np.square(rest).sum() / np.square(targets[1::2] - targets[1::2].mean(axis=0)).sum())
