"""What repeats to the bit on this machine, and what is only close."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch

from decision_minrnn.checkpoint import latest_checkpoint, load_model
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate
from decision_minrnn.selftest.ledger import CARD, LEDGER, recordings
from decision_minrnn.selftest.persistence import train_small, weights_apart
from decision_minrnn.selftest.rollouts import small_model
from decision_minrnn.training import resume


class Comparison(NamedTuple):
    """Two results that differ in one circumstance."""

    what: str
    """The result, and the circumstance."""
    difference: float
    """The largest difference; 0 where they are equal to the bit."""


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Weights after a short training, and returns of a policy with random weights."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        first = train_small(folder / "first", device, threads=1)
        again = train_small(folder / "again", device, threads=1)
        yield Comparison("weights: the same seed again", weights_apart(again, first))
        shutil.rmtree(latest_checkpoint(folder / "again"))
        resume(folder / "again", recordings())
        yield Comparison(
            "weights: stopped in the middle and resumed",
            weights_apart(load_model(latest_checkpoint(folder / "again")), first),
        )
        two = train_small(folder / "two", device, threads=2)
        yield Comparison("weights: two threads in place of one", weights_apart(two, first))
        two_again = train_small(folder / "two again", device, threads=2)
        yield Comparison("weights: two threads, the same seed again", weights_apart(two_again, two))
        other = train_small(folder / "other", device, threads=1, seed=1)
        yield Comparison("weights: another seed", weights_apart(other, first))
    policy = Policy(small_model(device))
    alone = returns(policy, 1)
    yield Comparison("returns: the same seeds again", float(np.abs(returns(policy, 1) - alone).max()))
    for count in (3, 20):
        apart = float(np.abs(returns(policy, count) - alone).max())
        yield Comparison(f"returns: {count} episodes at once in place of one", apart)


def returns(policy: Policy, environments: int) -> np.ndarray:
    """Of 23 episodes, so many at once."""
    evaluation = evaluate(policy, LEDGER, [20.0], episodes=23, card=CARD, environments=environments)
    return np.array(evaluation.targets[0].returns)
