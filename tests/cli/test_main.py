"""The command line as a whole: commands, help, version, exit codes and errors without tracebacks."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tiny import write_hopper_file

from decision_minrnn.cli import COMMANDS, FLAGS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert all(f"  {command}" in printed for command in (*COMMANDS, *FLAGS, "--help"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"decision-minrnn {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["train"], "[OPTIONS] DATASET"),
        (["share"], "[OPTIONS] RUN [FOLDER]"),
        (["data", "convert"], "[OPTIONS] SOURCE TARGET"),
        (["completion"], "{bash,zsh,fish}"),
    ],
)
def test_help_says_what_stands_without_a_flag(words: list[str], usage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: decision-minrnn {' '.join(words)} [-h] {usage}\n")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"decision-minrnn {version('decision-minrnn')}\n"


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown command 'trian'. Did you mean train?")


@pytest.mark.parametrize("words", [["data", "shwo"], ["paper", "shwo"]])
def test_an_unknown_command_of_a_group(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: unknown command 'shwo'.")


def test_a_wrong_setting_of_a_nested_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "collect", "hopper", "--steps", "0"]) == 2
    error = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "--steps expects a whole number of at least 1, got 0." in error
    assert "decision-minrnn data collect --help" in error
    assert "dummy" not in error


@pytest.mark.parametrize(
    ("words", "variable", "shown"),
    [
        (["evaluate", "no-such-run"], "0", False),
        (["evaluate", "no-such-run", "--debug"], "0", True),
        (["--debug", "evaluate", "no-such-run"], "", True),
        (["evaluate", "no-such-run"], "1", True),
    ],
)
def test_where_an_error_arose(
    words: list[str],
    variable: str,
    shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DECISION_MINRNN_DEBUG", variable)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert ("Traceback" in error) == shown
    assert error.splitlines()[-1].startswith("error: no-such-run does not exist.")


@pytest.mark.parametrize(
    ("flag", "shown"), [("--quiet", "warning: little is left\n"), ("--debug", "UserWarning: little is left")]
)
def test_a_warning_is_one_line(flag: str, shown: str) -> None:
    code = f"""import warnings
from decision_minrnn.cli import data, main
data.main = lambda words: warnings.warn("little is left")
main(["data", "{flag}"])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown in done.stderr
    assert ("<string>" in done.stderr) == (flag == "--debug")


def test_quiet_shows_results_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_hopper_file(tmp_path / "hopper-tiny.hdf5")
    settings = "--updates 2 --width 4 --layers 1 --batch-size 2 --threads 1 --env Hopper-v5 --targets 50 --episodes 1"
    assert main(["--quiet", "train", str(data), *settings.split(), "--out", str(tmp_path / "run")]) == 0
    printed, errors = capsys.readouterr()
    assert errors == ""
    assert "updates/s" not in printed
    assert f"run folder: {tmp_path / 'run'}" in printed
    assert main(["evaluate", str(tmp_path / "run"), "--episodes", "1", "--targets", "1e6", "--quiet"]) == 0
    printed, errors = capsys.readouterr()
    assert "95 % CI" in printed
    assert "warning" not in printed + errors


def test_runs_go_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from decision_minrnn.runs import runs_folder

    assert runs_folder() == Path("runs")
    monkeypatch.setenv("DECISION_MINRNN_RUNS", str(tmp_path / "mine"))
    data = write_hopper_file(tmp_path / "hopper-tiny.hdf5")
    settings = "--updates 1 --width 4 --layers 1 --batch-size 2 --threads 1 --env Hopper-v5 --no-evaluate"
    assert main(["train", str(data), *settings.split()]) == 0
    (folder,) = (tmp_path / "mine").iterdir()
    assert folder.name.startswith("hopper-tiny__mingru__0__")


def test_no_colour_where_it_is_not_wanted() -> None:
    command = [sys.executable, "-m", "decision_minrnn", "train", "hopper-medium", "--widht", "3"]
    environment = {**os.environ, "FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--width" in done.stderr
    assert "\x1b[3" not in done.stderr


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
