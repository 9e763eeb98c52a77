"""Real processes: trained end to end, killed at random moments, stopped by a signal, resumed to the same weights."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs_compared import assert_same_run, needs_forkserver, start, wait_for_a_line

from decision_minrnn.checkpoint import checkpoint_folders, latest_checkpoint
from decision_minrnn.cli import main
from decision_minrnn.tracking import read_metrics

FLAGS = (
    "--width 8 --layers 1 --batch-size 4 --log-every 10 --checkpoint-every 20 --threads 1 --episodes 2 "
    "--targets 1000 --evaluate-every 100 --seed 3"
)


def assert_same_results(run: Path, other: Path) -> None:
    assert_same_run(run, other)
    one, two = (json.loads((folder / "evaluation.json").read_text())["targets"] for folder in (run, other))
    assert one == two


def kill_and_resume(tmp_path: Path, updates: int, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    arguments = ["train", "hopper-medium", *FLAGS.split(), "--updates", str(updates)]
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    run, killed = tmp_path / "cut", 0
    process = start(main, [*arguments, "--out", str(run)])
    while killed < kills:
        wait_for_a_line(run, process.is_alive)
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"the run was over after {killed} kills"
        killed += 1
        process = start(main, ["train", "--resume", str(run)])
    process.join()
    assert process.exitcode == 0
    assert_same_results(run, tmp_path / "whole")
    assert [path for path in (run / "checkpoints").iterdir() if path not in checkpoint_folders(run)] == []


@needs_forkserver
def test_a_run_that_is_killed_three_times_is_the_run_that_is_not(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, updates=200, kills=3, seed=0)


@needs_forkserver
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_that_is_killed_many_times(tmp_path: Path, seed: int) -> None:
    kill_and_resume(tmp_path, updates=1500, kills=12, seed=seed)


def test_a_signal_from_outside(tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["train", "hopper-medium", *FLAGS.split(), "--updates", "100000", "--evaluate-every", "0"]
    command = [sys.executable, "-m", "decision_minrnn", *arguments, "--out", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_a_line(run, lambda: process.poll() is None)
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 143
    update = int(latest_checkpoint(run).name.removeprefix("update-"))
    assert errors == (
        f"error: stopped after update {update} of 100000, and saved. "
        f"Continue with: decision-minrnn train --resume {run}\n"
    )


def test_end_to_end_on_the_embedded_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = "--width 16 --layers 1 --batch-size 16 --updates 60 --warmup 10 --log-every 20 --threads 1 --episodes 2"
    assert main(["train", "hopper-medium", *flags.split()]) == 0
    printed = capsys.readouterr().out
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("hopper-medium__mingru__0__")
    assert "hopper-medium: embedded Minari dataset, 80,342 steps in 184 episodes (Hopper-v5)" in printed
    assert "update 60/60  loss " in printed
    assert "Hopper-v5, carried memory, checkpoint: last, update 60 of 60" in printed
    for name in ("config.json", "metrics.jsonl", "evaluation.json", "checkpoints/update-0000060/model.safetensors"):
        assert (run / name).stat().st_size > 0
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert [row["target_return"] for row in evaluation["targets"]] == [3600, 1800]
    assert evaluation["reference"] == "d4rl"
    losses = [row["losses/action"] for row in read_metrics(run) if "losses/action" in row]
    assert losses[-1] < losses[0]
    assert main(["evaluate", str(run), "--episodes", "2", "--json", "-"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["targets"] == evaluation["targets"]
