"""`decision-minrnn data COMMAND`: which datasets there are, what is in one, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from decision_minrnn.cli.groups import choose_command
from decision_minrnn.cli.parsing import run_command

COMMANDS = {
    "list": "which datasets have a card, and which of them are on this machine",
    "show": "what is in a dataset",
    "check": "faults in a dataset: numbers, severity and remedy",
    "plot": "a figure of a dataset, for a paper",
    "download": "bring datasets to this machine",
    "convert": "write a dataset as HDF5, npz or Minari",
    "collect": "record a dataset, with a policy that is trained for it",
    "cache": "the datasets that are kept unpacked",
}

_FUNCTIONS = {
    "list": "listing.list_datasets",
    "show": "show.show_dataset",
    "check": "check.check_dataset",
    "plot": "plot.plot_dataset",
    "download": "download.download_datasets",
    "convert": "convert.convert",
    "collect": "collect.collect_dataset",
    "cache": "cache.show_cache",
}


def main(arguments: Sequence[str]) -> None:
    """Run one command."""
    about = "List, describe, check, plot, convert, download and record datasets."
    command, rest = choose_command("decision-minrnn data", about, COMMANDS, arguments)
    module, function = _FUNCTIONS[command].split(".")
    chosen = getattr(import_module(f"decision_minrnn.cli.data.{module}"), function)
    run_command(chosen, f"data {command}", rest)
