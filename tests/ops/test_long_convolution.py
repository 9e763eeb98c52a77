"""Long convolutions beside a loop, by products and by spectra."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from decision_minrnn.ops import convolution
from decision_minrnn.ops.convolution import long_convolution, toeplitz


def by_loop(inputs: Tensor, kernel: Tensor) -> Tensor:
    taps = len(kernel)
    steps = range(taps - 1, inputs.shape[1])
    return torch.stack([sum(kernel[j] * inputs[:, t - j] for j in range(taps)) for t in steps], dim=1)  # type: ignore[misc]


@pytest.mark.parametrize("way", ["products", "spectra"])
@pytest.mark.parametrize(("taps", "steps"), [(1, 5), (4, 1), (4, 3), (5, 11), (20, 20), (7, 90)])
def test_outputs_and_gradients(way: str, taps: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "LONG", 0 if way == "spectra" else 1000)
    generator = torch.Generator().manual_seed(taps * steps)
    inputs, kernel, along = (
        torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((2, taps - 1 + steps, 3), (taps, 3), (2, steps, 3))
    )
    y, expected = long_convolution(inputs, kernel), by_loop(inputs, kernel)
    assert_close(y, expected)
    for found, wanted in zip(
        torch.autograd.grad((y * along).sum(), (inputs, kernel)),
        torch.autograd.grad((expected * along).sum(), (inputs, kernel)),
        strict=True,
    ):
        assert_close(found, wanted)


@pytest.mark.parametrize("steps", [20, 300])
def test_half_precision_in_and_out(steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, kernel = torch.randn(2, steps + 9, 3, generator=generator), torch.randn(10, 3, generator=generator)
    y = long_convolution(inputs.bfloat16(), kernel.bfloat16())
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), by_loop(inputs, kernel), rtol=0.05, atol=0.1)


def test_a_toeplitz_matrix_by_hand() -> None:
    kernel = torch.tensor([[1.0, 2.0, 3.0]])
    assert toeplitz(kernel, 3, 3).tolist() == [[[1, 0, 0], [2, 1, 0], [3, 2, 1]]]
    assert toeplitz(kernel, 2, 4).tolist() == [[[3, 2, 1, 0], [0, 3, 2, 1]]]
