"""`decision-minrnn benchmark speed`: training and acting beside public implementations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import tyro

from decision_minrnn.benchmarks.scan import ScanSizes
from decision_minrnn.benchmarks.score import ScoreConfig
from decision_minrnn.benchmarks.sizes import Sizes
from decision_minrnn.cli.benchmark.shared import Format
from decision_minrnn.config import Precision

Part = Literal["update", "steps", "scan", "memory", "products", "score"]


def show_speed(
    parts: tuple[Part, ...] = ("update", "steps"),
    contestants: tuple[str, ...] = (),
    rounds: int = 30,
    environments: tuple[int, ...] = (1, 10, 100),
    precision: tuple[Precision, ...] = ("float32",),
    threads: int | None = None,
    format: Format = "text",
    json: str | None = None,
    *,
    sizes: tyro.conf.OmitArgPrefixes[Sizes],
    scan: tyro.conf.OmitArgPrefixes[ScanSizes],
    score: tyro.conf.OmitArgPrefixes[ScoreConfig],
) -> None:
    """Measure training and acting beside public implementations, all in turn (extra: bench for those).

    A contestant whose package is not installed is left out, and named. docs/benchmarks.md says what each is and what
    is not comparable.

    Args:
        parts: `update`: one update of a training. `steps`: one step of a rollout. `scan`: the recurrence alone.
            `memory`: the peak of an update. `products`: how much of an update is matrix products. `score`: how long a
            training takes to reach a score.
        contestants: Which, such as mingru/merged or huggingface; by default all but mamba-transformers/interleaved,
            whose update takes a hundred times as long without its kernels. Of `score`: mingru/merged, huggingface and
            transformer/interleaved.
        rounds: How often each is timed, in turn with the others.
        environments: Numbers of environments of a rollout's step.
        precision: Precisions of an update.
        threads: CPU threads for tensor operations; by default PyTorch's own choice.
        format: How tables are printed.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
        sizes: Of models and batches.
        scan: Of the part `scan`.
        score: Of the part `score`.
    """
    from decision_minrnn.benchmarks import contestants as known
    from decision_minrnn.benchmarks.memory import measure_memory
    from decision_minrnn.benchmarks.products import measure_products
    from decision_minrnn.benchmarks.scan import BASELINE as SLOWEST_SCAN
    from decision_minrnn.benchmarks.scan import measure_scans
    from decision_minrnn.benchmarks.score import measure_scores, scored_names
    from decision_minrnn.benchmarks.speed import check_counts, measure_steps, measure_updates
    from decision_minrnn.cli.benchmark.shared import reporting
    from decision_minrnn.cli.benchmark.speed_tables import memory_table, product_table, score_table, time_table

    check_counts(rounds, environments)
    known.check_names(contestants)
    # scans and trainings have contestants of their own
    taking_part = () if set(parts) <= {"scan", "score"} else contestants or known.DEFAULT
    scored = scored_names(contestants) if "score" in parts else ()
    with reporting(json, format, threads, ("transformers", "minGRU-pytorch", "d3rlpy")) as report:
        built, left_out = known.build(taking_part, sizes)
        for name, reason in left_out.items():
            report.say(f"left out: {name}; {reason}")
        shape = f"{sizes.batch_size} rows of {sizes.context} steps, width {sizes.width}, {sizes.layers} layers"
        figures = "median ms [quartiles], in brackets how many times faster than"
        if "update" in parts:
            times = measure_updates(built, sizes, precision, rounds)
            title = f"one update of {shape}: {figures} {known.BASELINE}"
            report.add("measurements", times, title, time_table(report, times, built))
        if "steps" in parts:
            times = measure_steps(built, environments, rounds)
            title = f"one step of a rollout, by environments: {figures} {known.BASELINE}"
            report.add("measurements", times, title, time_table(report, times, built))
        if "scan" in parts:
            times = measure_scans(scan, rounds)
            title = f"the recurrence alone, forward and backward, {scan.sequences} rows: {figures} {SLOWEST_SCAN}"
            report.add("measurements", times, title, time_table(report, times))
        if "memory" in parts:
            uses = measure_memory(list(built), sizes, threads)
            report.add("memory", uses, f"peak memory that one update of {shape} adds", memory_table(report, uses))
        if "products" in parts:
            shares = measure_products(built, sizes)
            title = f"time of an update of {shape} inside matrix products"
            report.add("products", shares, title, product_table(report, shares))
        if "score" in parts:
            trainings, missing = measure_scores(scored, score, threads, report.say)
            left_out |= missing
            title = (
                f"training until the score at target {score.target:g} is {score.level:g} in two evaluations in a row; "
                f"medians over {len(score.seeds)} seeds"
            )
            report.add("score", trainings, title, score_table(report, trainings))
        parameters = {name: contestant.parameters for name, contestant in built.items()}
        report.finish(sizes=asdict(sizes), parameters=parameters, left_out=left_out)
