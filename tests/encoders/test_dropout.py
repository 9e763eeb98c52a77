"""Dropout: how many elements, how they are scaled, and when nothing happens."""

from __future__ import annotations

import pytest
import torch

from decision_minrnn.encoders.dropout import Dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_expectation_is_kept(probability: float) -> None:
    x = torch.ones(400, 251)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = Dropout(probability)(x)
    dropped = (y == 0).double().mean().item()
    assert dropped == pytest.approx(probability, abs=1 / 256)
    assert len(y.unique()) == 2
    assert y.mean().item() == pytest.approx(1, abs=0.05)
    assert y.max().item() == pytest.approx(1 / (1 - probability), rel=0.02)


def test_a_probability_next_to_one_leaves_something() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = Dropout(0.9999)(torch.ones(10_000))
    assert y.unique().tolist() == [0, 256]
    assert 10 < y.count_nonzero() < 100


def test_neighbours_are_independent() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept = Dropout(0.5)(torch.ones(100_000)) > 0
    for distance in (1, 2, 8):
        assert (kept[distance:] & kept[:-distance]).double().mean().item() == pytest.approx(0.25, abs=0.01)


def test_the_gradient_passes_where_the_value_does() -> None:
    x = torch.randn(7, 3, requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = Dropout(0.5)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x, y)  # type: ignore[operator]


def test_the_same_seed_drops_the_same() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = Dropout(0.5)(torch.ones(100)), Dropout(0.5)(torch.ones(100))
        torch.manual_seed(0)
        assert Dropout(0.5)(torch.ones(100)).equal(first)
    assert not first.equal(second)


def test_nothing_happens_outside_training_or_at_zero() -> None:
    x = torch.randn(5, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
