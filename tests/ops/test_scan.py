"""`linear_scan`: one recurrence by hand, then every backend against a loop in float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from decision_minrnn.ops import backends, linear_scan

# test_triton.py stands for the kernels on a GPU; elsewhere they are interpreted here
BACKENDS = backends(torch.device("cpu"))


class Inputs(NamedTuple):
    coefficients: Tensor
    values: Tensor
    state: Tensor


class Result(NamedTuple):
    h: Tensor
    last: Tensor
    of_coefficients: Tensor
    of_values: Tensor
    of_state: Tensor


TOLERANCE = {"log_space": {"rtol": 2e-3, "atol": 2e-3}}


def tolerance(backend: str) -> dict[str, float]:
    """log_space takes the logarithm of a reset for -87, and loses digits beside it; the others only round."""
    return TOLERANCE.get(backend, {"rtol": 1e-5, "atol": 2e-6})


def inputs(backend: str, batch: int, time: int, dim: int, seed: int = 0) -> Inputs:
    """Coefficients between 0 and 1; values and state of either sign where the backend allows it."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, time, dim, generator=generator)
    state = torch.randn(batch, dim, generator=generator)
    coefficients = torch.rand(batch, time, dim, generator=generator)
    if backend == "log_space":
        # its gradients are divided by these numbers
        coefficients, values, state = coefficients * 0.9 + 0.1, values.abs() + 0.1, state.abs() + 0.1
    return Inputs(coefficients, values, state)


def weights(batch: int, time: int, dim: int) -> Tensor:
    """What h is weighted with in the scalar that is differentiated."""
    return torch.randn(batch, time, dim, generator=torch.Generator().manual_seed(7))


def by_scan(case: Inputs, backend: str, reset: Tensor | None = None) -> Result:
    leaves = [x.detach().clone().requires_grad_() for x in case]
    h, last = linear_scan(*leaves, reset=reset, backend=backend)
    ((h * weights(*h.shape).to(h.dtype)).sum() + 2 * last.sum()).backward()
    return Result(h.detach(), last.detach(), *(leaf.grad for leaf in leaves))  # type: ignore[arg-type]


def by_loop(case: Inputs, reset: Tensor | None = None) -> Result:
    """The recurrence in float64, and its gradients written out from the chain rule."""
    a, b, state = (x.double().numpy() for x in case)
    batch, time, dim = b.shape
    dropped = np.zeros((batch, time), bool) if reset is None else reset.numpy()
    before, h = np.empty_like(b), np.empty_like(b)
    carried = state
    for t in range(time):
        before[:, t] = np.where(dropped[:, t, None], 0, carried)
        carried = h[:, t] = a[:, t] * before[:, t] + b[:, t]
    of_h = weights(batch, time, dim).double().numpy()
    of_h[:, -1] += 2
    of_a, of_b = np.empty_like(b), np.empty_like(b)
    reaching = np.zeros_like(state)
    for t in reversed(range(time)):
        of_b[:, t] = of_h[:, t] + reaching
        of_a[:, t] = of_b[:, t] * before[:, t]
        reaching = np.where(dropped[:, t, None], 0, of_b[:, t] * a[:, t])
    return Result(*(torch.from_numpy(x) for x in (h, h[:, -1].copy(), of_a, of_b, reaching)))


def assert_same(result: Result, expected: Result, **tolerances: float) -> None:
    for name, x, y in zip(Result._fields, result, expected, strict=True):
        assert_close(x.double(), y.double(), **tolerances, msg=lambda text, name=name: f"{name}: {text}")  # type: ignore[misc]


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_four_steps_by_hand(backend: str) -> None:
    a = torch.tensor([0.5, 0.25, 0.5, 1.0]).view(1, 4, 1)
    b = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1)
    # 0.5*8 + 1, 0.25*5 + 2, 0.5*3.25 + 3, 4.625 + 4
    h, last = linear_scan(a, b, torch.full((1, 1), 8.0), backend=backend)
    assert_close(h.flatten(), torch.tensor([5.0, 3.25, 4.625, 8.625]))
    assert_close(last, torch.tensor([[8.625]]))
    h, _ = linear_scan(
        a, b, torch.full((1, 1), 8.0), reset=torch.tensor([[False, False, True, False]]), backend=backend
    )
    assert_close(h.flatten(), torch.tensor([5.0, 3.25, 3.0, 7.0]))
    h, _ = linear_scan(a, b, backend=backend)
    assert_close(h.flatten(), torch.tensor([1.0, 2.25, 4.125, 8.125]))


@pytest.mark.parametrize("time", [1, 7, 20])
@pytest.mark.parametrize("backend", BACKENDS)
def test_values_and_gradients_are_those_of_the_loop(backend: str, time: int) -> None:
    case = inputs(backend, 3, time, 5)
    assert_same(by_scan(case, backend), by_loop(case), **tolerance(backend))
    marks = torch.rand(3, time, generator=torch.Generator().manual_seed(1)) < 0.3
    assert_same(by_scan(case, backend, marks), by_loop(case, marks), **tolerance(backend))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), batch=st.integers(1, 4), time=st.integers(1, 24), dim=st.integers(1, 6))
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_shape_and_any_resets(backend: str, data: st.DataObject, batch: int, time: int, dim: int) -> None:
    marks = data.draw(st.lists(st.booleans(), min_size=batch * time, max_size=batch * time))
    reset = torch.tensor(marks).view(batch, time)
    case = inputs(backend, batch, time, dim, seed=data.draw(st.integers(0, 1000)))
    assert_same(by_scan(case, backend, reset), by_loop(case, reset), **tolerance(backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_splitting_and_carrying_is_not_splitting(backend: str) -> None:
    a, b, state = inputs(backend, 2, 11, 3)
    whole, last = linear_scan(a, b, state, backend=backend)
    first, carried = linear_scan(a[:, :4], b[:, :4], state, backend=backend)
    second, end = linear_scan(a[:, 4:], b[:, 4:], carried, backend=backend)
    assert_close(torch.cat([first, second], 1), whole, **tolerance(backend))
    assert_close(end, last, **tolerance(backend))
    assert_close(last, whole[:, -1], rtol=0, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reset_is_a_fresh_start_that_no_gradient_crosses(backend: str) -> None:
    case = inputs(backend, 2, 9, 3)
    a, b, state = (x.requires_grad_() for x in case)
    reset = torch.zeros(2, 9, dtype=torch.bool)
    reset[0, 4] = True
    h, _ = linear_scan(a, b, state, reset=reset, backend=backend)
    fresh, _ = linear_scan(a[:1, 4:], b[:1, 4:], backend=backend)
    assert_close(h[:1, 4:], fresh, **tolerance(backend))
    h[:, 4:].sum().backward()
    for gradient in (a.grad[:, :4], b.grad[:, :4], state.grad):  # type: ignore[index]
        assert gradient is not None
        assert gradient[0].abs().max() <= (1e-3 if backend == "log_space" else 0)
        assert gradient[1].all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_strides_do_not_matter(backend: str) -> None:
    a, b, state = inputs(backend, 4, 6, 5)
    strided = Inputs(
        a.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        torch.stack([b, b + 1], dim=3)[..., 0],
        state.T.contiguous().T,
    )
    assert not any(x.is_contiguous() for x in strided)
    assert_same(by_scan(strided, backend), by_scan(Inputs(a, b, state), backend), rtol=0, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_expanded_inputs_and_gradients(backend: str) -> None:
    """One row for all, and a gradient that is one number for all."""
    a, b, state = (x.requires_grad_() for x in inputs(backend, 1, 6, 5))
    h, _ = linear_scan(a.expand(3, -1, -1), b.expand(3, -1, -1), state.expand(3, -1), backend=backend)
    h.sum().backward()
    expanded = [a.grad, b.grad, state.grad]
    a.grad = b.grad = state.grad = None
    (3 * linear_scan(a, b, state, backend=backend)[0]).sum().backward()
    for x, y in zip(expanded, [a.grad, b.grad, state.grad], strict=True):
        assert_close(x, y, **tolerance(backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_and_autocast_are_computed_in_float32(backend: str) -> None:
    half = Inputs(*(x.bfloat16() for x in inputs(backend, 2, 20, 4)))
    expected = by_scan(Inputs(*(x.float() for x in half)), backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = by_scan(half, backend)
    assert result.h.dtype == result.last.dtype == torch.float32
    assert_close(result.h, expected.h, rtol=0, atol=0)
    for gradient, whole in zip(result[2:], expected[2:], strict=True):
        assert gradient.dtype == torch.bfloat16
        assert_close(gradient, whole.bfloat16(), rtol=0, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_float64_stays_float64_and_passes_gradcheck(backend: str) -> None:
    case = [x.double().requires_grad_() for x in inputs(backend, 2, 5, 3)]
    reset = torch.zeros(2, 5, dtype=torch.bool)
    reset[1, 2] = True
    assert linear_scan(*case, backend=backend)[0].dtype == torch.float64
    # in random directions where a kernel is interpreted, which takes its time
    fast = backend == "triton"
    assert torch.autograd.gradcheck(lambda *x: linear_scan(*x, reset=reset, backend=backend), case, fast_mode=fast)


@pytest.mark.parametrize("backend", ["auto", "sequential", "reference"])
def test_complex_numbers_pass_gradcheck(backend: str) -> None:
    """The modes of a state space turn: h_t = 2j h_{t-1} + 1 from 1 is 1+2j, then -3+2j."""
    turn, one = torch.full((1, 2, 1), 2j), torch.ones(1, 2, 1, dtype=torch.complex64)
    h, _ = linear_scan(turn, one, torch.ones(1, 1, dtype=torch.complex64), backend=backend)
    assert h.flatten().tolist() == [1 + 2j, -3 + 2j]
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 5, 3), (2, 5, 3), (2, 3))
    case = [torch.randn(*s, dtype=torch.complex128, generator=generator).requires_grad_() for s in shapes]
    reset = torch.zeros(2, 5, dtype=torch.bool)
    reset[1, 2] = True
    assert torch.autograd.gradcheck(lambda *x: linear_scan(*x, reset=reset, backend=backend), case)


def test_the_log_space_form_takes_no_complex_numbers() -> None:
    turn = torch.full((1, 2, 1), 2j)
    with pytest.raises(ValueError, match="log_space takes real numbers"):
        linear_scan(turn, turn, backend="log_space")


def test_three_thousand_steps_err_by_less_than_1e_5(capsys: pytest.CaptureFixture[str]) -> None:
    """Gates near one, as a long memory has them: coefficient 1 - w and value w * candidate."""
    generator = torch.Generator().manual_seed(0)
    write = torch.sigmoid(torch.randn(2, 3000, 4, generator=generator) - 3)
    candidate = torch.nn.functional.softplus(torch.randn(2, 3000, 4, generator=generator))
    case = Inputs(1 - write, write * candidate, torch.full((2, 4), 0.5))
    result, expected = by_scan(case, "sequential"), by_loop(case)
    errors = {name: (x - y).abs().max().item() for name, x, y in zip(Result._fields, result, expected, strict=True)}
    with capsys.disabled():
        print("\nlargest errors at T=3000:", ", ".join(f"{name} {error:.1e}" for name, error in errors.items()))
    assert max(errors.values()) < 1e-5


def test_refused_inputs() -> None:
    x, state = torch.rand(2, 3, 4), torch.rand(2, 4)
    reset = torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="length 0"):
        linear_scan(x[:, :0], x[:, :0])
    with pytest.raises(ValueError, match=r"one shape \[batch, time, dim\], got \[2, 3, 4\] and \[2, 3, 3\]"):
        linear_scan(x, x[..., :3])
    with pytest.raises(ValueError, match=r"one shape \[batch, time, dim\]"):
        linear_scan(state, state)
    with pytest.raises(ValueError, match=r"state of shape \[2, 4\], got \[4\]"):
        linear_scan(x, x, state[0])
    with pytest.raises(ValueError, match=r"reset marks of shape \[2, 3\] and type bool, got \[2, 3\] and torch.int64"):
        linear_scan(x, x, reset=reset.long())
    with pytest.raises(ValueError, match=r"reset marks of shape \[2, 3\] and type bool, got \[3, 2\]"):
        linear_scan(x, x, reset=reset.T)
    with pytest.raises(ValueError, match=r"unknown scan backend 'parallel'; expected auto or one of sequential"):
        linear_scan(x, x, backend="parallel")


@pytest.mark.parametrize("which", range(3))
def test_log_space_refuses_what_has_no_logarithm(which: int) -> None:
    case = [torch.rand(1, 2, 2), torch.rand(1, 2, 2), torch.rand(1, 2)]
    case[which][0, 0] = -0.1
    with pytest.raises(ValueError, match="expects coefficients, values and state >= 0"):
        linear_scan(*case, backend="log_space")
