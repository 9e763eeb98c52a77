"""Build the embedded dataset `datasets/hopper-medium-mini` from a D4RL-layout recording of Hopper-v5.

    python scripts/make_embedded_dataset.py SOURCE.hdf5

Whole episodes are drawn so that the returns are distributed as in the source: the episodes, sorted by return, are cut
into as many groups of equal size as episodes are wanted, and one is drawn from each group with a fixed seed. They are
stored in Minari's layout (T+1 observations an episode), which plain `minari.MinariDataset(folder)` opens.

A D4RL recording does not hold the observation after the last action. It is computed: the simulator is put into the
recorded state before the last action (`infos/qpos`, `infos/qvel`) and takes that action. The same is done at steps in
the middle of episodes, where the next observation is known; the difference is printed and must stay small.

Running it twice writes the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gymnasium
import h5py
import numpy as np
from minari.serialization import serialize_space

from decision_minrnn.cards import env_card
from decision_minrnn.data import Trajectories, load_dataset

ENV_ID = "Hopper-v5"
TARGET = Path(__file__).resolve().parents[1] / "datasets" / "hopper-medium-mini"
# The oldest Minari whose layout this is and that the project supports; a newer one reads it as well.
MINARI_VERSION = "0.5.3"
DESCRIPTION = (
    "Hopper-v5 episodes of a medium policy: SAC (Haarnoja et al. 2018) stopped after 160,000 environment steps, "
    "actions sampled from its Gaussian. Whole episodes, drawn by strata of the return from a recording of 400,000 "
    "steps. The last observation of each episode was computed by putting the simulator into the recorded state before "
    "the last action and applying that action; all others are as recorded. It is neither D4RL's hopper-medium nor "
    "Minari's mujoco/hopper/medium."
)


class Simulator:
    """Hopper, put into a recorded state for one step."""

    def __init__(self) -> None:
        self.env = gymnasium.make(ENV_ID).unwrapped
        self.env.reset(seed=0)

    def next(self, position: np.ndarray, velocity: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, float]:
        """The observation [O] and the reward that follow an action [A] taken in a state (qpos, qvel)."""
        self.env.data.qacc_warmstart[:] = 0
        self.env.set_state(position.astype(np.float64), velocity.astype(np.float64))
        observation, reward, *_ = self.env.step(action)
        return observation.astype(np.float32), float(reward)


def draw(returns: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices [count], ascending, of one episode from each of `count` groups of the episodes [E] sorted by return."""
    generator = np.random.default_rng(seed)
    groups = np.array_split(np.argsort(returns, kind="stable"), count)
    return np.sort([generator.choice(group) for group in groups])


def check_method(source: Trajectories, states: tuple[np.ndarray, np.ndarray], simulator: Simulator, seed: int) -> None:
    """Print how far computed next observations and rewards are from recorded ones, and stop if they are not close."""
    generator = np.random.default_rng(seed)
    inner = np.setdiff1d(np.arange(source.steps), source.offsets[1:] - 1)
    steps = generator.choice(inner, 2000, replace=False)
    observed = [simulator.next(states[0][n], states[1][n], source.actions[n]) for n in steps]
    errors = np.abs(np.stack([pair[0] for pair in observed]) - source.observations[steps + 1]).max(axis=1)
    rewards = np.abs(np.array([pair[1] for pair in observed]) - source.rewards[steps])
    print(f"computed against recorded, {len(steps):,} steps inside episodes: largest difference in an observation")
    print(f"  median {np.median(errors):.1e}, 99% {np.quantile(errors, 0.99):.1e}, largest {errors.max():.1e}")
    print(f"  reward: median {np.median(rewards):.1e}, largest {rewards.max():.1e}")
    if np.quantile(errors, 0.99) > 1e-2:
        raise SystemExit("the simulator does not reproduce the recording; nothing was written")


def write(source: Trajectories, chosen: np.ndarray, last: list[np.ndarray], folder: Path) -> int:
    """Write the chosen episodes in Minari's HDF5 layout; returns the steps written."""
    steps = 0
    with h5py.File(folder / "main_data.hdf5", "w", libver=("v110", "v110")) as file:
        for number, index in enumerate(chosen):
            episode = source.episode(int(index))
            length = len(episode.rewards)
            ends = np.zeros((2, length), bool)
            ends[:, -1] = episode.terminated, episode.truncated
            arrays = {
                "observations": np.concatenate([episode.observations, last[number][None]]),
                "actions": episode.actions,
                "rewards": episode.rewards,
                "terminations": ends[0],
                "truncations": ends[1],
            }
            group = file.create_group(f"episode_{number}")
            group.attrs["id"] = number
            group.attrs["total_steps"] = length
            group.create_group("infos")
            for name, values in arrays.items():
                group.create_dataset(
                    name, data=values, chunks=values.shape, compression="gzip", compression_opts=9, shuffle=True
                )
            steps += length
    return steps


def write_metadata(folder: Path, steps: int, episodes: int) -> None:
    """Everything that minari asks for, and what a reader of the data should know."""
    spec = gymnasium.spec(ENV_ID)
    env = gymnasium.make(spec)
    reference = env_card(ENV_ID).references["d4rl"]
    metadata = {
        "dataset_id": "decision-minrnn/hopper-medium-v0",
        "total_episodes": episodes,
        "total_steps": steps,
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "observation_space": serialize_space(env.observation_space),
        "action_space": serialize_space(env.action_space),
        "env_spec": spec.to_json(),
        "eval_env_spec": spec.to_json(),
        "minari_version": MINARI_VERSION,
        "algorithm_name": "SAC, stopped early, stochastic actions",
        "author": ["decision_minrnn contributors"],
        "license": "MIT",
        "description": DESCRIPTION,
        "requirements": ["gymnasium>=1.0", "mujoco>=3.0"],
        "ref_min_score": reference.min,
        "ref_max_score": reference.max,
        "ref_score_source": reference.source,
        "dataset_size": round((folder / "main_data.hdf5").stat().st_size / 1e6, 1),
    }
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="HDF5 file in D4RL's layout with infos/qpos and infos/qvel")
    parser.add_argument("--steps", type=int, default=80_000, help="about how many steps to keep")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--out", type=Path, default=TARGET, help="folder of the dataset")
    arguments = parser.parse_args()

    source = load_dataset(arguments.source, env=ENV_ID)
    with h5py.File(arguments.source, "r") as file:
        states = file["infos/qpos"][()], file["infos/qvel"][()]
    simulator = Simulator()
    check_method(source, states, simulator, arguments.seed)

    chosen = draw(source.returns, round(arguments.steps / source.lengths.mean()), arguments.seed)
    ends = source.offsets[1:][chosen] - 1
    last = [simulator.next(states[0][n], states[1][n], source.actions[n])[0] for n in ends]
    folder = arguments.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    steps = write(source, chosen, last, folder)
    write_metadata(folder, steps, len(chosen))
    for name, returns in (("source", source.returns), ("subset", source.returns[chosen])):
        quantiles = ", ".join(f"{q:.0f}" for q in np.quantile(returns, [0.1, 0.5, 0.9]))
        print(
            f"{name}: {len(returns)} episodes, return {returns.mean():.1f} ± {returns.std():.1f}, "
            f"10/50/90%: {quantiles}, max {returns.max():.1f}"
        )
    print(f"{folder}: {steps:,} steps, {sum(f.stat().st_size for f in folder.iterdir()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
