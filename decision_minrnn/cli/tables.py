"""Tables that several commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from decision_minrnn.rollout import Evaluation


def evaluation_table(evaluation: Evaluation) -> Table:
    """One row for each target; what the numbers mean stands under it."""
    reference = (
        f"normalised with {evaluation.reference} (0 = {evaluation.reference_min:g}, 100 = {evaluation.reference_max:g})"
        if evaluation.reference
        else "no reference scores"
    )
    table = Table(
        title=f"{evaluation.env_id}, {evaluation.memory} memory, checkpoint: {evaluation.checkpoint}",
        caption=f"{reference}; ± over episodes; {evaluation.steps_per_second:.0f} environment steps a second",
    )
    for column in ("target", "episodes", "return", "min … max", "length", "normalised", "IQM", "95 % interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in evaluation.targets:
        scored = row.normalized_mean is not None and row.ci95 is not None
        table.add_row(
            f"{row.target_return:g}",
            str(row.episodes),
            f"{row.return_mean:.0f} ± {row.return_std:.0f}",
            f"{row.return_min:.0f} … {row.return_max:.0f}",
            f"{row.length_mean:.0f}",
            f"{row.normalized_mean:.1f} ± {row.normalized_std:.1f}" if scored else "-",
            f"{row.normalized_iqm:.1f}" if scored else "-",
            f"{row.ci95[0]:.1f} … {row.ci95[1]:.1f}" if row.ci95 else "-",
        )
    return table
