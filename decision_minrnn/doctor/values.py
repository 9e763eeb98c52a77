"""Checks of the values themselves: layout, sizes, NaN, bounds, empty rows, episodes that are there twice."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from decision_minrnn.data.checks import no_choices
from decision_minrnn.doctor.base import Finding, check, share
from decision_minrnn.doctor.subject import Subject


@check("layout")
def layout(subject: Subject) -> Iterator[Finding]:
    """The arrays are there, with one row a step and at least one finished episode."""
    fault = subject.raw.fault
    if fault is not None:
        yield Finding("error", fault.message, fault.remedy, fault.values)
    elif subject.episodes == 0:
        yield Finding(
            "error",
            f"neither terminals nor timeouts is set in any of {subject.steps:,} steps: no episode has an end",
            "Set timeouts at the last step of each episode that did not terminate.",
            {"steps": subject.steps},
        )


@check("sizes", after=("layout",))
def sizes(subject: Subject) -> Iterator[Finding]:
    """Observations and actions have the sizes of the environment."""
    if subject.misfit:
        observation, action = subject.raw.observations.shape[1], subject.raw.actions.shape[1]
        yield Finding(
            "error",
            subject.misfit,
            "Name the environment it was recorded in with --env.",
            {"observation_size": observation, "action_size": action},
        )


@check("finite", after=("layout",))
def finite(subject: Subject) -> Iterator[Finding]:
    """No NaN and no infinity."""
    for name in ("observations", "actions", "rewards", "next_observations"):
        values = getattr(subject.raw, name)
        if values is None:
            continue
        good = np.isfinite(values)
        faulty = ~(good if good.ndim == 1 else good.all(axis=1))
        if name == "next_observations":
            # told already, as the observation of the next step
            faulty[:-1] &= np.isfinite(subject.raw.observations[1:]).all(axis=1)
        rows = np.flatnonzero(faulty)
        if len(rows):
            nans = int(np.isnan(values[rows]).any(axis=tuple(range(1, values.ndim))).sum())
            yield Finding(
                "error",
                f"{name} holds NaN in {nans:,} and infinity in {len(rows) - nans:,} of {subject.steps:,} steps, "
                f"first at step {rows[0]:,}",
                "Remove the episodes concerned, or record them again.",
                {"array": name, "nan": nans, "infinite": len(rows) - nans, "first": int(rows[0])},
            )


@check("bounds", after=("layout", "sizes"))
def action_bounds(subject: Subject) -> Iterator[Finding]:
    """Actions lie within the environment's bounds (float rounding is forgiven), or are indices of its choices."""
    actions, choices = subject.raw.actions, subject.raw.choices
    if choices is not None:
        wrong = no_choices(actions, choices)
        wrong = wrong[subject.finite[wrong]]
        if len(wrong):
            yield Finding(
                "error",
                f"actions are not whole numbers from 0 to {choices - 1} in {share(len(wrong), subject.steps)} steps, "
                f"first {actions[wrong[0], 0]:g} at step {wrong[0]:,}",
                "Store the index of each choice, counted from 0; or name the right environment with --env.",
                {"steps": len(wrong), "first": int(wrong[0]), "choices": choices},
            )
        return
    margin = 1e-5 * np.maximum(1, np.abs(subject.action_high))
    with np.errstate(invalid="ignore"):
        outside = ((actions < subject.action_low - margin) | (actions > subject.action_high + margin)).any(axis=1)
    outside &= subject.finite
    if outside.any():
        count, farthest = int(outside.sum()), float(np.abs(actions[outside]).max())
        low, high = float(subject.action_low.min()), float(subject.action_high.max())
        yield Finding(
            "warning",
            f"actions lie outside [{low:g}, {high:g}] in {share(count, subject.steps)} steps, up to {farthest:.4g}",
            "The simulator clips them, and a policy cannot produce them: clip the recorded actions, or divide them by "
            "the scale they were stored in.",
            {"steps": count, "farthest": farthest, "low": low, "high": high},
        )


@check("zeros", after=("layout",))
def all_zero(subject: Subject) -> Iterator[Finding]:
    """No rows of zeros: padding that was stored as data; no episodes without any action."""
    raw = subject.raw
    rows = ~raw.observations.any(axis=1)
    empty = rows & ~raw.actions.any(axis=1) & (raw.rewards == 0)
    if rows.any():
        first = int(np.flatnonzero(rows)[0])
        yield Finding(
            "error",
            f"the observation is all zeros in {share(int(rows.sum()), subject.steps)} steps ({int(empty.sum()):,} of "
            f"them with no action and no reward), first at step {first:,}",
            "Remove the padding: only steps that were taken belong into the file.",
            {"steps": int(rows.sum()), "empty_steps": int(empty.sum()), "first": first},
        )
    acted = raw.actions.any(axis=1) if raw.choices is None else np.ones(subject.steps, bool)  # choice 0 is an action
    moved = np.logical_or.reduceat(acted | rows, subject.starts)
    still = np.flatnonzero(~moved)
    if len(still):
        yield Finding(
            "warning",
            f"every action is zero in {share(len(still), subject.episodes)} episodes, first episode {still[0]:,}",
            "Remove these episodes unless doing nothing was meant.",
            {"episodes": len(still), "first": int(still[0])},
        )


@check("duplicates", after=("layout",))
def duplicates(subject: Subject) -> Iterator[Finding]:
    """No episode is there twice, to the bit."""
    seen: dict[bytes, int] = {}
    copies: list[tuple[int, int]] = []
    for index, (start, end) in enumerate(zip(subject.starts, subject.raw.ends + 1, strict=True)):
        content = blake2b(subject.raw.observations[start:end].tobytes(), digest_size=16)
        content.update(subject.raw.actions[start:end].tobytes())
        original = seen.setdefault(content.digest(), index)
        if original != index:
            copies.append((original, index))
    if copies:
        original, index = copies[0]
        yield Finding(
            "warning",
            f"{share(len(copies), subject.episodes)} episodes are copies of earlier ones, first episode {index:,} "
            f"of episode {original:,}",
            "Keep one of each, unless the weight was meant: copies are drawn more often, and a held-out copy is no "
            "held-out episode.",
            {"copies": len(copies), "pairs": [list(pair) for pair in copies[:20]]},
        )
