"""Which environment a dataset belongs to, and the action bounds that follow from it.

The first of these that says something decides: the user's `env`; the dataset's card; the gymnasium id stored in the
file; the beginning of the file's name, if it is that of an environment card (`hopper-….hdf5`, `hopper_….hdf5`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from decision_minrnn.cards import DatasetCard, EnvCard, card_listing, env_card, env_cards
from decision_minrnn.data.base import Recording
from decision_minrnn.data.checks import check_sizes


@dataclass(frozen=True, eq=False)
class EnvChoice:
    """The environment of a dataset."""

    card: EnvCard | None
    env_id: str | None
    choices: int | None
    """How many actions there are to choose from; None where they are vectors."""
    action_low: Float32[ndarray, " action"]
    action_high: Float32[ndarray, " action"]
    notes: tuple[str, ...] = ()
    """What was assumed."""


def choose_environment(
    where: str, recording: Recording, card: DatasetCard | None, path: Path, kind: str, env: str | None
) -> EnvChoice:
    """The environment of a recording. `kind`, `d4rl` or `minari`, picks the gymnasium id where only a card is known.

    Raises `UnknownNameError` for an `env` that is no environment, `DataError` where the sizes do not fit the card.
    """
    notes: list[str] = []
    found: EnvCard | None
    env_id: str | None
    if env is not None:
        found, known_from = env_card(env), f"env={env}"
        env_id = found.choose_id(env, recording.env_id, kind=kind)
    elif card is not None:
        found, known_from, env_id = env_card(card.env), f"the card of {card.name}", card.env_id or None
    elif recording.env_id is not None:
        found, known_from, env_id = card_listing(recording.env_id), "the file itself", recording.env_id
        if found is None:
            notes.append(f"no environment card lists {env_id}, so there are no reference scores")
    else:
        found, known_from, env_id = _guess(path, recording.observations.shape[1]), "its file name", None
        if found is not None:
            env_id = found.choose_id(kind=kind)
            notes.append(f"environment {found.name} guessed from the file name")
    if found is not None:
        check_sizes(where, recording, found, known_from)
        if env_id is None:
            why = found.no_environment or f"the card {found.name} lists none"
            notes.append(f"no gymnasium id to evaluate in: {why}")
    choices = recording.choices
    if found is not None and found.discrete:
        choices = found.action_size or choices or int(recording.actions.max()) + 1
    low, high = recording.action_low, recording.action_high
    if choices is not None:
        low, high = np.zeros(1, np.float32), np.full(1, choices - 1, np.float32)
    elif low is None or high is None:
        size = recording.actions.shape[1]
        if found is not None and found.action_low is not None and found.action_high is not None:
            low, high = np.full(size, found.action_low, np.float32), np.full(size, found.action_high, np.float32)
        elif np.abs(recording.actions).max() <= 1:
            low, high = np.full(size, -1, np.float32), np.full(size, 1, np.float32)
            notes.append("action bounds taken as -1 and 1")
        else:
            low, high = recording.actions.min(axis=0), recording.actions.max(axis=0)
            notes.append("action bounds taken from the recorded actions")
    return EnvChoice(found, env_id, choices, low, high, tuple(notes))


def _guess(path: Path, observation_size: int) -> EnvCard | None:
    """The card whose name a file name begins with; a variant of it (`ant-d4rl` of `ant`) where only that fits."""
    beginning = re.split(r"[-_.]", path.name.lower())[0]
    cards = env_cards()
    variants = [card for name, card in cards.items() if name.startswith(f"{beginning}-")]
    named = cards.get(beginning)
    fitting = [card for card in (named, *variants) if card and card.observation_size in (0, observation_size)]
    return fitting[0] if named and fitting else named
