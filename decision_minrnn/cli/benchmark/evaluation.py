"""`decision-minrnn benchmark evaluation`: an evaluation beside the bare simulator."""

from __future__ import annotations

from typing import Annotated

import tyro

from decision_minrnn.cli.benchmark.shared import Format, Report


def show_evaluation(
    run: Annotated[str | None, tyro.conf.Positional] = None,
    env: str = "Swimmer-v5",
    target: float = 1000.0,
    workers: int = 0,
    environments: int = 20,
    episodes: int = 20,
    rounds: int = 3,
    threads: int = 1,
    format: Format = "text",
    json: str | None = None,
) -> None:
    """Measure environment steps a second of an evaluation, and of the simulator alone in as many processes.

    Args:
        run: A run folder, whose last weights are used; by default random ones of the default model, in the
            environment's sizes. Swimmer's episodes have 1,000 steps whatever is done in them.
        env: gymnasium id; it must fit the weights.
        target: Target return.
        workers: Processes that run the episodes, with one thread each; 0 runs them in this one.
        environments: Episodes that run at once.
        episodes: Episodes of each evaluation.
        rounds: How often both are measured, in turn.
        threads: CPU threads for tensor operations in this process.
        format: How the table is printed.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    import torch

    from decision_minrnn.benchmarks.evaluation import measure_throughput, random_policy
    from decision_minrnn.devices import seeded
    from decision_minrnn.runs import load_policy

    with seeded(0, torch.device("cpu"), threads):
        report = Report(json, format)
        policy = random_policy(env) if run is None else load_policy(run)
        row = measure_throughput(policy, env, target, workers, environments, episodes, rounds)
    table = report.table("environment", "workers", "at once", "simulator", "evaluation", "share")
    speeds = f"{row.simulator:,.0f}", f"{row.evaluation:,.0f}", f"{row.share:.0%}"
    table.add_row(row.env_id, f"{row.workers}", f"{row.environments}", *speeds)
    title = "environment steps a second of the simulator alone and of an evaluation, in as many processes"
    report.add("throughput", [row], title, table)
    report.finish()
