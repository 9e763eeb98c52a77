"""The causal convolution, worked out by hand; its laws are tested as part of every encoder."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from decision_minrnn.encoders.convolution import CausalConvolution


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers).view(1, -1, 1)


@pytest.fixture
def convolution() -> CausalConvolution:
    """y_t = 0.5 + 1 x_t + 10 x_{t-1} + 100 x_{t-2}."""
    made = CausalConvolution(1, 3)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([[1.0], [10.0], [100.0]]))
        made.bias.fill_(0.5)
    return made


def test_five_steps_by_hand(convolution: CausalConvolution) -> None:
    y, (last,) = convolution(column(1, 2, 3, 4, 5))
    assert y.flatten().tolist() == [1.5, 12.5, 123.5, 234.5, 345.5]
    assert last.flatten().tolist() == [4, 5]


def test_a_reset_forgets_the_inputs_before(convolution: CausalConvolution) -> None:
    reset = torch.tensor([[False, False, False, True, False]])
    y, (last,) = convolution(column(1, 2, 3, 4, 5), None, reset)
    assert y.flatten().tolist() == [1.5, 12.5, 123.5, 4.5, 45.5]
    assert last.flatten().tolist() == [4, 5]
    _, (last,) = convolution(column(1, 2, 3, 4, 5), None, reset.roll(1, 1))
    assert last.flatten().tolist() == [0, 5]


def test_a_sequence_shorter_than_the_kernel(convolution: CausalConvolution) -> None:
    y, state = convolution(column(1))
    assert y.flatten().tolist() == [1.5]
    assert state[0].flatten().tolist() == [0, 1]
    y, _ = convolution(column(2), state)
    assert y.flatten().tolist() == [12.5]
