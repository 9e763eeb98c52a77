"""`decision-minrnn benchmark encoders`: every encoder beside the others, or beside public implementations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from decision_minrnn.cli.benchmark.shared import Format, Report, reporting
from decision_minrnn.config import Tokens

if TYPE_CHECKING:
    from decision_minrnn.benchmarks.against import Comparison
    from decision_minrnn.benchmarks.encoders import EncoderMeasurement


def show_encoders(
    names: tuple[str, ...] = (),
    tokens: Tokens = "merged",
    batch_size: int = 20,
    context: int = 64,
    rounds: int = 10,
    against: bool = False,
    threads: int | None = None,
    format: Format = "text",
    json: str | None = None,
) -> None:
    """Run every encoder: its size, how far its steps are from its forward pass, the time of an update and of a step.

    Args:
        names: Which encoders; by default all that are registered.
        tokens: One token for a step, or three.
        batch_size: Rows of an update.
        context: Steps of a row.
        rounds: How often each is timed, in turn with the others.
        against: Time an update of each encoder beside public implementations instead, where there are any (extra:
            bench).
        threads: CPU threads for tensor operations; by default PyTorch's own choice.
        format: How tables are printed.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    from decision_minrnn.benchmarks.against import measure_against
    from decision_minrnn.benchmarks.encoders import measure_encoders
    from decision_minrnn.benchmarks.sizes import Sizes
    from decision_minrnn.benchmarks.speed import check_counts

    check_counts(rounds)
    sizes = Sizes(batch_size, context)
    with reporting(json, format, threads, ("transformers", "minGRU-pytorch") if against else ()) as report:
        shape = f"{batch_size} rows of {context} steps, {tokens} tokens"
        if against:
            comparisons, left_out = measure_against(names, tokens, sizes, rounds)
            for name, reason in left_out.items():
                report.say(f"left out: {name}; {reason}")
            title = f"median ms of an update of {shape}; times: ours as a multiple of the other's"
            report.add("against", comparisons, title, _comparison_table(report, comparisons))
            report.finish(left_out=left_out)
        else:
            measurements = measure_encoders(names, tokens, sizes, rounds)
            title = (
                f"median ms of an update of {shape} and of a rollout's step\n"
                "error: largest difference of an action between steps and forward pass"
            )
            report.add("encoders", measurements, title, _encoder_table(report, measurements))
            report.finish()


def _encoder_table(report: Report, measurements: Sequence[EncoderMeasurement]) -> Table:
    from decision_minrnn.benchmarks.encoders import ENVIRONMENTS

    steps = (f"step of {count}" for count in ENVIRONMENTS)
    table = report.table("encoder", "parameters", "state", "error", "update", *steps)
    for row in measurements:
        times = (f"{milliseconds:.3g}" for milliseconds in (row.update_ms, *row.step_ms))
        table.add_row(row.encoder, f"{row.parameters:,}", f"{row.state:,}", f"{row.error:.0e}", *times)
    return table


def _comparison_table(report: Report, comparisons: Sequence[Comparison]) -> Table:
    table = report.table("encoder", "ours", "public", "times", "beside")
    for row in comparisons:
        table.add_row(row.encoder, f"{row.ours_ms:.3g}", f"{row.public_ms:.3g}", f"{row.times:.2f}", row.public)
    return table
