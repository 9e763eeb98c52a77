"""Completion in a real bash: what it offers after some words."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from decision_minrnn.cli import COMMANDS, main

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from decision_minrnn.cli.completion import completion_script

    path = tmp_path_factory.mktemp("completion") / "script"
    path.write_text(completion_script(), encoding="utf-8")
    return path


def offered(script: Path, *words: str) -> set[str]:
    """What bash offers in place of the last word."""
    typed = " ".join(f"'{word}'" for word in ("decision-minrnn", *words))
    code = f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _decision_minrnn; "
    done = subprocess.run(
        ["bash", "-c", code + 'printf "%s\\n" "${COMPREPLY[@]}"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


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
def test_what_is_offered(script: Path, words: list[str], expected: set[str]) -> None:
    assert offered(script, *words) == expected


def test_every_command(script: Path) -> None:
    assert offered(script, "") >= {*COMMANDS, "--quiet", "--version"}
    for command in COMMANDS:
        assert "--help" in offered(script, command, "-")


def test_the_scripts(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    zsh = capsys.readouterr().out
    assert zsh.splitlines()[0] == "autoload -U +X bashcompinit && bashcompinit"
    assert zsh.partition("\n")[2] == script.read_text(encoding="utf-8")
    assert main(["completion", "tcsh"]) == 2
