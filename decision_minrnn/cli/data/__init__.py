"""`decision-minrnn data COMMAND`: which datasets there are, what is in one, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tyro.extras import subcommand_cli_from_dict


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    from decision_minrnn.cli.data.cache import show_cache
    from decision_minrnn.cli.data.check import check_dataset
    from decision_minrnn.cli.data.collect import collect_dataset
    from decision_minrnn.cli.data.convert import convert
    from decision_minrnn.cli.data.download import download_datasets
    from decision_minrnn.cli.data.listing import list_datasets
    from decision_minrnn.cli.data.plot import plot_dataset
    from decision_minrnn.cli.data.show import show_dataset

    commands: dict[str, Any] = {
        "list": list_datasets,
        "show": show_dataset,
        "check": check_dataset,
        "plot": plot_dataset,
        "download": download_datasets,
        "convert": convert,
        "collect": collect_dataset,
        "cache": show_cache,
    }
    subcommand_cli_from_dict(
        commands,
        prog="decision-minrnn data",
        description="List, describe, check, plot, convert, download and record datasets.",
        args=list(arguments),
    )
