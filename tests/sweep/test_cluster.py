"""Sweeps on Ray: a real cluster on this machine, one of whose processes is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import write_hopper_file

from decision_minrnn.checkpoint import checkpoint_folders, update_of
from decision_minrnn.cli import main
from decision_minrnn.errors import ConfigError, MissingExtraError
from decision_minrnn.sweep.cluster import RayCluster

SMALL = "--width 8 --layers 1 --batch-size 4 --context 5 --env hopper --targets 100 --episodes 1"


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"decision-minrnn\[ray\]"):
        RayCluster("local", tmp_path)


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    write_hopper_file(tmp_path / "hopper.hdf5")
    grid = "sweep --datasets hopper.hdf5 --seeds 0 1 --updates 600 --checkpoint-every 50 --ray local --retries 1"
    command = [sys.executable, "-m", "decision_minrnn", *grid.split(), *SMALL.split(), "--cpus-per-trial", "0.5"]
    sweep = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killed, other = (tmp_path / f"runs/sweep/hopper__mingru__{seed}" for seed in (0, 1))
    while not checkpoint_folders(killed):
        assert sweep.poll() is None, sweep.communicate()[1]
        time.sleep(0.02)
    (process,) = processes_of(killed)
    os.kill(process, signal.SIGKILL)
    reached = update_of(checkpoint_folders(killed)[-1])
    printed, errors = sweep.communicate()
    assert sweep.returncode == 0, errors
    assert "hopper__mingru__0: goes on later, after: WorkerCrashedError" in errors
    assert "Mean ± deviation over seeds 0, 1;" in printed
    assert len(set(processes_of(killed))) == 2
    assert len(processes_of(other)) == 1
    (resumed,) = re.findall(r"from update (\d+)", (killed / "log.txt").read_text())
    assert int(resumed) >= reached
    assert update_of(checkpoint_folders(killed)[-1]) == 600


def processes_of(folder: Path) -> list[int]:
    """Those that were at a trial, from its log."""
    return [int(process) for process in re.findall(r"process (\d+) on", (folder / "log.txt").read_text())]


@pytest.mark.slow
def test_what_a_cluster_cannot_do_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    write_hopper_file(tmp_path / "hopper.hdf5")
    grid = "sweep --datasets hopper.hdf5 --ray local --gpus-per-trial 99"
    assert main([*grid.split(), *SMALL.split()]) == 1
    assert "no node of the cluster has 1 CPUs and 99 GPUs for a trial" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    with monkeypatch.context() as patch:
        # a file that is written here and cannot be seen there
        patch.setattr(Path, "touch", lambda path: None)
        with pytest.raises(ConfigError, match="does not see"):
            RayCluster("local", tmp_path)
