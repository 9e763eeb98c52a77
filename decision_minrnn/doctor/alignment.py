"""Checks of what follows what: does row t+1 hold what (observation, action) of row t led to?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from decision_minrnn.doctor.base import Finding, check, share
from decision_minrnn.doctor.dynamics import action_gains, jumps, start_jump, start_spread
from decision_minrnn.doctor.subject import Subject

_LEAST_GAIN = 0.02
"""Share of the variance that actions must explain for their alignment to be judged."""


@check("alignment", after=("layout",))
def alignment(subject: Subject) -> Iterator[Finding]:
    """Observations and actions of a row belong together: no shift, and none that grows with every episode."""
    drift = _drift(subject)
    if drift is not None:
        yield drift
        return
    gains = action_gains(subject)
    if gains is None:
        yield Finding("note", "too few steps in a row to tell from the dynamics whether rows are shifted")
        return
    values = {"explained_by_action_at_lag": {str(lag): round(gain, 4) for lag, gain in gains.items()}}
    best = max(gains, key=lambda lag: gains[lag])
    if gains[best] < _LEAST_GAIN:
        yield Finding(
            "note",
            f"actions explain {max(gains[best], 0):.1%} of the change of observations: too little to tell from the "
            f"dynamics whether rows are shifted",
            "Check by hand that row t holds the observation on which action t was taken.",
            values,
        )
    elif best != 0 and gains[best] > 1.2 * max(gains[0], 0):
        late, early = ("actions", "observations") if best > 0 else ("observations", "actions")
        yield Finding(
            "error",
            f"{late} are stored {abs(best)} rows too late against {early}: from row t to t+1 the action of row "
            f"t{best:+d} explains {gains[best]:.0%} of the change, that of row t {max(gains[0], 0):.0%}",
            "Shift them inside each episode, so that row t holds the observation on which action t was taken.",
            {"shift": best, **values},
        )


def _drift(subject: Subject) -> Finding | None:
    """T+1 observations an episode joined with T actions, or the reverse: episode k is shifted by k rows."""
    if subject.finite_episodes.sum() < 5:
        return None
    spread = {drift: start_spread(subject, drift) for drift in (-1, 0, 1)}
    best = min(spread, key=lambda drift: spread[drift])
    if best == 0 or spread[best] > 0.2 * spread[0] or start_jump(subject, best) < 2 * start_jump(subject, 0):
        return None
    counts = "T+1 observations" if best > 0 else "T-1 observations"
    return Finding(
        "error",
        f"observations drift by {best:+d} row with every episode: {counts} an episode were joined with T actions",
        "Leave out the last observation of each episode before the arrays are joined, and write the file again."
        if best > 0
        else "An observation of each episode was lost: write the file again from its source.",
        {"drift": best, "start_spread": {str(drift): round(value, 5) for drift, value in spread.items()}},
    )


@check("boundaries", after=("layout", "alignment", "zeros"))
def boundaries(subject: Subject) -> Iterator[Finding]:
    """Where the dynamics jump to a start there is an end mark, and where there is a mark they do not run on."""
    judged = jumps(subject)
    if judged is None:
        yield Finding("note", "end marks cannot be held against the dynamics: too few episodes, or starts of any kind")
        return
    unmarked = np.flatnonzero(judged.resets & subject.inside)
    if len(unmarked):
        yield Finding(
            "error",
            f"an episode begins without an end mark before it in {len(unmarked):,} places, first after step "
            f"{unmarked[0]:,}: two episodes are fused",
            "Set terminals or timeouts at these steps; returns-to-go of the fused episodes are wrong.",
            {"places": len(unmarked), "first": int(unmarked[0]), "steps": unmarked[:20].tolist()},
        )
    ends = subject.raw.ends[subject.raw.ends < subject.steps - 1]
    ends = ends[subject.finite[ends] & subject.finite[ends + 1]]
    running = ends[judged.steps[ends]]
    if len(running):
        yield Finding(
            "error",
            f"{share(len(running), len(ends))} episodes run on after their end mark, first at step {running[0]:,}: "
            f"the next row is the next step of the same motion",
            "Clear terminals and timeouts at these steps, or know why the recording was split there.",
            {"places": len(running), "first": int(running[0]), "steps": running[:20].tolist()},
        )


@check("next_observations", after=("layout", "alignment"))
def next_observations(subject: Subject) -> Iterator[Finding]:
    """Inside an episode, the stored next observation is the observation of the next row."""
    stored, observations = subject.raw.next_observations, subject.raw.observations
    if stored is None:
        return
    if stored.shape != observations.shape:
        yield Finding(
            "error",
            f"next_observations has the shape {list(stored.shape)}, observations {list(observations.shape)}",
            "Store one next observation a step, or leave the array out: it is not used in training.",
        )
        return
    judged = jumps(subject)
    rows = subject.inside & ~judged.resets if judged is not None else subject.inside
    with np.errstate(invalid="ignore"):
        off = np.abs(stored[:-1] - observations[1:]).max(axis=1)
    # files that store float64 in one array and float32 in the other are as far apart as rounding
    wrong = np.flatnonzero(rows & (off > 1e-4 * np.maximum(1, np.abs(observations[1:]).max(axis=1))))
    if len(wrong):
        yield Finding(
            "error",
            f"next_observations differs from the next row inside an episode in {share(len(wrong), int(rows.sum()))} "
            f"steps, first at step {wrong[0]:,}, by up to {off[wrong].max():.4g}",
            "One of the two arrays is shifted, or steps are missing: check how the file was written.",
            {"steps": len(wrong), "first": int(wrong[0]), "largest": float(off[wrong].max())},
        )
