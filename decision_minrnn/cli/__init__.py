"""The command line: `decision-minrnn COMMAND ...`, one module here for each command.

Exit codes: 0 done; 1 an error that the message explains; 2 a command line that cannot be understood; 130 and 143 stopped
by Ctrl-C or SIGTERM after saving.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from decision_minrnn.errors import DecisionMinRNNError, UnknownNameError

COMMANDS = {
    "train": "train a policy and evaluate it, or resume a run",
    "evaluate": "roll a trained policy out and print its scores",
    "data": "list and describe datasets",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(_help())
        return 0
    if command == "--version":
        print(f"decision-minrnn {version('decision-minrnn')}")
        return 0
    try:
        if command not in COMMANDS:
            raise UnknownNameError("command", command, COMMANDS)
        import_module(f"decision_minrnn.cli.{command}").main(rest)
    except UnknownNameError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if command not in COMMANDS else 1
    except DecisionMinRNNError as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of a pipe went away, as `head` does
        sys.stderr.close()
        return 1
    return 0


def _help() -> str:
    commands = "\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())
    return (
        "usage: decision-minrnn COMMAND [options]\n\n"
        "Return-conditioned recurrent policies from offline data.\n\n"
        f"commands:\n{commands}\n\n"
        "options:\n  --help     this text; after a command, its options\n  --version  the version\n\n"
        "first steps:\n  decision-minrnn train hopper-medium\n  tensorboard --logdir runs"
    )
