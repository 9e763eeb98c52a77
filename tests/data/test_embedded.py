"""The embedded dataset: plain minari opens it, and it is read row for row."""

from __future__ import annotations

import minari
import numpy as np
import pytest

from decision_minrnn.cards import dataset_cards
from decision_minrnn.data import load_dataset
from decision_minrnn.data.resolve import locate
from decision_minrnn.scores import normalized_score


@pytest.fixture(scope="module")
def plain() -> minari.MinariDataset:
    return minari.MinariDataset(locate("hopper-medium").path / "data")


def test_it_is_what_its_card_says() -> None:
    data, card = load_dataset("hopper-medium"), dataset_cards()["hopper-medium"]
    assert (data.steps, data.episodes) == (card.steps, card.episodes)
    assert data.returns.mean() == pytest.approx(card.return_mean, abs=0.5)
    assert data.source == "hopper-medium: embedded Minari dataset, 80,342 steps in 184 episodes (Hopper-v5)"
    assert sum(file.stat().st_size for file in locate("hopper-medium").path.rglob("*")) < 6e6


def test_plain_minari_reads_the_same_rows(plain: minari.MinariDataset) -> None:
    data = load_dataset("hopper-medium")
    assert (plain.total_steps, plain.total_episodes) == (data.steps, data.episodes)
    for read, episode in zip(data, plain, strict=True):
        assert len(episode.observations) == len(episode.actions) + 1 == len(read.rewards) + 1
        np.testing.assert_array_equal(read.observations, episode.observations[:-1])
        np.testing.assert_array_equal(read.actions, episode.actions)
        np.testing.assert_array_equal(read.rewards, episode.rewards)
        assert (read.terminated, read.truncated) == (episode.terminations[-1], episode.truncations[-1])
        assert not episode.terminations[:-1].any()


def test_it_is_sound() -> None:
    data = load_dataset("hopper-medium")
    assert np.abs(data.actions).max() <= 1
    assert (data.terminated ^ data.truncated).all()
    np.testing.assert_array_equal(data.lengths[data.truncated], 1000)


def test_minari_makes_its_environment_and_scores(plain: minari.MinariDataset) -> None:
    data = load_dataset("hopper-medium")
    env = plain.recover_environment()
    assert env.spec is not None
    assert env.spec.id == data.env_id == "Hopper-v5"
    assert env.observation_space.shape == data.observations.shape[1:]
    score = normalized_score(data.returns, data.references["minari-metadata"])
    np.testing.assert_allclose(100 * minari.get_normalized_score(plain, data.returns), score, rtol=1e-5)
    assert data.references["minari-metadata"].max == data.references["d4rl"].max


def test_its_last_observations_follow_from_the_last_actions(plain: minari.MinariDataset) -> None:
    # Hopper falls below a height of 0.7, or leans more than 0.2, in the observation that the last action led to.
    for episode in plain:
        if episode.terminations[-1]:
            height, angle = episode.observations[-1][:2]
            assert height < 0.7 or abs(angle) > 0.2 or np.abs(episode.observations[-1][1:]).max() > 100


def test_metadata_says_where_it_comes_from(plain: minari.MinariDataset) -> None:
    metadata = plain.storage.metadata
    assert "SAC" in metadata["algorithm_name"]
    assert "D4RL" in metadata["ref_score_source"]
    assert metadata["license"] == "MIT"
