"""`decision-minrnn benchmark gpu`: kernels beside the memory's speed, and updates beside each other."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from decision_minrnn.files import write_json


def show_gpu(
    device: str = "cuda",
    times: tuple[int, ...] = (64, 256, 512, 1024, 4096),
    tokens: int = 2**18,
    width: int = 128,
    updates: int = 300,
    seeds: int = 5,
    rounds: int = 10,
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
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    from decision_minrnn.benchmarks.gpu import measure_gpu
    from decision_minrnn.versions import versions

    measured = measure_gpu(device, times, tokens, width, updates, seeds, rounds)
    if json is not None:
        write_json(json, {"versions": versions(), **asdict(measured)})
    if json == "-":
        return
    console = Console()
    console.print(
        f"{measured.device}, which copies {measured.copied_gb_per_second:,.0f} GB/s, read and written\n"
        f"{tokens:,} steps of width {width}: median ms, in brackets how many times what moving the numbers once takes",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("recurrence", overflow="fold")
    for column in ("T", "forward", "forward and backward"):
        table.add_column(column, justify="right")
    for row in measured.kernels:
        pairs = ((row.forward_ms, row.forward_floor_ms), (row.both_ms, row.both_floor_ms))
        table.add_row(row.contestant, str(row.steps), *(_beside(ms, floor) for ms, floor in pairs))
    console.print(table)
    console.print("\nupdates a second of the default policy; of several seeds, each is one of all", highlight=False)
    for update in measured.updates:
        console.print(f"{update.how:<20} {update.updates_per_second:,.1f}", highlight=False)


def _beside(milliseconds: float, floor: float | None) -> str:
    return f"{milliseconds:.3g}" + ("" if floor is None else f" ({milliseconds / floor:.1f})")
