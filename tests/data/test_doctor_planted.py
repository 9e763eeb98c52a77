"""Each fault that the doctor knows, planted in a copy of a real recording: it is found, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np
import pytest
from recordings import write_hdf5

from decision_minrnn.data.resolve import locate, read_raw
from decision_minrnn.doctor import Finding, examine
from decision_minrnn.doctor.base import checks

Arrays = dict[str, np.ndarray]
EPISODES = 40


@pytest.fixture(scope="module")
def real() -> Arrays:
    """The first episodes of the embedded dataset in D4RL's layout, with next observations."""
    raw = read_raw(locate("hopper-medium"))
    steps = int(raw.ends[EPISODES - 1]) + 1
    names = ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")
    return {name: getattr(raw, name)[:steps] for name in names}


def ends(arrays: Arrays) -> np.ndarray:
    return np.flatnonzero(arrays["terminals"] | arrays["timeouts"])


def rows(arrays: Arrays, episode: int) -> slice:
    last = ends(arrays)
    return slice(int(last[episode - 1]) + 1 if episode else 0, int(last[episode]) + 1)


def remove(arrays: Arrays, gone: slice) -> None:
    for name, values in arrays.items():
        arrays[name] = np.delete(values, gone, axis=0)


def not_a_number(arrays: Arrays) -> None:
    arrays["observations"][1234, 3] = np.nan


def not_a_number_in_next(arrays: Arrays) -> None:
    arrays["next_observations"][1234, 3] = np.nan


def infinite_reward(arrays: Arrays) -> None:
    arrays["rewards"][[7, 2000]] = np.inf


def large_actions(arrays: Arrays) -> None:
    arrays["actions"] *= 1.5


def repeated_episode(arrays: Arrays) -> None:
    copied = rows(arrays, 3)
    for name, values in arrays.items():
        arrays[name] = np.concatenate([values, values[copied]])


def padding(arrays: Arrays) -> None:
    for name, values in arrays.items():
        arrays[name] = np.concatenate([values, np.zeros((50, *values.shape[1:]), values.dtype)])
    arrays["terminals"][-1] = True


def motionless_episode(arrays: Arrays) -> None:
    arrays["actions"][rows(arrays, 5)] = 0


def cut_episode(arrays: Arrays) -> None:
    whole = rows(arrays, 13)
    remove(arrays, slice(whole.start + 300, whole.stop))
    arrays["timeouts"][whole.start + 299] = True


def fused_episodes(arrays: Arrays) -> None:
    arrays["terminals"][ends(arrays)[2]] = False


def terminal_in_the_middle(arrays: Arrays) -> None:
    arrays["terminals"][rows(arrays, 4).start + 100] = True


def late_actions(arrays: Arrays) -> None:
    arrays["actions"] = np.roll(arrays["actions"], 1, axis=0)


def early_actions(arrays: Arrays) -> None:
    arrays["actions"] = np.roll(arrays["actions"], -1, axis=0)


def observations_one_too_many(arrays: Arrays) -> None:
    """T+1 rows of each episode, joined with T actions and cut to their number."""
    arrays["observations"] = joined(arrays)[: len(arrays["rewards"])]
    del arrays["next_observations"]


def observations_of_the_last_too(arrays: Arrays) -> None:
    arrays["observations"] = joined(arrays)
    del arrays["next_observations"]


def joined(arrays: Arrays) -> np.ndarray:
    last = ends(arrays)
    return np.insert(arrays["observations"], last + 1, arrays["next_observations"][last], axis=0)


def shifted_next(arrays: Arrays) -> None:
    arrays["next_observations"] = arrays["observations"].copy()


def next_of_another_shape(arrays: Arrays) -> None:
    arrays["next_observations"] = arrays["next_observations"][:, :5]


def small_rewards(arrays: Arrays) -> None:
    arrays["rewards"] /= 1000


def large_rewards(arrays: Arrays) -> None:
    arrays["rewards"] *= 100


def no_rewards(arrays: Arrays) -> None:
    arrays["rewards"] *= 0


def no_timeouts(arrays: Arrays) -> None:
    del arrays["timeouts"]


def no_ends(arrays: Arrays) -> None:
    arrays["terminals"][:] = False


def short_actions(arrays: Arrays) -> None:
    arrays["actions"] = arrays["actions"][:-5]


def other_sizes(arrays: Arrays) -> None:
    for name in ("observations", "next_observations"):
        arrays[name] = arrays[name][:, 1:]


class Plant(NamedTuple):
    """A fault, the check that finds it, and words that its finding says."""

    fault: Callable[[Arrays], None]
    check: str
    severity: str
    says: str


PLANTS = (
    Plant(not_a_number, "finite", "error", "observations holds NaN in 1 and infinity in 0"),
    Plant(not_a_number_in_next, "finite", "error", "next_observations holds NaN in 1 and"),
    Plant(infinite_reward, "finite", "error", "NaN in 0 and infinity in 2 of 17,240"),
    Plant(large_actions, "bounds", "warning", "up to 1.5"),
    Plant(repeated_episode, "duplicates", "warning", "1 of 41 episodes are copies of earlier ones, first episode 40"),
    Plant(padding, "zeros", "error", "all zeros in 50 of"),
    Plant(motionless_episode, "zeros", "warning", "1 of 40 episodes, first episode 5"),
    Plant(cut_episode, "cuts", "warning", "1 of 40 episodes are cut before the limit"),
    Plant(fused_episodes, "boundaries", "error", "two episodes are fused"),
    Plant(terminal_in_the_middle, "boundaries", "error", "1 of 40 episodes run on after their end mark"),
    Plant(late_actions, "alignment", "error", "actions are stored 1 rows too late"),
    Plant(early_actions, "alignment", "error", "observations are stored 1 rows too late"),
    Plant(observations_one_too_many, "alignment", "error", "drift by +1 row with every episode"),
    Plant(observations_of_the_last_too, "layout", "error", "T+1 rows in each of the 40 episodes"),
    Plant(shifted_next, "next_observations", "error", "differs from the next row"),
    Plant(next_of_another_shape, "next_observations", "error", "has the shape"),
    Plant(small_rewards, "rewards", "warning", "not on the scale of the reference d4rl"),
    Plant(large_rewards, "rewards", "warning", "normalised scores range"),
    Plant(no_rewards, "rewards", "error", "every reward is zero"),
    Plant(no_timeouts, "layout", "error", "timeouts is missing"),
    Plant(no_ends, "layout", "error", "no episode has an end"),
    Plant(short_actions, "layout", "error", "unequal lengths"),
    Plant(other_sizes, "sizes", "error", "have 10 dimensions"),
)
ELSEWHERE = {"limit", "marks", "environment", "simulator"}
"""Checks whose faults are planted in other recordings, below and beside this file."""


def faults(path: Path, **options: str) -> list[Finding]:
    return [finding for finding in examine(path, **options).findings if finding.severity != "note"]


def test_a_clean_copy_has_no_faults(real: Arrays, tmp_path: Path) -> None:
    assert faults(write_hdf5(tmp_path / "x.hdf5", real, "Hopper-v5")) == []
    assert faults(Path("hopper-medium")) == []


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.fault.__name__)
def test_each_fault_and_no_other_is_found(real: Arrays, plant: Plant, tmp_path: Path) -> None:
    arrays = {name: values.copy() for name, values in real.items()}
    plant.fault(arrays)
    found = faults(write_hdf5(tmp_path / "x.hdf5", arrays, "Hopper-v5"))
    assert [(finding.check, finding.severity) for finding in found] == [(plant.check, plant.severity)], found
    assert plant.says in found[0].message
    assert found[0].remedy


def test_every_check_is_planted() -> None:
    assert {plant.check for plant in PLANTS} | ELSEWHERE == {known.name for known in checks()}


def record(env_id: str, episodes: int) -> Arrays:
    """Episodes of random actions, with the simulator's states."""
    env = gymnasium.make(env_id)
    env.action_space.seed(0)
    columns: dict[str, list[np.ndarray | float | bool]] = {}
    for seed in range(episodes):
        observation, ended = env.reset(seed=seed)[0], False
        while not ended:
            state = env.unwrapped.data  # type: ignore[attr-defined]
            row = {"infos/qpos": state.qpos.copy(), "infos/qvel": state.qvel.copy(), "observations": observation}
            row["actions"] = env.action_space.sample()
            observation, row["rewards"], row["terminals"], row["timeouts"], _ = env.step(row["actions"])
            ended = row["terminals"] or row["timeouts"]
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    flags = ("terminals", "timeouts")
    return {name: np.asarray(v, bool if name in flags else np.float32) for name, v in columns.items()}


@pytest.fixture(scope="module")
def simulated() -> Arrays:
    return record("Hopper-v5", 30)


def test_recorded_steps_fit_the_simulator_that_made_them(simulated: Arrays, tmp_path: Path) -> None:
    report = examine(write_hdf5(tmp_path / "x.hdf5", simulated, "Hopper-v5"))
    assert {finding.severity for finding in report.findings} == {"note"}, report.findings
    (found,) = (finding for finding in report.findings if finding.check == "simulator")
    own = found.values["replays"][0]
    assert own["env_id"] == "Hopper-v5"
    assert own["steps"] >= 400
    assert own["observation_max"] < 1e-3
    assert own["reward_max"] < 1e-3
    assert own["terminated_differently"] == 0
    assert own["reward_scale"] == pytest.approx(1)


def test_what_a_simulator_carries_besides_its_state_is_no_fault(tmp_path: Path) -> None:
    # Ant observes contact forces, and measures its speed from positions of the step before
    report = examine(write_hdf5(tmp_path / "x.hdf5", record("Ant-v5", 3), "Ant-v5"))
    assert {finding.severity for finding in report.findings} == {"note"}, report.findings
    assert "it fits the recording" in next(f.message for f in report.findings if f.check == "simulator")


def test_another_version_is_told_from_it(simulated: Arrays, tmp_path: Path) -> None:
    (found,) = faults(write_hdf5(tmp_path / "x.hdf5", simulated, "Hopper-v4"))
    assert (found.check, found.severity) == ("simulator", "warning")
    # v4 pays the reward for being healthy, 1, at the step that ends the episode too
    assert found.values["replays"][0]["terminal_reward_median"] == pytest.approx(1, abs=1e-3)
    assert found.values["nearest"] == "Hopper-v5"
    assert "Hopper-v5 fits" in found.remedy


def test_scaled_rewards_are_told_by_the_simulator(simulated: Arrays, tmp_path: Path) -> None:
    scaled = simulated | {"rewards": simulated["rewards"] * 3}
    (found,) = faults(write_hdf5(tmp_path / "x.hdf5", scaled, "Hopper-v5"))
    assert found.check == "simulator"
    assert "3 times the simulated ones" in found.message


def test_states_of_other_rows(simulated: Arrays, tmp_path: Path) -> None:
    shifted = simulated | {name: np.roll(simulated[name], -1, axis=0) for name in ("infos/qpos", "infos/qvel")}
    (found,) = faults(write_hdf5(tmp_path / "x.hdf5", shifted, "Hopper-v5"))
    assert (found.check, found.severity) == ("simulator", "error")


def test_states_of_another_size_are_not_simulated(simulated: Arrays, tmp_path: Path) -> None:
    other = simulated | {"infos/qpos": simulated["infos/qpos"][:, 1:]}
    report = examine(write_hdf5(tmp_path / "x.hdf5", other, "Hopper-v5"))
    (found,) = (finding for finding in report.findings if finding.check == "simulator")
    assert found.severity == "note"
    assert "(6, 6), but (5, 6) were given" in found.message
