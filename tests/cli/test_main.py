"""The command line as a whole: commands, help, version, exit codes and errors without tracebacks."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from decision_minrnn.cli import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert all(f"  {command}" in printed for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"decision-minrnn {command}" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"decision-minrnn {version('decision-minrnn')}\n"


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown command 'trian'. Did you mean train?")


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "nowhere" / "list.json"
    assert main(["data", "list", "--json", str(missing)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "No such file or directory" in error


def test_an_interruption_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import decision_minrnn.cli.data

    def interrupted(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(decision_minrnn.cli.data, "main", interrupted)
    assert main(["data", "list"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_as_a_module_from_a_shell() -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "decision_minrnn", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert run("--version") == (0, f"decision-minrnn {version('decision-minrnn')}\n", "")
    code, printed, error = run("evaluate", "no-such-run")
    assert (code, printed) == (1, "")
    assert error == "error: no-such-run does not exist. Expected a folder that `decision-minrnn train` wrote.\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m decision_minrnn data list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
