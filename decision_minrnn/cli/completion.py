"""`decision-minrnn completion SHELL`: a script that completes commands and flags, made from what `--help` says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from typing import Annotated, Literal, NamedTuple

import tyro

from decision_minrnn.cli.parsing import run_command

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

_FISH = """# fish completion of decision-minrnn
function __decision_minrnn_after
    set -l words
    for word in (commandline -opc)
        string match -q -- '-*' $word; or set -a words $word
    end
    set -e words[1]
    string match -q -- $argv[1] "$words "
end
"""


class Known(NamedTuple):
    """What may come after the words of a command."""

    words: str
    commands: list[str]
    flags: list[str]


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    run_command(completion, "completion", arguments)


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional, tyro.conf.arg(metavar="{bash,zsh,fish}")],
) -> None:
    """Print a script that completes commands and flags in a shell; where none fits, names of files.

    bash: decision-minrnn completion bash > ~/.local/share/bash-completion/completions/decision-minrnn

    zsh:  decision-minrnn completion zsh >> ~/.zshrc

    fish: decision-minrnn completion fish > ~/.config/fish/completions/decision-minrnn.fish

    Args:
        shell: The shell that reads it.
    """
    scripts = {"bash": bash_script, "zsh": lambda known: _ZSH + bash_script(known), "fish": fish_script}
    print(scripts[shell](known_words()), end="")


def known_words() -> list[Known]:
    """Every command and its flags, longer words first and none at all last."""
    from decision_minrnn.cli import COMMANDS, FLAGS

    known = []
    for command in COMMANDS:
        text = _help([command])
        inside = _commands(text)
        known += [Known(f"{command} {name}", [], _flags(_help([command, name]))) for name in inside]
        known.append(Known(command, inside, _flags(text)))
    return [*known, Known("", [*COMMANDS], [*FLAGS, "--help"])]


def bash_script(known: Sequence[Known]) -> str:
    """A function of bash that knows every command and its flags."""
    patterns = [f'"{words} "*' if words else "*" for words, _, _ in known]
    offers = [" ".join([*commands, *flags]) for _, commands, flags in known]
    cases = [f'        {pattern}) known="{offer}" ;;' for pattern, offer in zip(patterns, offers, strict=True)]
    return _BASH.format(cases="\n".join(cases))


def fish_script(known: Sequence[Known]) -> str:
    """The same for fish, which offers flags after a dash alone, and files where no command is to come."""
    lines = []
    for words, commands, flags in known:
        # a command of a group stands right behind it, and flags anywhere behind their command
        pattern = f"{words} " if commands else f"{words} *"
        after = f"complete -c decision-minrnn -n '__decision_minrnn_after \"{pattern}\"'"
        if commands:
            lines.append(f"{after} -f -a '{' '.join(commands)}'")
        lines.append(after + "".join(f" -l {flag.removeprefix('--')}" for flag in flags))
    return _FISH + "\n".join(lines) + "\n"


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
