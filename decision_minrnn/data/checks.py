"""Checks that every reader runs on what it read, so that a damaged dataset is refused with its fault and its place.

`where` is the file or dataset named in the message. Each function returns nothing and raises `DataError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from decision_minrnn.cards import EnvCard
from decision_minrnn.data.base import Recording
from decision_minrnn.errors import DataError

MAX_EXPANSION = 1032
"""How many times longer than its compressed form data can be (zlib's technical notes, of deflate)."""


def check_file(path: Path) -> None:
    """An existing, non-empty file."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; a file was expected.")
    if not path.exists():
        raise DataError(f"there is no file {path}.")
    if path.stat().st_size == 0:
        raise DataError(f"the file {path} is empty (0 bytes). Copy or download it again.")


def check_claim(where: str, name: str, claimed: int, stored: int) -> None:
    """So many bytes can lie in a file or folder of `stored` bytes; asked before memory is taken for them."""
    if claimed > MAX_EXPANSION * stored:
        raise DataError(
            f"{where} is damaged: {name} claims {claimed:,} bytes, more than {stored:,} bytes can hold. "
            f"Copy or download it again."
        )


def check_lengths(where: str, lengths: Mapping[str, int]) -> None:
    """Every array has the same number of rows, and there is at least one."""
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise DataError(
            f"{where}: the arrays have unequal lengths ({listed}). Each needs one row per step; "
            f"a recording with T+1 observations an episode must be stored in Minari's layout."
        )
    if not any(lengths.values()):
        raise DataError(f"{where}: there are no steps in it.")


def check_dimensions(where: str, name: str, shape: tuple[int, ...], axes: tuple[str, ...]) -> None:
    """An array has the axes it should have, none of them empty but the first."""
    if len(shape) != len(axes) or 0 in shape[1:]:
        raise DataError(f"{where}: {name} should have the shape [{', '.join(axes)}], but has {list(shape)}.")


def check_finite(where: str, name: str, values: Float32[ndarray, "steps ..."]) -> None:
    """No NaN and no infinity; the message counts the bad steps and names the first."""
    # A float64 sum of finite float32 values cannot overflow, so one pass without a temporary array decides.
    with np.errstate(invalid="ignore"):  # infinities of both signs
        total = values.sum(dtype=np.float64)
    if np.isfinite(total):
        return
    finite = np.isfinite(values)
    bad = np.flatnonzero(~(finite if finite.ndim == 1 else finite.all(axis=1)))
    kind = "NaN" if np.isnan(values).any() else "infinite values"
    raise DataError(
        f"{where}: {name} holds {kind} in {len(bad):,} of {len(values):,} steps, first at step {bad[0]:,}. "
        f"Remove the episodes concerned, or record them again."
    )


def check_recording(where: str, recording: Recording) -> None:
    """Finite values, and at least one episode of at least one step."""
    if len(recording.terminated) == 0:
        raise DataError(f"{where}: there is no complete episode in it.")
    empty = np.flatnonzero(np.diff(recording.offsets) < 1)
    if len(empty):
        raise DataError(f"{where}: {len(empty):,} episodes have no steps, first episode {empty[0]:,}.")
    check_finite(where, "observations", recording.observations)
    check_finite(where, "actions", recording.actions)
    check_finite(where, "rewards", recording.rewards)


def check_sizes(where: str, recording: Recording, card: EnvCard, known_from: str) -> None:
    """Observations and actions have the sizes of the environment card; `known_from` says why that card was chosen."""
    if recording.choices is not None and card.action_size and not card.discrete:
        raise DataError(
            f"{where}: the actions are whole numbers, one a step: choices. The environment {card.name} (known from "
            f"{known_from}) has vectors of numbers as actions. Store them as numbers with a fraction, or say in the "
            f"environment's card that it is discrete."
        )
    for name, found, expected in (
        ("observations", recording.observations.shape[1], card.observation_size),
        ("actions", recording.actions.shape[1], 1 if card.discrete else card.action_size),
    ):
        if expected and found != expected:
            raise DataError(
                f"{where}: the {name} have {found} dimensions, but the environment {card.name} has {expected} "
                f"(environment known from {known_from}). Give the environment it was recorded in with --env "
                f"(env=… in Python): a card's name, a gymnasium id or the path of a card."
            )


def check_choices(where: str, actions: Float32[ndarray, "steps 1"], choices: int) -> None:
    """Every action is a whole number from 0 to below `choices`."""
    wrong = no_choices(actions, choices)
    if len(wrong):
        raise DataError(
            f"{where}: actions should be whole numbers from 0 to {choices - 1}, but {len(wrong):,} of {len(actions):,} "
            f"are not, first {float(actions[wrong[0], 0]):g} at step {wrong[0]:,}."
        )


def no_choices(actions: Float32[ndarray, "steps 1"], choices: int) -> Int64[ndarray, " wrong"]:
    """The steps whose action is no whole number from 0 to below `choices`."""
    wrong: Int64[ndarray, " wrong"] = np.flatnonzero(
        (actions != np.round(actions)) | (actions < 0) | (actions >= choices)
    )
    return wrong
