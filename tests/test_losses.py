"""The losses, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from decision_minrnn.losses import action_loss, choice_loss

PREDICTED = torch.tensor([[[1.0, 2.0], [0.0, 0.0], [9.0, 9.0]], [[1.0, 1.0], [9.0, 9.0], [9.0, 9.0]]])
ACTIONS = torch.tensor([[[0.0, 0.0], [0.0, 3.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_mean_over_real_steps_and_action_dimensions() -> None:
    # squares 1 4 | 0 9 | - and 0 1 | - | - over three steps of two dimensions
    assert action_loss(PREDICTED, ACTIONS, MASK).item() == pytest.approx(15 / 6)
    assert action_loss(PREDICTED, ACTIONS, torch.ones_like(MASK)).item() == pytest.approx((15 + 6 * 81) / 12)


@pytest.mark.parametrize("padding", [0.0, -10.0, 1e30, float("inf"), float("nan")])
def test_padding_has_no_part_in_loss_or_gradient(padding: float) -> None:
    predicted = PREDICTED.masked_fill(~MASK[..., None], padding).requires_grad_()
    actions = ACTIONS.masked_fill(~MASK[..., None], padding)
    loss = action_loss(predicted, actions, MASK)
    loss.backward()
    assert loss.item() == pytest.approx(15 / 6)
    expected = torch.tensor([[[2.0, 4.0], [0.0, -6.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]]) / 6
    torch.testing.assert_close(predicted.grad, expected)


def test_more_padding_changes_nothing() -> None:
    wider = [torch.cat([x, x], dim=1) for x in (PREDICTED, ACTIONS)]
    mask = torch.cat([MASK, torch.zeros_like(MASK)], dim=1)
    assert action_loss(*wider, mask).item() == pytest.approx(15 / 6)


def test_a_loss_that_is_not_finite_at_a_real_step_shows() -> None:
    predicted = PREDICTED.clone()
    predicted[0, 0, 0] = float("nan")
    assert action_loss(predicted, ACTIONS, MASK).isnan()


LOGITS = torch.tensor([[1.0, 3.0, 4.0], [1.0, 1.0, 2.0]]).log()[None].repeat(1, 2, 1)
"""Probabilities 1/8 3/8 1/2 and 1/4 1/4 1/2, twice."""
CHOICES = torch.nn.functional.one_hot(torch.tensor([[1, 2, 0, 0]]), 3).float()
REAL = torch.tensor([[True, True, True, False]])


@pytest.mark.parametrize("padding", [0.0, -10.0, 1e30, float("inf"), float("nan")])
def test_padding_has_no_part_in_the_cross_entropy_or_its_gradient(padding: float) -> None:
    logits = LOGITS.masked_fill(~REAL[..., None], padding).requires_grad_()
    choice_loss(logits, CHOICES.masked_fill(~REAL[..., None], padding), REAL).backward()
    # probabilities less the choice, by the three steps
    expected = (
        torch.tensor([[1 / 8, 3 / 8 - 1, 1 / 2], [1 / 4, 1 / 4, 1 / 2 - 1], [1 / 8 - 1, 3 / 8, 1 / 2], [0, 0, 0]]) / 3
    )
    torch.testing.assert_close(logits.grad, expected[None])
