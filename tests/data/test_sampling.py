"""`Sampler`: what is in a window and in a stream, and how often each step is drawn.

Every number of the data tells its step, so that a batch can be read back.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch
from numpy import ndarray

from decision_minrnn.config import Sampling
from decision_minrnn.data import Trajectories
from decision_minrnn.data.sampling import Sampler
from decision_minrnn.types import Batch

LENGTHS = (5, 1, 12, 2)


def make(lengths: Sequence[int] = LENGTHS) -> Trajectories:
    """Step n has observation (n, n), action n + 1 (no action is zero) and reward 2^-(n mod 7)."""
    steps = np.arange(sum(lengths), dtype=np.float32)
    return Trajectories(
        observations=np.stack([steps, steps], axis=1),
        actions=steps[:, None] + 1,
        rewards=(0.5 ** (steps % 7)).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        terminated=np.ones(len(lengths), bool),
        truncated=np.zeros(len(lengths), bool),
        name="counted",
        source="counted",
        action_low=np.array([0], np.float32),
        action_high=np.array([100], np.float32),
    )


def streamed(sampler: Sampler, batches: int) -> Batch:
    """Some batches of streams, joined to long rows."""
    joined = [torch.cat(column, dim=1) for column in zip(*(sampler.sample() for _ in range(batches)), strict=True)]
    return Batch(*joined)


def steps_of(batch: Batch) -> ndarray:
    """Which step of the data stands at each place of a batch."""
    steps = batch.observations[..., 0].numpy().astype(int)
    assert (steps == batch.observations[..., 1].numpy()).all()
    return steps


def assert_is_of(batch: Batch, data: Trajectories) -> None:
    """At every place that is not padding: action, return-to-go and previous action belong to the observation."""
    steps, real = steps_of(batch), batch.mask.numpy()
    first = np.isin(steps, data.offsets)
    by_hand = [data.rewards[n : data.offsets[data.episode_of(n) + 1]].sum() for n in range(data.steps)]
    np.testing.assert_allclose(batch.returns_to_go.numpy()[real], np.array(by_hand)[steps][real], rtol=1e-6)
    np.testing.assert_array_equal(batch.actions.numpy()[real][:, 0], steps[real] + 1)
    np.testing.assert_array_equal(batch.previous_actions.numpy()[real][:, 0], np.where(first, 0, steps)[real])


def assert_same(batch: Batch, other: Batch) -> None:
    for name, x, y in zip(Batch._fields, batch, other, strict=True):
        assert (x is None and y is None) or torch.equal(x, y), name


def test_a_window_by_hand() -> None:
    """Three episodes of one step each, less together than a window."""
    batch = Sampler(make((1, 1, 1)), 2, 5, 0, "windows").sample()
    n = batch.observations[0, 0, 0]
    assert batch.mask.tolist() == [[True, False, False, False, False]] * 2
    assert batch.actions[0, 0].tolist() == [n + 1]
    assert batch.returns_to_go[0, 0] == 0.5**n
    assert batch.previous_actions[:, 0].tolist() == [[0], [0]]
    assert batch.reset is None


def test_a_stream_by_hand() -> None:
    """One episode, so every row is its rest and then itself again, from batch to batch."""
    batch = streamed(Sampler(make((4,)), 16, 6, 0, "streams"), 3)
    steps = steps_of(batch)
    assert set(steps[:, 0]) == {0, 1, 2, 3}
    np.testing.assert_array_equal(steps, (steps[:, :1] + np.arange(18)) % 4)
    assert batch.reset is not None
    np.testing.assert_array_equal(batch.reset, steps == 0)


@pytest.mark.parametrize("context", [1, 3, 20])
def test_windows_are_pieces_of_one_episode_padded_on_the_right(context: int) -> None:
    data = make()
    batch = Sampler(data, 200, context, 1, "windows").sample()
    assert batch.observations.shape == (200, context, 2)
    assert batch.actions.shape == batch.previous_actions.shape == (200, context, 1)
    assert batch.returns_to_go.shape == batch.mask.shape == (200, context)
    assert batch.reset is None
    assert_is_of(batch, data)
    steps, real = steps_of(batch), batch.mask.numpy()
    starts = steps[:, 0]
    ends = data.offsets[data.episode_of(starts) + 1]
    np.testing.assert_array_equal(real.sum(axis=1), np.minimum(context, ends - starts))
    np.testing.assert_array_equal(real, np.arange(context) < real.sum(axis=1)[:, None])
    np.testing.assert_array_equal(steps[real], (starts[:, None] + np.arange(context))[real])
    assert all(x.isfinite().all() for x in batch[:4])


@pytest.mark.parametrize("context", [1, 3, 20])
@pytest.mark.parametrize("lengths", [LENGTHS, (1, 1, 1), (3,)])
def test_streams_are_whole_episodes_one_after_another(context: int, lengths: tuple[int, ...]) -> None:
    data = make(lengths)
    sampler = Sampler(data, 30, context, 1, "streams")
    assert sampler.sample().observations.shape == (30, context, 2)
    batch = streamed(sampler, -(-60 // context))
    assert batch.mask.all()
    assert_is_of(batch, data)
    steps = steps_of(batch)
    assert batch.reset is not None
    starts = batch.reset.numpy()
    np.testing.assert_array_equal(starts, np.isin(steps, data.offsets[:-1]))
    # inside an episode the next step follows; a start follows its end and nothing else
    ended = np.isin(steps[:, :-1] + 1, data.offsets[1:])
    np.testing.assert_array_equal(ended, starts[:, 1:])
    np.testing.assert_array_equal((steps[:, 1:] - steps[:, :-1])[~ended], 1)


def assert_uniform(counts: ndarray) -> None:
    """Chi-square below what chance exceeds once in ten thousand, by the approximation of Wilson and Hilferty."""
    expected, freedom = counts.sum() / counts.size, counts.size - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < freedom * (1 - 2 / (9 * freedom) + 3.72 * np.sqrt(2 / (9 * freedom))) ** 3


def test_windows_start_at_every_step_alike() -> None:
    """So that episodes are drawn in proportion to their length: Decision Transformer's protocol."""
    data = make()
    sampler = Sampler(data, 1000, 4, 2, "windows")
    drawn = np.bincount(np.concatenate([steps_of(sampler.sample())[:, 0] for _ in range(20)]), minlength=data.steps)
    assert_uniform(drawn)
    by_episode = np.add.reduceat(drawn, data.offsets[:-1]) / drawn.sum()
    np.testing.assert_allclose(by_episode, np.array(LENGTHS) / sum(LENGTHS), atol=0.02)


@pytest.mark.parametrize("context", [3, 20])
def test_every_place_of_a_stream_holds_every_step_alike(context: int) -> None:
    data = make()
    steps = steps_of(streamed(Sampler(data, 10_000, context, 3, "streams"), 60 // context))
    for place in (0, 1, 2, 3, 11, 19, 20, 59):
        assert_uniform(np.bincount(steps[:, place], minlength=data.steps))


@pytest.mark.parametrize("context", [4, 8])
def test_the_next_episode_of_a_stream_is_any(context: int) -> None:
    """Drawn uniformly, whichever was before: inside a batch and from one to the next."""
    data = make((4, 4, 4, 4))
    steps = steps_of(streamed(Sampler(data, 4000, context, 4, "streams"), 8 // context))
    for within in (steps[:, 0] % 4 == 0, steps[:, 0] % 4 > 0):
        drawn = np.zeros((4, 4))
        np.add.at(drawn, (data.episode_of(steps[within, 0]), data.episode_of(steps[within, 4])), 1)
        assert_uniform(drawn)


both = pytest.mark.parametrize("sampling", get_args(Sampling))


@both
def test_the_same_seed_gives_the_same_batches(sampling: Sampling) -> None:
    first, second, other = (Sampler(make(), 8, 6, seed, sampling) for seed in (5, 5, 6))
    for _ in range(3):
        batch = first.sample()
        assert_same(batch, second.sample())
        assert not torch.equal(batch.observations, other.sample().observations)


@both
def test_a_state_goes_through_json_and_goes_on(sampling: Sampling) -> None:
    sampler = Sampler(make(), 8, 6, 5, sampling)
    sampler.sample()
    state = json.loads(json.dumps(sampler.state()))
    expected = [sampler.sample() for _ in range(3)]
    other = Sampler(make(), 8, 6, 99, sampling)
    other.restore(state)
    for batch in expected:
        assert_same(other.sample(), batch)
    sampler.restore(state)
    assert_same(sampler.sample(), expected[0])


@both
def test_batches_are_copies(sampling: Sampling) -> None:
    data = make()
    for x in Sampler(data, 50, 4, 0, sampling).sample()[:4]:
        x.fill_(-1)
    assert (data.observations >= 0).all()
    assert (data.actions >= 1).all()
    assert (data.returns_to_go > 0).all()


@both
def test_read_only_arrays_can_be_sampled(sampling: Sampling, recwarn: pytest.WarningsRecorder) -> None:
    data = make()
    for array in (data.observations, data.actions, data.rewards, data.returns_to_go):
        array.setflags(write=False)
    assert_is_of(Sampler(data, 50, 4, 0, sampling).sample(), data)
    assert not list(recwarn)


def test_a_batch_moves_to_a_device() -> None:
    batch = Sampler(make(), 2, 4, 0, "windows").sample()
    moved = batch.to("meta")
    assert isinstance(moved, Batch)
    assert {x.device.type for x in moved if x is not None} == {"meta"}
    assert moved.reset is None


@pytest.mark.parametrize("sampling", get_args(Sampling))
@pytest.mark.parametrize("choices", [None, 20])
def test_a_device_gathers_the_same_batches(sampling: Sampling, choices: int | None) -> None:
    data = dataclasses.replace(make((5, 1, 12)), choices=choices)
    arrays, tensors = (Sampler(data, 4, 6, 0, sampling, device=device) for device in (None, torch.device("cpu")))
    assert isinstance(arrays.table.actions, ndarray)
    assert isinstance(tensors.table.actions, torch.Tensor)
    for _ in range(10):
        for x, y in zip(arrays.sample(), tensors.sample(), strict=True):
            assert x is y is None or (x.dtype == y.dtype and x.equal(y))
