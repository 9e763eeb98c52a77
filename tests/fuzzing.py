"""Damaged and malicious files for every loader, made from sound ones: flipped, cut, spliced, and with values replaced.

A loader may return or raise one of the project's own errors. Anything else, more than 2 GB of memory, more than 20
seconds of CPU time for one input or the end of the process is a failure, and the files are kept.

    python tests/fuzzing.py --seconds 600 --keep FOLDER
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mutations import mutate
from tiny import LEDGER, random_model, train_config, trajectories, write_hopper_file

from decision_minrnn.cards import DatasetCard, EnvCard, read_card
from decision_minrnn.checkpoint import load_model, load_training_state, save_checkpoint
from decision_minrnn.collection.actor import load_actor
from decision_minrnn.data.base import Recording, in_memory
from decision_minrnn.data.cache import _mapped
from decision_minrnn.data.d4rl import read_d4rl, read_raw_d4rl
from decision_minrnn.data.minari.reading import read_minari, read_raw_minari
from decision_minrnn.data.minari.writing import write_minari
from decision_minrnn.data.npz import read_npz, read_raw_npz, write_npz
from decision_minrnn.errors import DecisionMinRNNError
from decision_minrnn.files import write_json
from decision_minrnn.learner import PolicyLearner, build_model
from decision_minrnn.policy import Policy
from decision_minrnn.rollout import evaluate
from decision_minrnn.runs import create_run, new_info, read_evaluation, read_run
from decision_minrnn.tracking import read_metrics

MEMORY = 2 * 2**30
SECONDS = 20


class Target(NamedTuple):
    """Files, and who reads them."""

    make: Callable[[Path], object]
    """Writes sound ones into a folder."""
    load: Callable[[Path], object]
    """Reads them."""


class Hang(BaseException):
    """One input takes too long."""


def learner() -> PolicyLearner:
    config = train_config(Path("run"), batch_size=2, sampling="streams")
    return PolicyLearner(build_model(config, DATA), DATA, config)


DATA = trajectories((4, 3))


def make_checkpoint(folder: Path) -> None:
    trained = learner()
    trained.learn()
    save_checkpoint(folder, trained.model, trained.state(), 1)


def checkpoint(folder: Path) -> Path:
    return folder / "checkpoints" / "update-0000001"


def make_run(folder: Path) -> None:
    config = train_config(folder, encoder_options={"expansion": 2.0})
    create_run(folder, new_info(config, random_model().config, DATA))
    write_json(folder / "evaluation.json", evaluate(Policy(random_model()), LEDGER, [1.0], episodes=1).to_dict())
    (folder / "metrics.jsonl").write_text('{"update": 1, "losses/action": 0.5}\n{"update": 2, "eval/return/1": 3.0}\n')


def make_cards(folder: Path) -> None:
    (folder / "env.toml").write_text(
        'env_id = "A-v0"\nregister = "a:b"\nobservation_size = 2\naction_low = -1.0\ntargets = [1.0, 2]\n'
        '[references.d4rl]\nmin = 0.0\nmax = 1.0\nsource = "x"\n'
    )
    (folder / "dataset.toml").write_text(
        'source = "d4rl"\nlocation = "a.hdf5"\nenv = "a"\ndescription = "b"\nurls = ["https://a/b"]\naliases = []\n'
    )


def make_cache_entry(folder: Path) -> None:
    about = {"source": "a", "format": "b", "steps": 7, "episodes": 2, "choices": None, "env_id": None}
    write_json(folder / "entry.json", {**about, "references": {}, "about": {}, "notes": []})
    for name in ("observations", "actions", "rewards", "offsets", "terminated", "truncated"):
        np.save(folder / f"{name}.npy", getattr(DATA, name))


def make_actor(folder: Path) -> None:
    shapes = {"w0": (2, 4), "b0": (4,), "w_mean": (4, 1), "b_mean": (1,), "w_std": (4, 1), "b_std": (1,)}
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    np.savez(folder / "actor.npz", n_hidden=np.array(1), **arrays)


def load_cache_entry(folder: Path) -> None:
    with suppress(OSError, ValueError):  # the entry is then made anew
        _mapped(folder)


def recorded() -> Recording:
    known = {name: getattr(DATA, name) for name in ("observations", "actions", "rewards", "offsets")}
    return Recording(**known, terminated=DATA.terminated, truncated=DATA.truncated, env_id="CartPole-v1")


TARGETS: dict[str, Target] = {
    "model": Target(make_checkpoint, lambda folder: load_model(checkpoint(folder))),
    "training state": Target(
        make_checkpoint, lambda folder: learner().restore(load_training_state(checkpoint(folder)))
    ),
    "run": Target(make_run, lambda folder: (read_run(folder), read_evaluation(folder))),
    "evaluation": Target(make_run, lambda folder: (read_metrics(folder), read_evaluation(folder))),
    "environment card": Target(make_cards, lambda folder: read_card(folder / "env.toml", EnvCard)),
    "dataset card": Target(make_cards, lambda folder: read_card(folder / "dataset.toml", DatasetCard)),
    "hdf5": Target(
        lambda folder: write_hopper_file(folder / "a.hdf5", 2, 3),
        lambda folder: read_d4rl(folder / "a.hdf5", in_memory, True),
    ),
    "hdf5 as it is": Target(
        lambda folder: write_hopper_file(folder / "a.hdf5", 2, 3), lambda folder: read_raw_d4rl(folder / "a.hdf5")
    ),
    "npz": Target(
        lambda folder: write_npz(recorded(), folder / "a.npz"),
        lambda folder: read_npz(folder / "a.npz", in_memory, True),
    ),
    "npz as it is": Target(
        lambda folder: write_npz(recorded(), folder / "a.npz"), lambda folder: read_raw_npz(folder / "a.npz")
    ),
    "minari": Target(
        lambda folder: write_minari(recorded(), folder, "a/b-v0"), lambda folder: read_minari(folder, in_memory, True)
    ),
    "minari as it is": Target(lambda folder: write_minari(recorded(), folder, "a/b-v0"), read_raw_minari),
    "cache": Target(make_cache_entry, load_cache_entry),
    "actor": Target(make_actor, lambda folder: load_actor(folder / "actor.npz")),
}


def expire(*_: object) -> None:
    raise Hang


def try_input(target: Target, sound: Path, folder: Path, generator: random.Random) -> str:
    """Load one damaged copy of the sound files: what went wrong, empty if nothing did."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder)
    mutate(folder, generator)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        target.load(folder)
    except DecisionMinRNNError:
        pass
    except (Exception, Hang):
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def fuzz(name: str, folder: Path, seed: int, seconds: float, most: int, keep: Path | None) -> tuple[int, list[str]]:
    """Try inputs until the time is over: how many there were, and what went wrong, once for each place."""
    target, generator, failures, count = TARGETS[name], random.Random(f"{name} {seed}"), {}, 0
    signal.signal(signal.SIGPROF, expire)
    sound = folder / "sound"
    sound.mkdir(parents=True)
    target.make(sound)
    began = time.monotonic()
    while count < most and time.monotonic() - began < seconds:
        failure = try_input(target, sound, folder / "input", generator)
        count += 1
        place = next((line for line in reversed(failure.splitlines()) if line.startswith("  File")), "")
        if failure and place not in failures:
            failures[place] = failure
            if keep is not None:
                shutil.copytree(folder / "input", keep / f"{name}-{seed}-{count}".replace(" ", "-"))
    return count, list(failures.values())


def run_apart(name: str, seed: int, seconds: float, keep: Path) -> tuple[int, list[str]]:
    """`fuzz` in a process of its own, which may crash."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--target", name, "--seed", str(seed), "--seconds", str(seconds)]
        done = subprocess.run([*command, "--folder", folder, "--keep", str(keep)], capture_output=True, text=True)
        if done.returncode < 0:
            kept = keep / f"{name}-{seed}-crash".replace(" ", "-")
            shutil.copytree(Path(folder) / "input", kept, dirs_exist_ok=True)
            return 1, [f"{name}: the process ended with signal {-done.returncode}; its input is {kept}"]
        if done.returncode:
            return 0, [done.stderr]
        count, failures = json.loads(done.stdout.splitlines()[-1])
        return count, failures


def limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="where failing inputs are kept")
    parser.add_argument("--target", choices=TARGETS, help="this one alone, in this process")
    parser.add_argument("--folder", type=Path, help="where its inputs are written")
    asked = parser.parse_args()
    if asked.target:
        load_once = TARGETS[asked.target]
        with tempfile.TemporaryDirectory() as first:  # imports what it needs before memory is limited
            load_once.make(Path(first))
            load_once.load(Path(first))
        limit_memory()
        folder = asked.folder or Path(tempfile.mkdtemp())
        print(json.dumps(fuzz(asked.target, folder, asked.seed, asked.seconds, 10**9, asked.keep)))
        return 0
    began, counts, failed, turn = time.monotonic(), dict.fromkeys(TARGETS, 0), 0, asked.seed
    slice_seconds = max(1.0, min(30.0, asked.seconds / len(TARGETS)))
    while time.monotonic() - began < asked.seconds:
        for name in TARGETS:
            count, failures = run_apart(name, turn, slice_seconds, asked.keep)
            counts[name] += count
            failed += len(failures)
            for failure in failures:
                print(failure, flush=True)
        turn += 1
    for name, count in counts.items():
        print(f"{name:20} {count:10,} inputs")
    print(f"{sum(counts.values()):,} inputs in {time.monotonic() - began:.0f} s, {failed} failures")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
