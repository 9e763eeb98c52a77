"""`gated_scan` against the same recurrence written out, in values and gradients."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from decision_minrnn.encoders.mingru import MinGRU
from decision_minrnn.encoders.minlstm import MinLSTM
from decision_minrnn.ops.gated import gated_scan

LAYERS = (MinGRU, MinLSTM)
BATCH, TIME, SIZE = 5, 11, 3
every_layer = pytest.mark.parametrize("layer", LAYERS)


class Inputs(NamedTuple):
    projected: Tensor
    state: Tensor
    initial: Tensor


class Result(NamedTuple):
    h: Tensor
    of_projected: Tensor
    of_state: Tensor
    of_initial: Tensor


def inputs(layer: type[MinGRU | MinLSTM], dtype: torch.dtype = torch.float64, time: int = TIME) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    shapes = ((BATCH, time, (1 + layer.gates) * SIZE), (BATCH, SIZE), (BATCH, SIZE))
    return Inputs(*(2 * torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype) for shape in shapes))


def marks(time: int = TIME) -> Tensor:
    return torch.rand(BATCH, time, generator=torch.Generator().manual_seed(1)) < 0.3


def written_out(layer: type[MinGRU | MinLSTM], case: Inputs, reset: Tensor | None) -> Tensor:
    """The paper's algorithms, with the initial state at the marks."""
    candidate, *gates = case.projected.split(SIZE, dim=-1)
    values = torch.where(candidate >= 0, candidate + 0.5, torch.sigmoid(candidate))
    opened = [torch.sigmoid(gate) for gate in gates]
    write = opened[0] if layer is MinGRU else opened[1] / (opened[0] + opened[1])
    h, steps = case.state, []
    for t in range(values.shape[1]):
        if reset is not None:
            h = torch.where(reset[:, t, None], case.initial, h)
        h = (1 - write[:, t]) * h + write[:, t] * values[:, t]
        steps.append(h)
    return torch.stack(steps, dim=1)


def result(h: Tensor, case: Inputs) -> Result:
    weights = torch.randn(h.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(h.dtype)
    return Result(h, *torch.autograd.grad((h * weights).sum(), case, materialize_grads=True))


def assert_same(layer: type[MinGRU | MinLSTM], case: Inputs, reset: Tensor | None, **tolerances: float) -> None:
    case = Inputs(*(x.requires_grad_() for x in case))
    exact = Inputs(*(x.detach().double().requires_grad_() for x in case))
    found = result(gated_scan(*case, reset, layer.gate), case)
    expected = result(written_out(layer, exact, reset), exact)
    for name, x, y in zip(Result._fields, found, expected, strict=True):
        assert_close(x.double(), y, **tolerances, msg=lambda text, name=name: f"{name}: {text}")  # type: ignore[misc]


def test_two_steps_by_hand() -> None:
    # z = 1/2, g(1) = 1.5; then z = 3/4, g(log(1/3)) = 1/4
    projected = torch.tensor([[[1.0, 0.0], [-torch.log(torch.tensor(3.0)), torch.log(torch.tensor(3.0))]]])
    h = gated_scan(projected, torch.full((1, 1), 0.5), torch.zeros(1, 1), None, MinGRU.gate)
    assert_close(h.flatten(), torch.tensor([1.0, 0.25 * 1.0 + 0.75 * 0.25]))


@pytest.mark.parametrize("resets", [False, True], ids=["", "resets"])
@pytest.mark.parametrize("time", [1, 2, TIME])
@every_layer
def test_values_and_gradients_are_those_of_the_paper(layer: type[MinGRU | MinLSTM], time: int, resets: bool) -> None:
    assert_same(layer, inputs(layer, time=time), marks(time) if resets else None)
    assert_same(layer, inputs(layer, torch.float32, time), marks(time) if resets else None, rtol=1e-4, atol=1e-5)


@every_layer
def test_gradcheck(layer: type[MinGRU | MinLSTM]) -> None:
    case = [x.requires_grad_() for x in inputs(layer, time=4)]
    assert torch.autograd.gradcheck(lambda *x: gated_scan(*x, marks(4), layer.gate), case)


@every_layer
def test_half_precision_is_computed_in_the_precision_of_the_state(layer: type[MinGRU | MinLSTM]) -> None:
    case = inputs(layer, torch.float32)
    half = case._replace(projected=case.projected.bfloat16())
    rounded = Inputs(*(x.detach().clone().requires_grad_() for x in half._replace(projected=half.projected.float())))
    half = Inputs(*(x.requires_grad_() for x in half))
    found = result(gated_scan(*half, marks(), layer.gate), half)
    expected = result(gated_scan(*rounded, marks(), layer.gate), rounded)
    assert found.h.dtype == torch.float32
    assert found.h.equal(expected.h)
    assert found.of_projected.dtype == torch.bfloat16
    assert found.of_projected.equal(expected.of_projected.bfloat16())
    assert found.of_state.equal(expected.of_state)


@every_layer
def test_strides_do_not_matter(layer: type[MinGRU | MinLSTM]) -> None:
    case = inputs(layer)
    strided = Inputs(*(x.transpose(0, -1).contiguous().transpose(0, -1) for x in case))
    assert not strided.projected.is_contiguous()
    assert_same(layer, strided, marks())
    # a gradient that is one number for all
    case = Inputs(*(x.requires_grad_() for x in case))
    h = gated_scan(*case, None, layer.gate)
    expected = torch.autograd.grad(written_out(layer, case, None).sum(), case.projected)
    assert_close(torch.autograd.grad(h.sum(), case.projected), expected)


@pytest.mark.parametrize("layer", LAYERS)
def test_memory_grows_in_proportion_to_time(layer: type[MinGRU | MinLSTM]) -> None:
    """What is kept for the backward pass, in numbers for each step."""
    kept = []
    for time in (100, 200, 400):
        case = inputs(layer, torch.float32, time)
        sizes: dict[int, int] = {}

        def count(x: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes() // 4
            return x

        with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
            gated_scan(case.projected.requires_grad_(), *case[1:], None, layer.gate)
        kept.append(sum(sizes.values()) / time)
    assert kept[-1] <= kept[0] <= (3 + layer.gates + (layer is MinLSTM)) * BATCH * SIZE
