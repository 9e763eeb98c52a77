"""`decision-minrnn benchmark speed`: updates and rollout steps beside HuggingFace's model."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from decision_minrnn.files import write_json


def show_speed(rounds: int = 30, threads: int | None = None, json: str | None = None) -> None:
    """Time one update and one rollout step beside HuggingFace's DecisionTransformerModel (extra: bench).

    Args:
        rounds: How often each contestant is timed, in turn with the others.
        threads: CPU threads for tensor operations; by default PyTorch's own choice.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    import torch

    from decision_minrnn.benchmarks.speed import BASELINE, measure_speed
    from decision_minrnn.versions import versions

    if threads is not None:
        torch.set_num_threads(threads)
    measurements = measure_speed(rounds)
    if json is not None:
        rows = [asdict(measurement) for measurement in measurements]
        write_json(json, {"threads": torch.get_num_threads(), "versions": versions(), "measurements": rows})
    if json == "-":
        return
    print(f"median ms, in brackets how many times faster than {BASELINE}; {torch.get_num_threads()} threads")
    table = Table(box=None, padding=(0, 2, 0, 0))
    whats = list(dict.fromkeys(measurement.what for measurement in measurements))
    for column in ("contestant", "parameters", *whats):
        table.add_column(column, justify="left" if column == "contestant" else "right", overflow="fold")
    for name in dict.fromkeys(measurement.contestant for measurement in measurements):
        own = {measurement.what: measurement for measurement in measurements if measurement.contestant == name}
        cells = (f"{own[what].median_ms:.3g} ({own[what].ratio:.1f})" for what in whats)
        table.add_row(name, f"{own['update'].parameters:,}", *cells)
    Console().print(table)
