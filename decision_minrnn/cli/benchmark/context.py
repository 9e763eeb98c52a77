"""`decision-minrnn benchmark context`: what a step of training costs in short and in long rows."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from decision_minrnn.files import write_json


def show_contexts(
    contexts: tuple[int, ...] = (20, 64, 256, 1000, 4096, 16384),
    steps: int = 16384,
    encoder: str = "mingru",
    rounds: int = 5,
    threads: int | None = None,
    json: str | None = None,
) -> None:
    """Time updates of equally many steps in many short or few long rows, and measure the memory that they need.

    Args:
        contexts: Steps in a row of a batch.
        steps: Steps in a batch.
        encoder: Sequence layer of the model.
        rounds: How often each is timed, in turn with the others.
        threads: CPU threads for tensor operations; by default PyTorch's own choice.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    import torch

    from decision_minrnn.benchmarks.long_context import measure_contexts
    from decision_minrnn.versions import versions

    if threads is not None:
        torch.set_num_threads(threads)
    measurements = measure_contexts(contexts, steps, encoder, rounds)
    if json is not None:
        rows = [asdict(measurement) for measurement in measurements]
        write_json(json, {"threads": torch.get_num_threads(), "versions": versions(), "contexts": rows})
    if json == "-":
        return
    print(f"{encoder}, {steps} steps an update, {torch.get_num_threads()} threads")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("context", "rows", "µs a step", "relative", "memory"):
        table.add_column(column, justify="right")
    for row in measurements:
        memory = "?" if row.megabytes is None else f"{row.megabytes:.0f} MB"
        table.add_row(f"{row.context}", f"{row.rows}", f"{row.microseconds:.1f}", f"{row.relative:.2f}", memory)
    Console().print(table)
