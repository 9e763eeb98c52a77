"""`decision-minrnn paper parameters`: how many parameters minGRU and minLSTM have beside GRU and LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from decision_minrnn.cli.console import wide_console
from decision_minrnn.cli.outputs import check_output
from decision_minrnn.cli.paper.shared import plain_table
from decision_minrnn.cli.parsing import run_command
from decision_minrnn.files import write_json


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    run_command(_parameters, "paper parameters", arguments)


def _parameters(width: int = 64, expansions: tuple[int, ...] = (1, 2, 3, 4), json: str | None = None) -> None:
    """Count the parameters of minGRU and minLSTM layers, exactly, beside those of GRU and LSTM.

    The percentages are of the matrices of the recurrence, as the paper counts; they do not depend on the width.

    Args:
        width: Width of the input and output.
        expansions: How many times as wide the state is.
        json: Write the counts to this file as well, or to standard output if "-".
    """
    from decision_minrnn.tasks.parameters import count_parameters

    check_output("--json", json)
    rows = count_parameters(width, expansions)
    if json is not None:
        write_json(json, [asdict(row) for row in rows])
    if json == "-":
        return
    table = plain_table("layers", "state", "matrices", "beside", "%", "paper %", "whole", "beside")
    for row in rows:
        table.add_row(
            f"{row.encoder} / {row.counterpart}",
            f"{row.expansion}x",
            f"{row.weights:,}",
            f"{row.counterpart_weights:,}",
            f"{row.percent:.1f}",
            str(row.published_percent or "-"),
            f"{row.layer:,}",
            f"{row.counterpart_layer:,}",
        )
    table.caption = f"width {width}; whole: with biases, initial state and the map back to the width"
    wide_console().print(table)
