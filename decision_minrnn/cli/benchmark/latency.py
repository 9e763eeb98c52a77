"""`decision-minrnn benchmark latency`: one control step in every form in which a policy can be run."""

from __future__ import annotations

from typing import Annotated

import tyro

from decision_minrnn.cli.benchmark.shared import Format, reporting


def show_latency(
    run: Annotated[str | None, tyro.conf.Positional] = None,
    forms: tuple[str, ...] = (),
    steps: int = 2000,
    threads: int = 1,
    format: Format = "text",
    json: str | None = None,
) -> None:
    """Time one control step, from an observation to an action in one episode: the median and the 99th percentile.

    Args:
        run: A run folder, whose last weights are used; by default random ones of the default model, in Hopper's sizes.
        forms: Which forms; by default all. Those that cannot be run here say why.
        steps: How many steps of each are timed.
        threads: CPU threads for tensor operations.
        format: How tables are printed.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    from decision_minrnn.benchmarks.latency import measure_latency
    from decision_minrnn.benchmarks.sizes import Sizes, model_config
    from decision_minrnn.model import DecisionModel
    from decision_minrnn.runs import load_policy

    with reporting(json, format, threads) as report:
        model = DecisionModel(model_config("mingru", "merged", Sizes())) if run is None else load_policy(run).model
        latencies = measure_latency(model, forms, steps)
        table = report.table("form", "p50", "p99", "error")
        for row in latencies:
            if row.why_not is not None:
                report.say(f"left out: {row.form}; {row.why_not}")
            else:
                table.add_row(row.form, f"{row.p50_ms:.3f}", f"{row.p99_ms:.3f}", f"{row.error:.0e}")
        config = model.config
        title = (
            f"ms of one step of one episode, {config.encoder}, {config.tokens} tokens, width {config.width}, "
            f"{config.layers} layers\n"
            "error: largest difference of an action from that of the first form"
        )
        report.add("latencies", latencies, title, table)
        report.finish()
