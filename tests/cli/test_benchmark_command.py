"""`benchmark COMMAND`: what cannot be done is refused before anything is measured."""

from __future__ import annotations

import pytest

from decision_minrnn.cli import main


@pytest.mark.parametrize("command", ["speed", "encoders", "gpu", "context", "latency", "evaluation"])
def test_a_file_that_cannot_be_written(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", command, "--json", "nowhere/result.json"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "error: --json nowhere/result.json: there is no folder nowhere.\n"
    assert printed.out == ""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("latency --threads 0", "--threads expects a whole number of at least 1, got 0"),
        ("context --threads -1", "--threads expects a whole number of at least 1, got -1"),
        ("context --rounds 0", "--rounds expects a whole number of at least 1, got 0"),
        ("gpu --device cpu --rounds 0", "--rounds expects a whole number of at least 1, got 0"),
        ("gpu --device cpu --times 4 0 --tokens 8", "at least 1, got [4, 0], 8, 128, 300 and 5"),
        ("gpu --device cpu --seeds 0", "expect whole numbers of at least 1"),
        ("gpu --device abacus", "--device abacus cannot be used on this machine"),
    ],
)
def test_what_cannot_be_measured(command: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *command.split()]) == 1
    assert expected in capsys.readouterr().err
