"""Tables that several commands print."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from decision_minrnn.evaluation import Evaluation


def evaluation_table(evaluation: Evaluation) -> Group:
    """One row for each target, in 80 columns, between what was run and what failed and what the numbers mean."""
    reference = (
        f"score: normalised with {evaluation.reference} "
        f"(0 = {evaluation.reference_min:g}, 100 = {evaluation.reference_max:g})"
        if evaluation.reference
        else "no reference scores are known"
    )
    acted = f"{evaluation.memory} memory{', sampled actions' if evaluation.sampled else ''}"
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("target", "n", "return", "min…max", "length", "score", "IQM", "95 % CI"):
        table.add_column(column, justify="right", overflow="fold")
    for row in evaluation.targets:
        scored = row.normalized_mean is not None and row.ci95 is not None
        table.add_row(
            f"{row.target_return:g}",
            str(row.episodes),
            f"{row.return_mean:.0f}±{row.return_std:.0f}",
            f"{row.return_min:.0f}…{row.return_max:.0f}",
            f"{row.length_mean:.0f}",
            f"{row.normalized_mean:.1f}±{row.normalized_std:.1f}" if scored else "-",
            f"{row.normalized_iqm:.1f}" if scored else "-",
            f"{row.ci95[0]:.1f}…{row.ci95[1]:.1f}" if row.ci95 else "-",
        )
    failed = [
        Text(
            f"{len(row.failures)} of {row.episodes + len(row.failures)} episodes at target {row.target_return:g} FAILED"
            " and are in none of the numbers:\n"
            + "\n".join(f"  seed {seed}, step {step}: {reason}" for seed, step, reason in map(astuple, row.failures)),
            style="bold red",
        )
        for row in evaluation.targets
        if row.failures
    ]
    return Group(
        Text(f"{evaluation.env_id}, {acted}, checkpoint: {evaluation.checkpoint}", style="bold"),
        table,
        *failed,
        Text(
            f"{reference}\n±: deviation over n episodes; CI: interval of the mean score\n"
            f"{evaluation.steps_per_second:.0f} environment steps a second",
            style="dim",
        ),
    )
