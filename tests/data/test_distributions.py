"""Distributions of a dataset: numbers worked out by hand, and that every step and episode is counted once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import trajectories

from decision_minrnn.cards import env_card
from decision_minrnn.data import Trajectories, base
from decision_minrnn.data.distributions import ENDS, QUANTILES, dimension_histograms, distributions, whole_number_edges

REWARDS = np.array([1, 2, 4, 8, 16, 32], np.float32)


def small(**facts: object) -> Trajectories:
    """Three episodes of 3, 1 and 2 steps with the returns 7, 8 and 48; terminated, truncated, terminated."""
    observations = np.array([[-1, 7], [1, 7]] * 3, np.float32)
    actions = np.array([[-2], [-1], [0], [0.5], [1], [1.5]], np.float32)
    return trajectories((3, 1, 2), **{"rewards": REWARDS, "observations": observations, "actions": actions} | facts)


def test_returns_and_lengths_by_hand() -> None:
    found = distributions(small())
    assert (found.steps, found.episodes, found.left_out, found.episode_limit) == (6, 3, 0, None)
    assert found.returns.mean == pytest.approx(21)
    np.testing.assert_allclose(found.returns.edges, np.arange(7, 49, 4.1))
    np.testing.assert_array_equal(found.returns.counts[0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(found.returns.counts[1], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    assert found.lengths.mean == 2
    np.testing.assert_array_equal(found.lengths.edges, [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(found.lengths.counts, [[0, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert (found.reference_name, found.reference) == ("card", small().references["card"])


def test_returns_to_go_by_hand() -> None:
    # 7 6 4 | 8 | 48 32: three episodes reach step 0, two step 1, one step 2
    found = distributions(small()).returns_to_go
    np.testing.assert_array_equal(found.steps, [0, 1, 2])
    np.testing.assert_array_equal(found.episodes, [3, 2, 1])
    by_quantile = dict(zip(QUANTILES, found.quantiles, strict=True))
    np.testing.assert_allclose(by_quantile[0.5], [8, 19, 4])
    np.testing.assert_allclose(by_quantile[0.25], [7.5, 12.5, 4])
    np.testing.assert_allclose(by_quantile[0.95], [44, 30.7, 4])


def test_actions_by_hand() -> None:
    # 40 bins of 0.05 between -1 and 1, and one on either side: -2 | -1, 0, 0.5, 1 | 1.5
    found = distributions(small()).actions
    assert np.flatnonzero(found.counts[0]).tolist() == [0, 1, 21, 31, 40, 41]
    assert set(found.counts[0]) == {0, 1}
    np.testing.assert_allclose(found.edges[0, [0, 1, 2, 21, 41, 42]], [-np.inf, -1, -0.95, 0, 1, np.inf], atol=1e-12)
    assert found.shares[0].max() == pytest.approx(1 / 6)


def test_observations_by_hand() -> None:
    # mean 0 and deviation 1: 41 bins of 8/41 from -4 to 4, so that -1 is in bin 15, 1 in bin 25 and the mean in bin 20
    found = distributions(small()).observations
    assert {bin_: count for bin_, count in enumerate(found.counts[0], start=-1) if count} == {15: 3, 25: 3}
    assert {bin_: count for bin_, count in enumerate(found.counts[1], start=-1) if count} == {20: 6}
    np.testing.assert_allclose([found.low[0], found.high[0]], [-4, 4], rtol=1e-5)


def test_episodes_cut_short_of_the_limit_are_counted_apart() -> None:
    found = distributions(small(env=env_card("hopper")))
    assert found.episode_limit == 1000
    assert dict(zip(ENDS, found.lengths.counts.sum(axis=1).tolist(), strict=True)) == {
        "terminated": 2, "truncated": 0, "cut short": 1, "unfinished": 0
    }  # fmt: skip
    np.testing.assert_array_equal(found.returns_to_go.episodes, [3, 2, 1])


def test_an_unfinished_episode_is_left_out() -> None:
    found = distributions(small(terminated=np.array([False, False, True]), truncated=np.array([False, True, False])))
    assert (found.episodes, found.left_out, found.steps) == (2, 1, 6)
    assert (found.returns.mean, found.lengths.mean) == (28, 1.5)
    np.testing.assert_array_equal(found.returns_to_go.episodes, [2, 1])
    np.testing.assert_array_equal(found.returns_to_go.quantiles[QUANTILES.index(0.5)], [28, 32])
    assert found.actions.counts.sum() == 6


def test_all_episodes_count_where_none_has_an_end() -> None:
    found = distributions(small(terminated=np.zeros(3, bool), truncated=np.zeros(3, bool)))
    assert (found.episodes, found.left_out) == (3, 0)
    assert found.lengths.counts[ENDS.index("unfinished")].sum() == 3


def test_infinite_bounds_give_way_to_what_was_recorded() -> None:
    found = distributions(small(action_low=np.full(1, -np.inf, np.float32)))
    assert not found.bounded
    assert (found.actions.low[0], found.actions.high[0]) == (-2, 1)
    still = distributions(small(actions=np.full((6, 1), 3, np.float32), action_high=np.full(1, np.inf, np.float32)))
    assert (still.actions.low[0], still.actions.high[0]) == (-1, 3)
    unbounded = {"action_low": np.full(1, -np.inf, np.float32), "action_high": np.full(1, np.inf, np.float32)}
    still = distributions(small(actions=np.full((6, 1), 3, np.float32), **unbounded))
    assert still.actions.counts[0].tolist() == [0, 6, *[0] * 40]


@pytest.mark.parametrize(
    ("values", "most", "edges"),
    [
        ([4, 4], 10, [3.5, 4.5]),
        ([0, 9], 10, np.arange(-0.5, 10)),
        ([0, 10], 10, np.arange(-0.5, 12, 2)),  # eleven numbers: six bins of two
        ([1, 1000], 50, np.arange(0.5, 1001, 20)),
    ],
)
def test_bins_of_lengths_hold_equally_many_numbers(values: list[int], most: int, edges: list[float]) -> None:
    found = whole_number_edges(np.array(values), most)
    np.testing.assert_array_equal(found, edges)
    assert len(found) - 1 <= most


def test_everything_is_counted_once() -> None:
    lengths = tuple(np.random.default_rng(1).integers(1, 400, 300))
    data = trajectories(lengths, observations=np.random.default_rng(2).standard_cauchy((sum(lengths), 5)).astype("f4"))
    found = distributions(data)
    for histogram in (found.returns, found.lengths):
        assert histogram.counts.sum() == 300
        np.testing.assert_array_equal(histogram.counts.sum(axis=1), [150, 150, 0, 0])
    for histograms in (found.actions, found.observations):
        np.testing.assert_array_equal(histograms.counts.sum(axis=1), data.steps)
    assert found.observations.counts[:, [0, -1]].all()  # heavy tails
    assert len(found.returns_to_go.steps) == 200
    assert found.returns_to_go.steps[-1] == max(lengths) - 1
    for dimension in range(5):
        expected = np.histogram(data.observations[:, dimension], found.observations.edges[dimension, 1:-1])[0]
        np.testing.assert_array_equal(found.observations.counts[dimension, 1:-1], expected)


def test_blocks_change_nothing_and_files_are_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    low, high = np.array([-1.0, -2, -3]), np.array([1.0, 2, 3])
    whole = dimension_histograms(rows, low, high, 7)
    monkeypatch.setattr(base, "BLOCK_BYTES", 800)
    np.testing.assert_array_equal(dimension_histograms(mapped, low, high, 7).counts, whole.counts)
    assert whole.counts.sum() == 3000
