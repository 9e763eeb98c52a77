"""The command line: `decision-minrnn COMMAND ...`, one module here for each command.

Exit codes: 0 done; 1 an error that the message explains; 2 a command line that cannot be understood; 130 and 143
stopped by Ctrl-C or SIGTERM after saving.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from decision_minrnn.errors import DecisionMinRNNError, UnknownNameError
from decision_minrnn.versions import versions

COMMANDS = {
    "train": "train a policy and evaluate it, or resume a run",
    "evaluate": "roll a trained policy out and print its scores",
    "sweep": "train a grid of datasets, encoders and seeds, and print tables of the scores",
    "export": "write a policy's control step as an ONNX model or a torch program",
    "share": "write a policy with its model card into a folder, or publish it on the Hugging Face hub",
    "report": "write one HTML page on what runs came to",
    "data": "list, describe, check, plot, convert and download datasets",
    "benchmark": "measure speed on this machine",
    "paper": 'the other experiments of "Were RNNs All We Needed?"',
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(_help())
        return 0
    if command == "--version":
        print(f"decision-minrnn {versions().get('decision-minrnn', '(not installed)')}")
        return 0
    if command not in COMMANDS:
        return _fail(UnknownNameError("command", command, COMMANDS), 2)
    try:
        import_module(f"decision_minrnn.cli.{command}").main(rest)
        sys.stdout.flush()
    except DecisionMinRNNError as error:
        return _fail(error, getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # the reader of a pipe went away, as `head` does; Python would complain of it once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)
    except SystemExit as stop:
        # how a parser ends: 0 after --help, 2 for what it cannot understand
        return stop.code if isinstance(stop.code, int) else 2
    return 0


def _fail(error: object, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


def _help() -> str:
    commands = "\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())
    return (
        "usage: decision-minrnn COMMAND [options]\n\n"
        "Return-conditioned recurrent policies from offline data.\n\n"
        f"commands:\n{commands}\n\n"
        "options:\n  --help     this text; after a command, its options\n  --version  the version\n\n"
        "first steps:\n  decision-minrnn train hopper-medium\n  tensorboard --logdir runs"
    )
