"""`decision-minrnn benchmark gpu`: kernels beside the memory's speed, and updates beside each other."""

from __future__ import annotations

from decision_minrnn.cli.benchmark.shared import Format, reporting


def show_gpu(
    device: str = "cuda",
    times: tuple[int, ...] = (64, 256, 512, 1024, 4096),
    tokens: int = 2**18,
    width: int = 128,
    updates: int = 300,
    seeds: int = 5,
    rounds: int = 10,
    format: Format = "text",
    json: str | None = None,
) -> None:
    """Time the recurrences on a GPU beside its memory's speed, cuDNN and other scans, and updates plain and replayed.

    Args:
        device: Where; cpu runs the same code there, whose figures say nothing about a GPU.
        times: Steps in a row.
        tokens: Steps in all rows of a kernel.
        width: Of recurrences and of the policy.
        updates: Updates of each kind of training, in each round.
        seeds: Seeds that are trained at once.
        rounds: How often each is timed, in turn with the others.
        format: How tables are printed.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    from decision_minrnn.benchmarks.gpu import measure_gpu
    from decision_minrnn.benchmarks.speed import check_counts

    check_counts(rounds)
    with reporting(json, format) as report:
        measured = measure_gpu(device, times, tokens, width, updates, seeds, rounds)
        kernels = report.table("recurrence", "T", "forward", "forward and backward")
        for row in measured.kernels:
            pairs = ((row.forward_ms, row.forward_floor_ms), (row.both_ms, row.both_floor_ms))
            kernels.add_row(row.contestant, str(row.steps), *(_beside(ms, floor) for ms, floor in pairs))
        title = (
            f"{measured.device}, which copies {measured.copied_gb_per_second:,.0f} GB/s, read and written\n"
            f"{tokens:,} steps of width {width}: median ms, in brackets as a multiple of moving the numbers once"
        )
        report.add("kernels", measured.kernels, title, kernels)
        trained = report.table("training", "updates/s")
        for update in measured.updates:
            trained.add_row(update.how, f"{update.updates_per_second:,.1f}")
        title = "updates of the default policy; of several seeds, each is one of all"
        report.add("updates", measured.updates, title, trained)
        report.finish(device=measured.device, copied_gb_per_second=measured.copied_gb_per_second)


def _beside(milliseconds: float, floor: float | None) -> str:
    return f"{milliseconds:.3g}" + ("" if floor is None else f" ({milliseconds / floor:.1f})")
