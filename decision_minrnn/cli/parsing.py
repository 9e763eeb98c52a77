"""From the words of a command line to a call of the command's function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tyro

from decision_minrnn.cli.options import options_registry


def run_command(function: Callable[..., None], command: str, arguments: Sequence[str]) -> None:
    """Call a function with what its command line says; its docstring and annotations are the help.

    Args:
        function: what the command does.
        command: the words that the command line began with.
        arguments: the words after these.

    Raises:
        SystemExit: 0 after the help, 2 for words that cannot be understood.
    """
    tyro.cli(
        function,
        prog=f"decision-minrnn {command}",
        args=list(arguments),
        registry=options_registry(),
        config=(tyro.conf.PositionalMetavarFromFieldName,),
    )
