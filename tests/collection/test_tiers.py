"""Which policies make a tier, and what the references are, from a training that is written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from test_actor import linear
from tiny import LEDGER

from decision_minrnn.cards import Reference
from decision_minrnn.collection.actor import GaussianActor
from decision_minrnn.collection.collect import collect
from decision_minrnn.collection.config import CollectConfig
from decision_minrnn.collection.folder import SACFolder
from decision_minrnn.collection.replay import Transitions
from decision_minrnn.collection.tiers import Collected, Collection
from decision_minrnn.collection.trained import TrainedAgents, medium_return
from decision_minrnn.data import load_dataset
from decision_minrnn.envs import Environments
from decision_minrnn.errors import ConfigError, TrainingError
from decision_minrnn.interruption import Interruption
from decision_minrnn.progress import Progress

KNOWN = Reference(0.0, 60.0, "a card")


def actor(action: float) -> GaussianActor:
    """Acts the same always, in the Ledger; its return grows with the action."""
    mean = linear(np.zeros((2, 1)), [np.arctanh(action)])
    return GaussianActor((), mean, linear(np.zeros((2, 1)), [-20]))


def config(tmp_path: Path, tier: Any = "medium", **changes: Any) -> CollectConfig:
    settings: dict[str, Any] = {
        "steps": None if tier == "medium-replay" else 20,
        "work": str(tmp_path / "sac"),
        "training_steps": 40,
        "evaluate_every": 10,
        "reference_episodes": 1000,
    }
    return CollectConfig(LEDGER, tier, **settings | changes)


def write_training(tmp_path: Path, returns: tuple[float, ...] = (5, 19.9, 20, 12)) -> SACFolder:
    """A training that was evaluated four times, after each ten steps."""
    folder = SACFolder(tmp_path / "sac", config(tmp_path).training(LEDGER))
    folder.create()
    rows = []
    for index, episode_return in enumerate(returns):
        step = 10 * (index + 1)
        folder.save_actor(step, actor(step / 50))
        numbers = np.arange(step - 10, step, dtype=np.float32)
        over = (numbers + 1) % 4 == 0
        table = numbers[:, None]
        part = Transitions(table.repeat(2, 1), table / 100, numbers, table.repeat(2, 1) + 0.5, over, ~over & False)
        folder.save_transitions(step - 10, part)
        rows.append(json.dumps({"update": step, "eval/return": episode_return}) + "\n")
    (folder.path / "metrics.jsonl").write_text("".join(rows))
    return folder


def collected(settings: CollectConfig, known: Reference | None = KNOWN) -> Collected:
    with (
        Environments(LEDGER) as environments,
        Progress(Console(quiet=True)) as progress,
        Interruption() as interruption,
    ):
        collection = Collection(settings, environments, known, progress)
        collection.train(interruption)
        return collection.record()


def actions(result: Collected) -> list[float]:
    """What was done, each action once, in the order of the episodes."""
    done = np.concatenate([episode.actions[:, 0] for episode in result.episodes])
    return list(dict.fromkeys(done.round(3).tolist()))


@pytest.mark.parametrize(
    ("low", "high", "medium"), [(0.0, 60.0, 19.98), (-1200.0, -150.0, -850.35), (-20.272305, 3234.3, 1063.5)]
)
def test_a_third_of_the_way_by_hand(low: float, high: float, medium: float) -> None:
    assert medium_return(low, high) == pytest.approx(medium, abs=0.01)


def test_medium_is_the_first_that_reaches_a_third_of_the_cards_reference(tmp_path: Path) -> None:
    write_training(tmp_path)
    result = collected(config(tmp_path))
    assert actions(result) == pytest.approx([0.6])
    assert result.algorithm == "SAC"
    assert result.what == "actions drawn from the policy after 30 steps of SAC, the first that returned 20.0 or more"
    lengths = [len(episode.rewards) for episode in result.episodes]
    assert sum(lengths[:-1]) < 20 <= sum(lengths)


def test_a_return_may_be_given_instead(tmp_path: Path) -> None:
    write_training(tmp_path)
    assert actions(collected(config(tmp_path, stop_return=19.9))) == pytest.approx([0.4])


def test_references_are_the_measured_random_and_the_cards_expert(tmp_path: Path) -> None:
    write_training(tmp_path)
    reference = collected(config(tmp_path)).reference
    assert reference is not None
    # n (n + 1) / 2 over episodes of 3 to 7 steps, and actions of mean 0
    assert reference.min == pytest.approx(16, abs=1)
    assert reference.max == 60
    assert reference.source.endswith("expert: a card")


def test_without_a_card_the_last_policy_is_the_expert_and_all_is_measured(tmp_path: Path) -> None:
    write_training(tmp_path)
    result = collected(config(tmp_path, "expert"), None)
    assert actions(result) == pytest.approx([0.8])
    assert result.reference is not None
    assert result.reference.max == pytest.approx(16 + 0.8 * 5, abs=1)
    assert "the policy after 40 steps of SAC, likewise" in result.reference.source
    # between 16 and 20, as they are measured, a third of the way is some 17
    assert actions(collected(config(tmp_path, "medium"), None)) == pytest.approx([0.4])


def test_medium_expert_is_half_and_half(tmp_path: Path) -> None:
    write_training(tmp_path)
    result = collected(config(tmp_path, "medium-expert", steps=60))
    assert actions(result) == pytest.approx([0.6, 0.8])
    assert 30 <= sum(len(episode.rewards) for episode in result.episodes if episode.actions[0, 0] < 0.7) < 30 + 7
    seen = [tuple(episode.observations[0]) for episode in result.episodes]
    assert len(set(seen)) == len(seen)


def test_medium_replay_is_every_step_up_to_medium(tmp_path: Path) -> None:
    write_training(tmp_path)
    result = collected(config(tmp_path, "medium-replay"))
    assert [len(episode.rewards) for episode in result.episodes] == [4] * 7 + [2]
    np.testing.assert_array_equal(np.concatenate([e.rewards for e in result.episodes]), np.arange(30))
    assert [episode.terminated for episode in result.episodes] == [True] * 7 + [False]
    assert [episode.truncated for episode in result.episodes] == [False] * 7 + [True]
    assert result.what.startswith("all steps of SAC before actions drawn from the policy after 30 steps")


def test_no_medium_policy(tmp_path: Path) -> None:
    write_training(tmp_path, returns=(1, 4, 3, 2))
    with pytest.raises(TrainingError, match=r"none of the 4 .* returned 20\.0.*after 20 steps, returned 4\.0"):
        collected(config(tmp_path))


def test_an_expert_that_has_learned_nothing_is_no_measure(tmp_path: Path) -> None:
    folder = write_training(tmp_path)
    folder.save_actor(40, actor(-0.9))
    with pytest.raises(TrainingError, match="it has learned nothing"):
        collected(config(tmp_path), None)
    assert collected(config(tmp_path, "random")).reference is not None
    assert collected(config(tmp_path, "random"), None).reference is None


def test_random_needs_no_training(tmp_path: Path) -> None:
    result = collected(config(tmp_path, "random"))
    assert (result.algorithm, result.what) == ("uniform", "uniform actions")
    assert not (tmp_path / "sac").exists()


def test_a_saved_policy_is_recorded_and_as_expert_it_is_the_measure(tmp_path: Path) -> None:
    actor(0.5).save(tmp_path / "mine.npz")
    policy = str(tmp_path / "mine.npz")
    medium, expert = (collected(config(tmp_path, tier, policy=policy)) for tier in ("medium", "expert"))
    assert actions(medium) == actions(expert) == pytest.approx([0.5])
    assert medium.what == "actions drawn from the policy mine.npz"
    assert medium.reference is not None
    assert medium.reference.max == 60
    assert expert.reference is not None
    assert expert.reference.max == pytest.approx(16 + 0.5 * 5, abs=1)


def test_a_policy_of_other_sizes(tmp_path: Path) -> None:
    GaussianActor((), linear(np.zeros((3, 1)), [0]), linear(np.zeros((3, 1)), [0])).save(tmp_path / "other.npz")
    with pytest.raises(ConfigError, match=r"trained for .*size 3 and actions of size 1"):
        collected(config(tmp_path, policy=str(tmp_path / "other.npz")))


def test_actions_without_bounds(tmp_path: Path) -> None:
    with Environments(LEDGER) as environments, Progress(Console(quiet=True)) as progress:
        environments.action_high = np.array([np.inf], np.float32)
        with pytest.raises(ConfigError, match="actions without bounds"):
            Collection(config(tmp_path, "random"), environments, None, progress)


def test_training_goes_only_as_far_as_the_tier_needs(tmp_path: Path) -> None:
    with Environments(LEDGER) as environments:
        ends = {
            (tier, known is not None): TrainedAgents(config(tmp_path, tier), environments, known).has_expert
            for tier in ("medium", "medium-replay", "expert", "medium-expert")
            for known in (KNOWN, None)
        }
        given = TrainedAgents(config(tmp_path, stop_return=3.0), environments, None)
    assert [key for key, to_the_end in ends.items() if not to_the_end] == [("medium", True), ("medium-replay", True)]
    assert not given.has_expert


def test_random_choices_are_recorded_as_choices(tmp_path: Path) -> None:
    config = CollectConfig("cartpole", tier="random", steps=200, reference_episodes=2, out=str(tmp_path / "x.npz"))
    path, _ = collect(config, Progress(Console(quiet=True)))
    data = load_dataset(path)
    assert (data.choices, data.env_id) == (2, "CartPole-v1")
    assert set(data.actions.ravel()) == {0.0, 1.0}
