"""Commands that stand together under one name: which there are, help, and running one, which alone is imported."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from decision_minrnn.errors import UnknownNameError


def choose_command(
    program: str,
    about: str,
    commands: Mapping[str, str],
    arguments: Sequence[str],
    flags: Mapping[str, str] | None = None,
) -> tuple[str, list[str]]:
    """The command that comes first on a command line, and what comes after it.

    Args:
        program: what stands before it.
        about: what the help says of them all.
        commands: what each does, by name.
        arguments: the rest of the command line.
        flags: what flags do that stand with any of them.

    Raises:
        SystemExit: 0 after the help, 2 for a command that there is not.
    """
    command, *rest = list(arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(_help(program, about, commands, flags or {}))
        raise SystemExit(0)
    if command not in commands:
        print(f"error: {UnknownNameError('command', command, commands)}", file=sys.stderr)
        raise SystemExit(2)
    return command, rest


def _help(program: str, about: str, commands: Mapping[str, str], flags: Mapping[str, str]) -> str:
    flags = {"--help": "this text; after a command, its options", **flags}
    return f"usage: {program} COMMAND [options]\n\n{about}\n\ncommands:\n{_list(commands)}\n\noptions:\n{_list(flags)}"


def _list(descriptions: Mapping[str, str]) -> str:
    width = max(map(len, descriptions)) + 1
    return "\n".join(f"  {name:<{width}} {what}" for name, what in descriptions.items())
