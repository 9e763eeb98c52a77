"""Completion in a real bash and a real fish: what they offer after some words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import redirect_stdout

import pytest

from decision_minrnn.cli import COMMANDS, main

SHELLS = {
    "bash": (
        'source {script}; COMP_WORDS=({typed}); COMP_CWORD={last}; _decision_minrnn; printf "%s\\n" "${{COMPREPLY[@]}}"'
    ),
    "fish": 'source {script}; complete -C "{line}"',
}

Offered = Callable[..., set[str]]


@pytest.fixture(scope="module", params=SHELLS)
def offered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Offered:
    """What a shell offers in place of the last word, where there is one file."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} on this machine")
    folder = tmp_path_factory.mktemp("completion")
    script = folder / "script"
    with script.open("w", encoding="utf-8") as file, redirect_stdout(file):
        assert main(["completion", shell]) == 0
    (folder / "here").mkdir()
    (folder / "here" / "recordings.hdf5").touch()

    def offers(*words: str) -> set[str]:
        line = ["decision-minrnn", *words]
        typed = " ".join(f"'{word}'" for word in line)
        code = SHELLS[shell].format(script=script, typed=typed, last=len(words), line=" ".join(line))
        own = {**os.environ, "HOME": str(folder)}
        done = subprocess.run(
            [shell, "-c", code], cwd=folder / "here", env=own, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return set(done.stdout.split())

    return offers


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], {"train"}),
        (["train", "hopper-medium", "--upd"], {"--updates"}),
        (["train", "hopper-medium", "--no-eval"], {"--no-evaluate"}),
        (["evaluate", "runs/one", "--me"], {"--memory"}),
        (["data", "c"], {"check", "convert", "collect", "cache"}),
        (["data", "plot", "--c"], {"--csv"}),
        (["data", "plot", "hopper-medium", "--c"], {"--csv"}),
        (["paper", "sel"], {"selective-copying"}),
        (["paper", "parameters", "--w"], {"--width"}),
        (["benchmark", "sp"], {"speed"}),
        (["--quiet", "rep"], {"report"}),
        (["nonsense", "x"], set()),
    ],
)
def test_what_is_offered(offered: Offered, words: list[str], expected: set[str]) -> None:
    assert offered(*words) == expected


def test_every_command(offered: Offered) -> None:
    assert offered("") >= {*COMMANDS}
    assert offered("-") >= {"--quiet", "--version", "--help"}
    for command in COMMANDS:
        assert "--help" in offered(command, "-")


@pytest.mark.parametrize("offered", ["fish"], indirect=True)  # bash adds names of files by itself
def test_files_are_offered_where_no_command_is_to_come(offered: Offered) -> None:
    assert offered("data", "plot", "rec") == {"recordings.hdf5"}
    assert offered("data", "rec") == offered("rec") == set()


def test_zsh_runs_the_script_of_bash(capsys: pytest.CaptureFixture[str]) -> None:
    scripts = {}
    for shell in ("bash", "zsh"):
        assert main(["completion", shell]) == 0
        scripts[shell] = capsys.readouterr().out
    assert scripts["zsh"] == "autoload -U +X bashcompinit && bashcompinit\n" + scripts["bash"]
    assert main(["completion", "tcsh"]) == 2
