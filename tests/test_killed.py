"""Processes that are killed at random moments, of trainings that are drawn at random, lose nothing."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from runs_compared import assert_same_run, needs_forkserver, start, wait_for_a_line
from tiny import train_config, trajectories

from decision_minrnn.checkpoint import checkpoint_folders
from decision_minrnn.training import resume, train

DATA = trajectories()
KILLS = 10
"""Of each training that is drawn."""

TRAININGS = st.fixed_dictionaries(
    {
        "encoder": st.sampled_from(["mingru", "minlstm", "gru", "lstm", "transformer", "s6", "mamba", "mlp"]),
        "tokens": st.sampled_from(["merged", "interleaved"]),
        "precision": st.sampled_from(["float32", "bfloat16"]),
        "dropout": st.sampled_from([0.0, 0.3]),
        "checkpoint_every": st.integers(5, 60),
        "keep_checkpoints": st.integers(1, 3),
        "log_every": st.integers(2, 10),
        "evaluate_every": st.sampled_from([0, 90]),
        "seed": st.integers(0, 99),
    }
)
SAMPLERS = st.sampled_from(
    [
        {"sampling": "windows", "context": 5},
        {"sampling": "streams", "context": 5},
        {"sampling": "streams", "context": "episode"},
    ]
)


def train_in_process(out: Path, drawn: dict[str, Any]) -> None:
    train(train_config(out, updates=150, **drawn), DATA)


def resume_in_process(out: Path) -> None:
    resume(out, DATA)


@needs_forkserver
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_any_training_that_is_killed_at_any_moment(tmp_path_factory: pytest.TempPathFactory) -> None:
    killed: list[bool] = []

    @settings(max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(training=TRAININGS, sampler=SAMPLERS, moments=st.randoms(use_true_random=False))
    def kill_and_compare(training: dict[str, Any], sampler: dict[str, Any], moments: random.Random) -> None:
        folder = tmp_path_factory.mktemp("killed")
        drawn = training | sampler
        train_in_process(folder / "whole", drawn)
        run = folder / "cut"
        process = start(train_in_process, run, drawn)
        for _ in range(KILLS):
            wait_for_a_line(run, process.is_alive)
            time.sleep(moments.uniform(0, 0.1))
            process.kill()
            process.join()
            killed.append(process.exitcode == -signal.SIGKILL)
            process = start(resume_in_process, run)
        process.join()
        assert process.exitcode == 0
        assert_same_run(run, folder / "whole")
        assert [path for path in (run / "checkpoints").iterdir() if path not in checkpoint_folders(run)] == []

    kill_and_compare()
    print(f"{sum(killed)} processes killed, no run lost")
    assert sum(killed) >= 50
