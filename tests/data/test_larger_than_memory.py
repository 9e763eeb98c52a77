"""Five million steps: what a training on them keeps in memory, and what a batch of them costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

STEPS, LENGTH = 5_000_000, 500

TRAIN = """
import json, resource, sys, time
import numpy as np
import decision_minrnn as dm
from decision_minrnn.data.sampling import Sampler

began = time.perf_counter()
data = dm.load_dataset(sys.argv[1], env="hopper")
loaded = time.perf_counter() - began
dm.train(dm.TrainConfig(sys.argv[1], updates=100, width=32, evaluate=False, threads=1, out=sys.argv[2]), data)

def milliseconds(sampler):
    began = time.perf_counter()
    sampler.sample()
    return 1000 * (time.perf_counter() - began)

few = dm.load_dataset(sys.argv[3], env="hopper")
samplers = [Sampler(which, 64, 20, 0, "windows") for which in (data, few)]
times = [[milliseconds(sampler) for sampler in samplers] for _ in range(2000)]
print(json.dumps({
    "steps": data.steps,
    "load_s": loaded,
    "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "sample_ms": np.median(times, axis=0).tolist(),
}))
"""


def write_steps(path: Path, steps: int) -> Path:
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name, size in (("observations", (11,)), ("actions", (3,)), ("rewards", ())):
            stored = file.create_dataset(name, (steps, *size), np.float32, chunks=(10_000, *size), compression="lzf")
            for start in range(0, steps, 500_000):
                rows = min(500_000, steps - start)
                stored[start : start + rows] = generator.random((rows, *size), np.float32)
        file["terminals"] = np.zeros(steps, bool)
        file["timeouts"] = np.arange(1, steps + 1) % LENGTH == 0
    return path


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is in kilobytes on Linux")
def test_five_million_steps(tmp_path: Path) -> None:
    large, small = write_steps(tmp_path / "large.hdf5", STEPS), write_steps(tmp_path / "small.hdf5", 100_000)
    facts = []
    for number in range(2):
        command = [sys.executable, "-c", TRAIN, str(large), str(tmp_path / f"run-{number}"), str(small)]
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        facts.append(json.loads(finished.stdout.splitlines()[-1]))
    print(facts)
    assert [fact["steps"] for fact in facts] == [STEPS, STEPS]
    for fact in facts:
        assert fact["rss_mb"] < 1500
        assert fact["sample_ms"][0] < 2 * fact["sample_ms"][1]
