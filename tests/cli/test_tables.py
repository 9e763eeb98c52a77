"""The table of an evaluation: everything in 80 columns."""

from __future__ import annotations

import dataclasses

import pytest
from rich.console import Console
from tiny import LEDGER, constant_model

from decision_minrnn.cards import Reference
from decision_minrnn.cli.tables import evaluation_table
from decision_minrnn.evaluation import Evaluation, Failure, TargetResult
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    reference = Reference(0.0, 50.0, "made up")
    policy = Policy(constant_model(0.5))
    return evaluate(policy, LEDGER, [30.0, 12.5], episodes=5, seed=0, reference=reference, reference_name="card")


def printed(evaluation: Evaluation) -> list[str]:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(evaluation_table(evaluation))
    return captured.get().splitlines()


def test_rows_by_hand(evaluation: Evaluation) -> None:
    lines = printed(evaluation)
    assert lines[0] == f"{LEDGER}, carried memory, checkpoint: in memory"
    sampled = printed(dataclasses.replace(evaluation, sampled=True))
    assert sampled[0].startswith(f"{LEDGER}, carried memory, sampled actions, checkpoint:")
    assert lines[1].split() == ["target", "n", "return", "min…max", "length", "score", "IQM", "95", "%", "CI"]
    low, high = evaluation.targets[0].ci95 or (0, 0)
    assert lines[2].split() == ["30", "5", "18±9", "8…32", "5", "37.0±17.1", "35.7", f"{low:.1f}…{high:.1f}"]
    assert "score: normalised with card (0 = 0, 100 = 50)" in lines


def test_without_a_reference(evaluation: Evaluation) -> None:
    unscored = [
        dataclasses.replace(row, normalized_mean=None, normalized_std=None, normalized_iqm=None, ci95=None)
        for row in evaluation.targets
    ]
    lines = printed(dataclasses.replace(evaluation, targets=tuple(unscored), reference=None))
    assert lines[2].split()[-3:] == ["-", "-", "-"]
    assert "no reference scores are known" in lines


def test_failures_cannot_be_overlooked(evaluation: Evaluation) -> None:
    failed = dataclasses.replace(
        evaluation.targets[1], failures=(Failure(8, 3, "ValueError: no"), Failure(9, 0, "lost"))
    )
    text = " ".join(printed(dataclasses.replace(evaluation, targets=(evaluation.targets[0], failed))))
    assert "2 of 7 episodes at target 12.5 FAILED" in text
    assert "seed 8, step 3: ValueError: no" in text
    assert "seed 9, step 0: lost" in text
    assert "FAILED" not in " ".join(printed(evaluation))


def test_large_numbers_fit(evaluation: Evaluation) -> None:
    row = TargetResult(
        target_return=12000.0,
        episodes=100,
        return_mean=11234.0,
        return_std=3456.0,
        return_min=-321.0,
        return_max=12345.0,
        length_mean=1000.0,
        normalized_mean=101.2,
        normalized_std=23.4,
        normalized_iqm=102.3,
        ci95=(98.7, 103.2),
        returns=(),
    )
    lines = printed(dataclasses.replace(evaluation, targets=(row,)))
    numbers = "12000 100 11234±3456 -321…12345 1000 101.2±23.4 102.3 98.7…103.2"
    assert lines[2].split() == numbers.split()
    assert max(map(len, lines)) <= 80
