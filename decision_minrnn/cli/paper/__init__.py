"""`decision-minrnn paper ...`: the other experiments of "Were RNNs All We Needed?", one module here for each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from decision_minrnn.cli.groups import choose_command

COMMANDS = {
    "selective-copying": "remember tokens among noise, by encoder and layers",
    "language-model": "predict the characters of a text file",
    "parameters": "parameters of minGRU and minLSTM beside GRU and LSTM",
    "scaling": "time and memory of a training step by length of the sequence",
    "robustness": "forget bias, learning rate, dropout and layers, varied one at a time",
}


def main(arguments: Sequence[str]) -> None:
    """Run one experiment."""
    about = (
        'The experiments of "Were RNNs All We Needed?" (arXiv 2410.01201) beside reinforcement learning, small enough\n'
        "for a CPU by default."
    )
    command, rest = choose_command("decision-minrnn paper", about, COMMANDS, arguments)
    import_module(f"decision_minrnn.cli.paper.{command.replace('-', '_')}").main(rest)
