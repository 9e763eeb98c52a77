"""The command line: `decision-minrnn COMMAND ...`, one module here for each command.

Exit codes: 0 done; 1 an error that the message explains; 2 a command line that cannot be understood; 130 and 143
stopped by Ctrl-C or SIGTERM after saving.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from decision_minrnn.cli.console import quiet, short_warnings
from decision_minrnn.cli.groups import choose_command
from decision_minrnn.errors import DecisionMinRNNError
from decision_minrnn.versions import versions

COMMANDS = {
    "train": "train a policy and evaluate it, or resume a run",
    "evaluate": "roll a trained policy out and print its scores",
    "sweep": "train a grid of datasets, encoders and seeds, and print tables of the scores",
    "export": "write a policy's control step as an ONNX model or a torch program",
    "share": "write a policy with its model card into a folder, or publish it on the Hugging Face hub",
    "report": "write one HTML page on what runs came to",
    "data": "list, describe, check, plot, convert and download datasets",
    "selftest": "check that this installation computes what it claims",
    "benchmark": "measure speed on this machine",
    "paper": 'the other experiments of "Were RNNs All We Needed?"',
    "completion": "complete commands and flags in bash, zsh or fish",
}


ABOUT = """Return-conditioned recurrent policies from offline data.

first steps:
  decision-minrnn train hopper-medium
  tensorboard --logdir runs"""

ANYWHERE = {
    "--quiet": "show results and errors, not how far a command is",
    "--debug": "show where in the code an error or warning arose (also DECISION_MINRNN_DEBUG=1)",
}
"""Flags that every command takes, before or after its name."""

FLAGS = {**ANYWHERE, "--version": "the version"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags = {flag for flag in ANYWHERE if flag in words}
    words = [word for word in words if word not in flags]
    debugging = "--debug" in flags or os.environ.get("DECISION_MINRNN_DEBUG", "0") not in ("", "0")
    if words == ["--version"]:
        print(f"decision-minrnn {versions().get('decision-minrnn', '(not installed)')}")
        return 0
    try:
        with quiet("--quiet" in flags), short_warnings(not debugging):
            command, rest = choose_command("decision-minrnn", ABOUT, COMMANDS, words, FLAGS)
            import_module(f"decision_minrnn.cli.{command}").main(rest)
        sys.stdout.flush()
    except SystemExit as stop:
        # how a parser ends: 0 after --help, 2 for what it cannot understand
        return stop.code if isinstance(stop.code, int) else 2
    except BrokenPipeError:
        # the reader of a pipe went away, as `head` does; Python would complain of it once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (DecisionMinRNNError, KeyboardInterrupt, OSError) as error:
        if debugging:
            traceback.print_exc()
        return _report(error)
    return 0


def _report(error: DecisionMinRNNError | KeyboardInterrupt | OSError) -> int:
    """Say what went wrong; returns the exit code."""
    if isinstance(error, KeyboardInterrupt):
        message, code = "interrupted", 130
    elif isinstance(error, DecisionMinRNNError):
        message, code = str(error), getattr(error, "exit_code", 1)
    else:
        where = f"{error.filename}: " if error.filename else ""
        message, code = f"{where}{error.strerror or error}", 1
    print(f"error: {message}", file=sys.stderr)
    return code
