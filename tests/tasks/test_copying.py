"""Selective Copying: what a sequence is, that one is a seed, and what is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from decision_minrnn.errors import ConfigError
from decision_minrnn.tasks.base import IGNORED, token_loss
from decision_minrnn.tasks.copying import CopyingConfig, SelectiveCopying, draw_sequences, place_tokens
from decision_minrnn.tasks.model import TokenModel, TokenModelConfig


def config(**settings: Any) -> CopyingConfig:
    defaults: dict[str, Any] = {"length": 7, "data_tokens": 3, "vocabulary": 10, "batch_size": 5, "test_sequences": 12}
    return CopyingConfig(**defaults | settings)


def test_a_sequence_by_hand() -> None:
    batch = place_tokens(config(), np.array([[7, 2, 5]]), np.array([[1, 4, 6]]))
    assert batch.tokens.tolist() == [[0, 7, 0, 0, 2, 0, 5, 9, 9, 9]]
    assert batch.targets.tolist() == [[IGNORED] * 7 + [7, 2, 5]]


def test_drawn_sequences_hold_their_data_in_order() -> None:
    batch = draw_sequences(config(), 500, np.random.default_rng(0))
    assert batch.tokens.shape == batch.targets.shape == (500, 10)
    assert (batch.tokens[:, 7:] == 9).all()
    before = batch.tokens[:, :7]
    for row, targets in zip(before, batch.targets[:, 7:], strict=True):
        assert row[row != 0].tolist() == targets.tolist()
    assert set(before.unique().tolist()) == set(range(9))
    share = (before != 0).double().mean(dim=0)
    # each place holds data in 3 of 7 sequences; the deviation of a share over 500 is 0.022
    np.testing.assert_allclose(share, 3 / 7, atol=0.09)


def test_as_many_data_as_places() -> None:
    batch = draw_sequences(config(length=3), 4, np.random.default_rng(0))
    assert torch.equal(batch.tokens[:, :3], batch.targets[:, 3:])


def test_a_seed_is_a_sequence_of_batches_that_can_be_continued() -> None:
    one, two = SelectiveCopying(config(seed=3)).sampler(), SelectiveCopying(config(seed=3)).sampler()
    assert torch.equal(one.sample().tokens, two.sample().tokens)
    other = SelectiveCopying(config(seed=4)).sampler()
    assert not torch.equal(one.sample().tokens, other.sample().tokens)
    other.restore(one.state())
    assert torch.equal(one.sample().tokens, other.sample().tokens)


class Fixed(TokenModel):
    """Says 7 at the first marker, the right token at the second, and noise at the last."""

    def forward(self, tokens: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        said = torch.zeros_like(tokens)
        said[:, 7] = 7
        said[:, 8] = torch.stack([row[row != 0][1] for row in tokens[:, :7]])
        return torch.nn.functional.one_hot(said, 10).float(), ()


def test_what_is_measured() -> None:
    task = SelectiveCopying(config(test_sequences=403))
    model = Fixed(TokenModelConfig(vocabulary=10, width=4, layers=1))
    scalars = task.evaluate(model)
    assert scalars == task.evaluate(model)
    assert scalars["eval/accuracy_at/01"] == 1
    assert scalars["eval/accuracy_at/02"] == 0
    assert scalars["eval/accuracy_at/00"] == pytest.approx(1 / 8, abs=0.06)
    assert scalars["eval/accuracy"] == pytest.approx((1 + scalars["eval/accuracy_at/00"]) / 3)
    assert scalars["eval/sequences"] == 0


def test_the_loss_counts_the_markers_alone() -> None:
    logits = torch.zeros(1, 3, 4)
    logits[0, 2, 1] = 1.0
    targets = torch.tensor([[IGNORED, 3, 1]])
    expected = (np.log(4) + np.log(3 + np.e) - 1) / 2
    assert token_loss(logits, targets).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 2}, "--length expects a number of at least the 3 tokens, got 2"),
        ({"vocabulary": 2}, "--vocabulary expects a number of at least 3"),
        ({"data_tokens": 0}, "--data-tokens expects a whole number of at least 1, got 0"),
        ({"test_sequences": 0}, "--test-sequences expects a whole number of at least 1, got 0"),
        ({"updates": 0}, "--updates expects a whole number of at least 1, got 0"),
    ],
)
def test_sizes_that_do_not_fit(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**settings)
