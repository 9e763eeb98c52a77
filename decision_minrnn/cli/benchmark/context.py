"""`decision-minrnn benchmark context`: what a step of training costs in short and in long rows."""

from __future__ import annotations

from decision_minrnn.cli.benchmark.shared import Format, reporting


def show_context(
    contexts: tuple[int, ...] = (20, 64, 256, 1000, 4096, 16384),
    steps: int = 16384,
    encoder: str = "mingru",
    rounds: int = 5,
    threads: int | None = None,
    format: Format = "text",
    json: str | None = None,
) -> None:
    """Time updates of equally many steps in many short or few long rows, and measure the memory that they need.

    Args:
        contexts: Steps in a row of a batch.
        steps: Steps in a batch.
        encoder: Sequence layer of the model.
        rounds: How often each is timed, in turn with the others.
        threads: CPU threads for tensor operations; by default PyTorch's own choice.
        format: How tables are printed.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    from decision_minrnn.benchmarks.long_context import measure_contexts
    from decision_minrnn.benchmarks.speed import check_counts

    check_counts(rounds)
    with reporting(json, format, threads) as report:
        measurements = measure_contexts(contexts, steps, encoder, rounds)
        table = report.table("context", "rows", "µs a step", "relative", "MB")
        for row in measurements:
            megabytes = "-" if row.megabytes is None else f"{row.megabytes:.0f}"
            table.add_row(str(row.context), str(row.rows), f"{row.microseconds:.1f}", f"{row.relative:.2f}", megabytes)
        title = f"updates of {steps} steps, {encoder}: median µs a step, and the memory that an update adds"
        report.add("contexts", measurements, title, table)
        report.finish()
