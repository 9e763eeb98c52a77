"""`decision-minrnn benchmark latency`: one control step in every form in which a policy can be run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from decision_minrnn.cli.outputs import check_output
from decision_minrnn.files import write_json


def show_latency(
    run: Annotated[str | None, tyro.conf.Positional] = None,
    forms: tuple[str, ...] = (),
    steps: int = 2000,
    threads: int = 1,
    json: str | None = None,
) -> None:
    """Time one control step, from an observation to an action in one episode: the median and the 99th percentile.

    Args:
        run: A run folder, whose last weights are used; by default random ones of the default model, in Hopper's sizes.
        forms: Which forms; by default all. Those that cannot be run here say why.
        steps: How many steps of each are timed.
        threads: CPU threads for tensor operations.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    import torch

    from decision_minrnn.benchmarks.latency import measure_latency
    from decision_minrnn.benchmarks.sizes import Sizes, model_config
    from decision_minrnn.model import DecisionModel
    from decision_minrnn.runs import load_policy
    from decision_minrnn.versions import versions

    check_output("--json", json)
    torch.set_num_threads(threads)
    model = DecisionModel(model_config("mingru", "merged", Sizes())) if run is None else load_policy(run).model
    latencies = measure_latency(model, forms, steps)
    if json is not None:
        rows = [asdict(latency) for latency in latencies]
        write_json(json, {"threads": torch.get_num_threads(), "versions": versions(), "latencies": rows})
    if json == "-":
        return
    config = model.config
    print(
        f"ms of one step of one episode, {config.encoder}, {config.tokens} tokens, width {config.width}, "
        f"{config.layers} layers; {torch.get_num_threads()} threads\n"
        "error: largest difference of an action from that of the first form"
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("form")
    for column in ("p50", "p99", "error"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in latencies:
        if row.why_not is not None:
            table.add_row(row.form, "-", "-", "-", row.why_not)
        else:
            table.add_row(row.form, f"{row.p50_ms:.3f}", f"{row.p99_ms:.3f}", f"{row.error:.0e}", "")
    Console().print(table)
