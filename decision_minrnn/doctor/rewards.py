"""Checks of what returns mean: the scale of rewards, the references, the environment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from decision_minrnn.cards import env_cards
from decision_minrnn.doctor.base import Finding, check
from decision_minrnn.doctor.subject import Subject
from decision_minrnn.scores import normalized_score

_SMALLEST = 0.02
"""Returns are too small below this share of what an expert earns over a random policy in as many steps."""
_LARGEST = 200.0
"""Normalised scores are too large beyond this."""


@check("environment", after=("layout",))
def environment(subject: Subject) -> Iterator[Finding]:
    """Which environment it belongs to, and how that is known."""
    how = "".join(f"; {note}" for note in subject.env_notes)
    if subject.env_id is not None or subject.env is not None:
        stored = subject.raw.env_id
        origin = "as the file says" if stored is not None and stored == subject.env_id else "not stored in the file"
        if stored is not None and stored != subject.env_id:
            origin = f"the file says {stored}"
        yield Finding(
            "note",
            f"environment {subject.env_id or (subject.env.name if subject.env else '')}, {origin}{how}",
            "" if stored is not None else "Store metadata/env_id in the file, or give --env.",
            {"env_id": subject.env_id, "stored": stored, "env": subject.env.name if subject.env else None},
        )
    else:
        yield Finding(
            "note",
            f"the environment is not known{how}{_fitting(subject)}; limits, sizes and reward scale are not checked",
            "Give it with --env, or store metadata/env_id in the file.",
            {"env_id": None, "stored": None, "env": None},
        )


def _fitting(subject: Subject) -> str:
    """Which cards have the recording's sizes."""
    sizes = subject.raw.observations.shape[1], subject.raw.actions.shape[1]
    names = [card.name for card in env_cards().values() if (card.observation_size, card.action_size) == sizes]
    return f"; the sizes are those of {' and '.join(names)}" if names else ""


@check("rewards", after=("layout", "sizes"))
def reward_scale(subject: Subject) -> Iterator[Finding]:
    """Rewards are finite, not all equal to zero, and on the scale of the references."""
    returns = subject.returns[subject.finite_episodes]
    if not len(returns):
        return
    if not subject.raw.rewards[subject.finite].any():
        yield Finding(
            "error", "every reward is zero", "Store the rewards: without them there is no return to condition on."
        )
        return
    if not subject.references:
        return
    name, reference = next(iter(subject.references.items()))
    scores = np.asarray(normalized_score(returns, reference))
    largest = float(np.abs(returns).max())
    values = {
        "reference": name,
        "largest_return": largest,
        "normalized_mean": float(scores.mean()),
        "normalized_max": float(scores.max()),
    }
    span = reference.max - reference.min
    longest = int(subject.lengths.max())
    # a short episode cannot have earned much
    limit = subject.env.episode_limit if subject.env else 0
    expected = span * (min(1, longest / limit) if limit else 1)
    if largest < _SMALLEST * expected:
        problem = f"the largest return of episodes of up to {longest:,} steps is {largest:.4g}"
    elif scores.max() > _LARGEST or scores.min() < -_LARGEST:
        problem = f"normalised scores range from {scores.min():,.0f} to {scores.max():,.0f}"
    else:
        return
    yield Finding(
        "warning",
        f"rewards are not on the scale of the reference {name} ({reference.min:g} to {reference.max:g}): {problem}",
        "Undo a scaling or normalisation of the rewards, or name the right environment with --env; targets and scores "
        "are given on the reference's scale.",
        values,
    )
