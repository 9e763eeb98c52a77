"""Dropout on a branch: how many elements, how they are scaled, and when nothing happens."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from decision_minrnn.ops.dropout import draw_mask
from decision_minrnn.ops.residual import add_branch


def with_dropout(x: Tensor, probability: float) -> Tensor:
    """x, as a branch beside nothing."""
    return add_branch(torch.zeros_like(x), x, draw_mask(x, probability))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_expectation_is_kept(probability: float) -> None:
    x = torch.ones(400, 251)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = with_dropout(x, probability)
    dropped = (y == 0).double().mean().item()
    assert dropped == pytest.approx(probability, abs=1 / 256)
    assert len(y.unique()) == 2
    assert y.mean().item() == pytest.approx(1, abs=0.05)
    assert y.max().item() == pytest.approx(1 / (1 - probability), rel=0.02)


def test_a_probability_next_to_one_leaves_something() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = with_dropout(torch.ones(10_000), 0.9999)
    assert y.unique().tolist() == [0, 256]
    assert 10 < y.count_nonzero() < 100


def test_neighbours_are_independent() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept = with_dropout(torch.ones(100_000), 0.5) > 0
    for distance in (1, 2, 8):
        assert (kept[distance:] & kept[:-distance]).double().mean().item() == pytest.approx(0.25, abs=0.01)


def test_the_gradient_passes_where_the_value_does() -> None:
    x = torch.randn(7, 3, requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = with_dropout(x, 0.5)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x, y)  # type: ignore[operator]


def test_the_same_seed_drops_the_same() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = with_dropout(torch.ones(100), 0.5), with_dropout(torch.ones(100), 0.5)
        torch.manual_seed(0)
        assert with_dropout(torch.ones(100), 0.5).equal(first)
    assert not first.equal(second)


def test_a_probability_of_zero_draws_and_drops_nothing() -> None:
    x, y = torch.randn(2, 5, 5)
    before = torch.get_rng_state()
    assert draw_mask(x, 0.0) is None
    assert torch.get_rng_state().equal(before)
    assert add_branch(x, y, None).equal(x + y)


def test_the_stream_is_not_dropped_and_stays_in_float32() -> None:
    x, y = torch.randn(2, 40, 5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        beside_nothing = with_dropout(y.bfloat16().float(), 0.5)
        torch.manual_seed(0)
        added = add_branch(x, y.bfloat16(), draw_mask(x, 0.5))
        torch.manual_seed(0)
        to_half = add_branch(x.bfloat16(), y, draw_mask(x, 0.5))
    assert added.dtype == to_half.dtype == torch.float32
    torch.testing.assert_close(added, x + beside_nothing)
