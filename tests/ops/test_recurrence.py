"""Recurrences in pieces against recurrences step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from decision_minrnn.encoders.mingru import MinGRU
from decision_minrnn.encoders.minlstm import MinLSTM
from decision_minrnn.ops import linear_scan, recurrence
from decision_minrnn.ops.gated import gated_scan


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def always_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrence, "MANY_STEPS", 1)


def step_by_step(a: Tensor, b: Tensor, state: Tensor) -> Tensor:
    steps = []
    for t in range(b.shape[1]):
        state = a[:, t] * state + b[:, t]
        steps.append(state)
    return torch.stack(steps, dim=1)


def test_pieces_are_for_long_sequences_of_few_rows() -> None:
    assert recurrence.in_pieces(torch.empty(4, 256, 128))
    assert not recurrence.in_pieces(torch.empty(4, 255, 128))
    assert not recurrence.in_pieces(torch.empty(5, 256, 128))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("time", [1, 2, 3, 4, 5, 15, 16, 17, 24])
@pytest.mark.usefixtures("always_in_pieces")
def test_both_ways_in_time(time: int, dtype: torch.dtype) -> None:
    """Also where the last piece is shorter than the others, and where there is one piece."""
    a, b, state = (random(*shape, seed=0, dtype=dtype) for shape in ((2, time, 3), (2, time, 3), (2, 3)))
    assert_close(recurrence.recurrence(a, b, state), step_by_step(a, b, state))
    after = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], dim=1).flip(1)
    assert_close(recurrence.reversed_recurrence(a, b), step_by_step(after, b.flip(1), torch.zeros_like(state)).flip(1))


@pytest.mark.usefixtures("always_in_pieces")
def test_what_is_given_stays_as_it_is() -> None:
    a, b, state = random(2, 9, 3, seed=0), random(2, 9, 3, seed=1), random(2, 3, seed=2)
    copies = [x.clone() for x in (a, b, state)]
    recurrence.recurrence(a, b, state)
    recurrence.reversed_recurrence(a, b)
    assert all(x.equal(copy) for x, copy in zip((a, b, state), copies, strict=True))


@pytest.mark.usefixtures("always_in_pieces")
def test_gradcheck_of_a_scan_in_pieces() -> None:
    case = [x.requires_grad_() for x in (random(2, 7, 3, seed=0), random(2, 7, 3, seed=1), random(2, 3, seed=2))]
    reset = random(2, 7, seed=3) > 0.5
    assert torch.autograd.gradcheck(lambda *x: linear_scan(*x, reset=reset), case)


@pytest.mark.parametrize("layer", [MinGRU, MinLSTM])
def test_gates_in_pieces_are_gates_step_by_step(layer: type[MinGRU | MinLSTM], monkeypatch: pytest.MonkeyPatch) -> None:
    """In values and gradients, with a carried state and resets, the first step among them."""
    time, size = 23, 4
    shapes = ((3, time, (1 + layer.gates) * size), (3, size), (3, size))
    case = [random(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]
    reset = random(3, time, seed=7) > 1.0
    reset[0, 0] = True
    weights = random(3, time, size, seed=8)

    def result() -> list[Tensor]:
        h = gated_scan(*case, reset, layer.gate)
        return [h, *torch.autograd.grad((h * weights).sum(), case)]

    expected = result()
    monkeypatch.setattr(recurrence, "MANY_STEPS", 1)
    for found, wanted in zip(result(), expected, strict=True):
        assert_close(found, wanted)


def test_a_long_row_errs_no_more_than_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    write = torch.sigmoid(random(1, 16384, 8, seed=0) - 3)
    case = (1 - write, write * random(1, 16384, 8, seed=1), random(1, 8, seed=2))
    exact = recurrence.recurrence(*case)
    rounded = [x.float() for x in case]
    assert recurrence.in_pieces(rounded[1])
    in_pieces = recurrence.recurrence(*rounded)
    monkeypatch.setattr(recurrence, "FEW_NUMBERS", 0)
    assert (in_pieces - exact).abs().max() <= 2 * (recurrence.recurrence(*rounded) - exact).abs().max()
