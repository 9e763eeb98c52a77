"""`decision-minrnn benchmark COMMAND`: measurements that a user can repeat, one module here for each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from decision_minrnn.cli.groups import choose_command
from decision_minrnn.cli.parsing import run_command

COMMANDS = {
    "speed": "training and acting beside public implementations",
    "encoders": "every encoder: size, error of its steps, speed; or beside public implementations",
    "gpu": "recurrences on a GPU beside its memory's speed, and updates plain and replayed",
    "returns": "scores of encoders on D4RL's locomotion datasets, beside the published ones",
    "context": "updates in short and in long rows, and their memory",
    "latency": "one control step in every form in which a policy can be run",
    "evaluation": "an evaluation beside the bare simulator",
}


def main(arguments: Sequence[str]) -> None:
    """Run one measurement."""
    command, rest = choose_command("decision-minrnn benchmark", "Measurements on this machine.", COMMANDS, arguments)
    chosen = getattr(import_module(f"decision_minrnn.cli.benchmark.{command}"), f"show_{command}")
    run_command(chosen, f"benchmark {command}", rest)
