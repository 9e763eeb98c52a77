"""`decision-minrnn benchmark encoders`: every encoder beside the others."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from decision_minrnn.config import Tokens
from decision_minrnn.files import write_json


def show_encoders(
    names: tuple[str, ...] = (),
    tokens: Tokens = "merged",
    batch_size: int = 20,
    context: int = 64,
    rounds: int = 10,
    threads: int | None = None,
    json: str | None = None,
) -> None:
    """Run every encoder: its size, how far its steps are from its forward pass, the time of an update and of a step.

    Args:
        names: Which encoders; by default all that are registered.
        tokens: One token for a step, or three.
        batch_size: Rows of an update.
        context: Steps of a row.
        rounds: How often each is timed, in turn with the others.
        threads: CPU threads for tensor operations; by default PyTorch's own choice.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    import torch

    from decision_minrnn.benchmarks.encoders import ENVIRONMENTS, measure_encoders
    from decision_minrnn.versions import versions

    if threads is not None:
        torch.set_num_threads(threads)
    measurements = measure_encoders(names, tokens, batch_size, context, rounds)
    if json is not None:
        rows = [asdict(measurement) for measurement in measurements]
        write_json(json, {"threads": torch.get_num_threads(), "versions": versions(), "encoders": rows})
    if json == "-":
        return
    print(
        f"median ms of an update of {batch_size} rows of {context} steps and of a rollout's step; {tokens} tokens, "
        f"{torch.get_num_threads()} threads\nerror: largest difference of an action between steps and forward pass"
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("encoder")
    for column in ("parameters", "state", "error", "update", *(f"step of {count}" for count in ENVIRONMENTS)):
        table.add_column(column, justify="right")
    for row in measurements:
        times = (f"{milliseconds:.3g}" for milliseconds in (row.update_ms, *row.step_ms))
        table.add_row(row.encoder, f"{row.parameters:,}", f"{row.state:,}", f"{row.error:.0e}", *times)
    Console().print(table)
