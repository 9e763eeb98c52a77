"""Checks of where episodes end: limits, cuts, marks that contradict each other, the unfinished piece at the end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from decision_minrnn.doctor.base import Finding, check, share
from decision_minrnn.doctor.subject import Subject


@check("limit", after=("layout", "sizes"))
def limit(subject: Subject) -> Iterator[Finding]:
    """No episode is longer than the card's limit, and one that reaches it is marked as cut, not as terminated."""
    if subject.env is None or not subject.env.episode_limit:
        return
    allowed = subject.env.episode_limit
    longer = np.flatnonzero(subject.lengths > allowed)
    if len(longer):
        yield Finding(
            "error",
            f"{share(len(longer), subject.episodes)} episodes are longer than the {allowed:,} steps of "
            f"{subject.env.name}, the longest has {subject.lengths.max():,}",
            "Mark the ends that are missing, or name the right environment with --env (a card of your own may have "
            "another limit).",
            {"episodes": len(longer), "limit": allowed, "longest": int(subject.lengths.max())},
        )
    at_limit = subject.lengths == allowed
    ended = at_limit & subject.raw.terminals[subject.raw.ends] & ~subject.raw.timeouts[subject.raw.ends]
    # one that falls in its last step is possible; half of them is a mistake in the marks
    if ended.sum() > 1 and ended.sum() > at_limit.sum() / 2:
        yield Finding(
            "warning",
            f"{share(int(ended.sum()), int(at_limit.sum()))} episodes of {allowed:,} steps, the limit, are marked as "
            f"terminated",
            "Set timeouts, not terminals, where the time limit ended the episode.",
            {"episodes": int(ended.sum()), "at_limit": int(at_limit.sum()), "limit": allowed},
        )


@check("cuts", after=("layout", "sizes"))
def cuts(subject: Subject) -> Iterator[Finding]:
    """Episodes are cut by the card's limit alone; the returns-to-go of a piece cut earlier are too low.

    The bias is what whole episodes earn on average after the step at which a piece was cut.
    """
    if subject.env is None or not subject.env.episode_limit:
        return
    ends, allowed = subject.raw.ends, subject.env.episode_limit
    cut = subject.raw.timeouts[ends] & ~subject.raw.terminals[ends] & (subject.lengths < allowed)
    pieces = np.flatnonzero(cut)
    if not len(pieces):
        return
    bias = _missing_return(subject, pieces, np.flatnonzero(~cut & subject.finite_episodes))
    known = "" if bias is None else f"; their returns-to-go are too low by about {bias:,.4g} on average"
    yield Finding(
        "warning",
        f"{share(len(pieces), subject.episodes)} episodes are cut before the limit of {allowed:,} steps without "
        f"terminating, after {subject.lengths[pieces].mean():,.0f} steps on average{known}",
        "Leave these episodes out, or know that a policy is told too low a return for what it sees there.",
        {
            "episodes": len(pieces),
            "limit": allowed,
            "mean_length": float(subject.lengths[pieces].mean()),
            "return_to_go_bias": bias,
        },
    )


def _missing_return(subject: Subject, pieces: np.ndarray, whole: np.ndarray) -> float | None:
    """What whole episodes earn after the length of each piece, averaged over both; None without longer episodes."""
    rewards = np.where(subject.finite, subject.raw.rewards, 0).astype(np.float64)
    total = np.concatenate([[0.0], np.cumsum(rewards)])
    rests = []
    for length in subject.lengths[pieces]:
        longer = whole[subject.lengths[whole] > length]
        if len(longer):
            rests.append(float((total[subject.raw.ends[longer] + 1] - total[subject.starts[longer] + length]).mean()))
    return float(np.mean(rests)) if rests else None


@check("marks", after=("layout",))
def marks(subject: Subject) -> Iterator[Finding]:
    """End marks stand at ends, one kind at each; what comes after the last one has no end."""
    raw = subject.raw
    marked = raw.terminals | raw.timeouts
    marked[raw.ends] = False
    if marked.any():
        yield Finding(
            "error",
            f"{int(marked.sum()):,} steps inside episodes are marked as ends, first step {np.flatnonzero(marked)[0]:,}",
            "Split these episodes at the marks, or clear the marks.",
            {"steps": int(marked.sum()), "first": int(np.flatnonzero(marked)[0])},
        )
    both = int((raw.terminals & raw.timeouts)[raw.ends].sum())
    if both:
        yield Finding(
            "note",
            f"{share(both, subject.episodes)} episodes are marked as terminated and as cut at the same step",
            "They count as both; nothing needs to be done.",
            {"episodes": both},
        )
    if subject.unfinished:
        yield Finding(
            "note",
            f"the last {subject.unfinished:,} steps are an episode without an end",
            "They are left out of training and of the statistics; their returns-to-go are not known.",
            {"steps": subject.unfinished},
        )
