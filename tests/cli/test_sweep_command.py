"""`sweep`, `sweep table` and `benchmark returns`: from a command line to tables, stopped and killed on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_runs import make_run
from tiny import write_hopper_file

from decision_minrnn.checkpoint import checkpoint_folders, update_of
from decision_minrnn.cli import main
from decision_minrnn.tracking import read_metrics

SMALL = (
    "--width 8 --layers 1 --batch-size 4 --context 5 --updates 6 --log-every 2 --env hopper --targets 100 --episodes 1"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_nothing_to_the_table_and_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_hopper_file(here / "good.hdf5")
    (here / "bad.hdf5").write_bytes(b"no HDF5")
    command = ["sweep", "--datasets", "good.hdf5", "bad.hdf5", "--seeds", "7", *SMALL.split(), "--jobs", "2"]
    assert main(command) == 1
    printed, errors = capsys.readouterr()
    assert "| good | " in printed
    assert "1 of 2 runs are not finished" in printed
    assert "error: 1 of 2 trials failed; the same command tries them again.\n" in errors
    assert "runs/sweep/bad__mingru__7/log.txt: bad.hdf5" in errors
    before = read_metrics(here / "runs/sweep/good__mingru__7")

    command.remove("bad.hdf5")
    assert main([*command, "--json", "-"]) == 0
    printed, errors = capsys.readouterr()
    assert json.loads(printed)["tables"][0]["tasks"] == ["good"]
    assert errors == "", "what is done is not run again"
    assert read_metrics(here / "runs/sweep/good__mingru__7") == before

    assert main(["sweep", "table", "runs/sweep", "--table", "csv"]) == 0
    assert "100,good,mingru,runs,1,," in capsys.readouterr().out


def test_the_plan_runs_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(here / "runs/sweep/hopper-medium__mlp__0", (42.0,), encoder="mlp")
    command = ["sweep", "--datasets", "hopper-medium", "--encoders", "mlp", "gru", "--seeds", "0", "--updates", "100"]
    assert main([*command, "--plan"]) == 0
    printed = capsys.readouterr().out
    assert "hopper-medium__mlp__0  done     100/100  0.2500   42.0" in printed
    assert "hopper-medium__gru__0  waiting    0/100" in printed
    assert "1 done, 1 waiting of 2" in printed
    assert main([*command, "--plan", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)["trials"]
    assert [(row["trial"], row["state"]) for row in rows] == [
        ("hopper-medium__mlp__0", "done"),
        ("hopper-medium__gru__0", "waiting"),
    ]
    assert [path.name for path in (here / "runs/sweep").iterdir()] == ["hopper-medium__mlp__0"]


def test_other_settings_in_the_folder_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(here / "runs/sweep/hopper-medium__mlp__0", encoder="mlp", dropout=0.3)
    command = ["sweep", "--datasets", "hopper-medium", "--encoders", "mlp", "--seeds", "0", "--updates", "100"]
    assert main(command) == 1
    assert "holds a run with other settings: dropout is 0.3 there and 0.1 here" in capsys.readouterr().err


def test_runs_made_by_hand_are_recognised(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for encoder, score in (("mlp", 30.0), ("mingru", 50.0), ("s4d", 40.0)):
        make_run(here / f"runs/returns/hopper-medium__{encoder}__0", (score,), encoder=encoder, threads=1)
    grid = "--datasets hopper-medium --encoders mingru s4d h3 --seeds 0 --updates 100"
    assert main(["benchmark", "returns", *grid.split(), "--collect"]) == 0
    printed = capsys.readouterr().out
    assert "|  | mingru | s4d |\n| --- | --: | --: |\n| hopper-medium | 50.0 | 40.0 |\n" in printed
    assert "1 of 3 runs are not finished" in printed
    assert main(["benchmark", "returns", *grid.split(), "--collect", "--table", "latex", "--against", "s4d"]) == 0
    assert "P($>$ s4d)" in capsys.readouterr().out


def test_the_returns_of_every_encoder_on_the_locomotion_datasets(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from decision_minrnn.encoders import encoder_names

    assert main(["benchmark", "returns", "--plan", "--json", "-"]) == 0
    names = [row["trial"] for row in json.loads(capsys.readouterr().out)["trials"]]
    assert names[:2] == ["halfcheetah-medium-v2__mingru__0", "halfcheetah-medium-v2__minlstm__0"]
    assert len(names) == 9 * len(encoder_names()) * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--datasets hopper-medium --set widht=8", "unknown setting 'widht'. Did you mean width"),
        ("--datasets hopper-medium --set width", "--set width: expected at least one value"),
        ("--datasets hopper-medium --jobs 0", "--jobs expects a whole number of at least 1, got 0"),
        ("--datasets hopper-medium --retries -1", "--retries expects a whole number of at least 0, got -1"),
        ("--datasets hopper-medium --against mingruu", "unknown column 'mingruu'. Did you mean mingru"),
        ("--datasets hopper-medium --encoders mingru:wide", "--encoders mingru:wide: expected KEY=VALUE"),
        ("--datasets hopper-medium --collect", "there is no finished and evaluated run to make a table of"),
        ("--datasets hopper-medium --json no/file.json", "--json no/file.json: there is no folder no"),
        ("table nowhere", "there is no folder nowhere"),
    ],
)
def test_bad_input_ends_in_a_message(
    here: Path, arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *arguments.split()]) == 1
    assert message in capsys.readouterr().err
    assert list(here.iterdir()) == []


LONG = SMALL.replace("--updates 6 --log-every 2", "--updates 2000 --log-every 10 --checkpoint-every 2000").split()
GRID = ["sweep", "--datasets", "hopper.hdf5", "--seeds", "0", "1", "2", *LONG, "--jobs", "2"]


def processes_of(folders: list[Path]) -> list[int]:
    """The process of each trial, from the last beginning in its log."""
    return [int((folder / "log.txt").read_text().split("process ")[-1].split()[0]) for folder in folders]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads from /proc whether a process is there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_stopped_or_killed_goes_on(
    here: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hopper_file(here / "hopper.hdf5")
    command = [sys.executable, "-m", "decision_minrnn", *GRID]
    sweep = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    folders = [here / f"runs/sweep/hopper__mingru__{seed}" for seed in (0, 1)]
    while not all(read_metrics(folder) for folder in folders):
        assert sweep.poll() is None
        time.sleep(0.05)
    sweep.send_signal(number)
    _, errors = sweep.communicate()
    while any(Path(f"/proc/{process}").exists() for process in processes_of(folders)):
        time.sleep(0.05)
    assert sweep.returncode == (-number if number == signal.SIGKILL else 128 + number)
    if number != signal.SIGKILL:
        assert "stopped with 0 of 3 trials done, and saved the others. Continue with the same command." in errors
    stopped_at = [update_of(checkpoint_folders(folder)[-1]) for folder in folders]
    assert all(0 < update < 2000 for update in stopped_at), "each saved when it ended"
    assert not (here / "runs/sweep/hopper__mingru__2").exists()

    assert main(GRID) == 0
    assert "Mean ± deviation over seeds 0, 1, 2;" in capsys.readouterr().out
    for folder, update in zip(folders, stopped_at, strict=True):
        assert f"from update {update}" in (folder / "log.txt").read_text()
