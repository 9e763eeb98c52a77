"""`decision-minrnn benchmark COMMAND`: measurements that a user can repeat, one module here for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tyro.extras import subcommand_cli_from_dict


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    from decision_minrnn.cli.benchmark.context import show_contexts
    from decision_minrnn.cli.benchmark.encoders import show_encoders
    from decision_minrnn.cli.benchmark.evaluation import show_evaluation
    from decision_minrnn.cli.benchmark.gpu import show_gpu
    from decision_minrnn.cli.benchmark.latency import show_latency
    from decision_minrnn.cli.benchmark.returns import show_returns
    from decision_minrnn.cli.benchmark.speed import show_speed

    commands: dict[str, Any] = {
        "speed": show_speed,
        "encoders": show_encoders,
        "gpu": show_gpu,
        "returns": show_returns,
        "context": show_contexts,
        "latency": show_latency,
        "evaluation": show_evaluation,
    }
    subcommand_cli_from_dict(
        commands,
        prog="decision-minrnn benchmark",
        description="Measure speed on this machine.",
        args=list(arguments),
    )
