"""`decision-minrnn completion SHELL`: a script that completes commands and flags, made from what `--help` says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from typing import Annotated, Literal

import tyro

_BASH = """# bash completion of decision-minrnn
_decision_minrnn() {{
    local words=() word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        [[ $word == -* ]] || words+=("$word")
    done
    local known
    case "${{words[*]:0:2}} " in
{cases}
    esac
    COMPREPLY=($(compgen -W "$known" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _decision_minrnn decision-minrnn
"""

_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    tyro.cli(completion, prog="decision-minrnn completion", args=arguments)


def completion(shell: Annotated[Literal["bash", "zsh"], tyro.conf.Positional]) -> None:
    """Print a script that completes commands and flags in a shell; where none fits, names of files.

    bash: decision-minrnn completion bash > ~/.local/share/bash-completion/completions/decision-minrnn

    zsh:  decision-minrnn completion zsh >> ~/.zshrc

    Args:
        shell: The shell that reads it.
    """
    print((_ZSH if shell == "zsh" else "") + completion_script(), end="")


def completion_script() -> str:
    """A function of bash that knows every command and its flags."""
    from decision_minrnn.cli import COMMANDS, FLAGS

    cases = []
    for command in COMMANDS:
        text = _help([command])
        inside = _commands(text)
        cases += [(f"{command} {name}", _flags(_help([command, name]))) for name in inside]
        cases.append((command, [*inside, *_flags(text)]))
    first = [*COMMANDS, *FLAGS, "--help"]
    patterns = [f'        "{words} "*) known="{" ".join(known)}" ;;' for words, known in cases]
    return _BASH.format(cases="\n".join([*patterns, f'        *) known="{" ".join(first)}" ;;']))


def _help(words: Sequence[str]) -> str:
    """What a command says with `--help`."""
    text = StringIO()
    with redirect_stdout(text), suppress(SystemExit):
        import_module(f"decision_minrnn.cli.{words[0]}").main([*words[1:], "--help"])
    return text.getvalue()


def _commands(text: str) -> list[str]:
    """The commands of a group, from its help."""
    usage, _, rest = text.partition("\n\n")
    if braces := re.search(r"\{([\w,-]+)\}", usage):
        return braces[1].split(",")
    listed = rest.partition("\ncommands:\n")[2].partition("\n\n")[0]
    return re.findall(r"^  ([\w-]+)", listed, re.MULTILINE)


def _flags(text: str) -> list[str]:
    """The flags that stand at the beginning of a line of a help, in its box, those that say no among them."""
    starts = re.findall(r"^[│ ]*((?:-\w, )?--[a-z][^\n│]*)", text, re.MULTILINE)
    return sorted({flag for start in starts for flag in re.findall(r"--[a-z][\w-]*", start.split("  ")[0])})
