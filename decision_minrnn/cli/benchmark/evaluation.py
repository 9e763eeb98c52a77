"""`decision-minrnn benchmark evaluation`: an evaluation beside the bare simulator."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

import tyro

from decision_minrnn.cli.outputs import check_output
from decision_minrnn.files import write_json


def show_evaluation(
    run: Annotated[str | None, tyro.conf.Positional] = None,
    env: str = "Swimmer-v5",
    target: float = 1000.0,
    workers: int = 0,
    environments: int = 20,
    episodes: int = 20,
    rounds: int = 3,
    threads: int = 1,
    json: str | None = None,
) -> None:
    """Measure environment steps a second of an evaluation, and of the simulator alone in as many processes.

    Args:
        run: A run folder, whose last weights are used; by default random ones of the default model, in Swimmer's
            sizes: its episodes have 1,000 steps whatever is done in them.
        env: gymnasium id; it must fit the weights.
        target: Target return.
        workers: Processes that step the environments; 0 steps them in this one.
        environments: Episodes that run at once.
        episodes: Episodes of each evaluation.
        rounds: How often both are measured, in turn.
        threads: CPU threads for tensor operations.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    import torch

    from decision_minrnn.benchmarks.evaluation import measure_throughput
    from decision_minrnn.benchmarks.sizes import Sizes, model_config
    from decision_minrnn.model import DecisionModel
    from decision_minrnn.policy import Policy
    from decision_minrnn.runs import load_policy
    from decision_minrnn.versions import versions

    check_output("--json", json)
    torch.set_num_threads(threads)
    if run is None:
        sizes = replace(model_config("mingru", "merged", Sizes()), observation_size=8, action_size=2)
        config = replace(sizes, action_low=(-1.0,) * 2, action_high=(1.0,) * 2)
        policy = Policy(DecisionModel(config))
    else:
        policy = load_policy(run)
    measured = measure_throughput(policy, env, target, workers, environments, episodes, rounds)
    if json is not None:
        settings = {"env_id": env, "workers": workers, "environments": environments, "threads": threads}
        write_json(json, {**settings, "versions": versions(), **asdict(measured)})
    if json == "-":
        return
    print(
        f"{env}, {workers} workers, {environments} environments; environment steps a second\n"
        f"simulator   {measured.simulator:,.0f}\n"
        f"evaluation  {measured.evaluation:,.0f} ({measured.share:.0%})"
    )
