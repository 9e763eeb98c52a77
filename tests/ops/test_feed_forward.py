"""`residual_feed_forward` against the modules one after another, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from decision_minrnn.ops.dropout import Mask
from decision_minrnn.ops.feed_forward import residual_feed_forward

WIDTH, INNER = 5, 7


class Modules(nn.Module):
    """What the operation is one of."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(generator=torch.Generator().manual_seed(parameter.numel()))

    def forward(self, x: Tensor, kept: Tensor | None) -> Tensor:
        branch = self.down(torch.relu(self.up(self.norm(x))))
        return x + (branch if kept is None else branch * kept)

    def at_once(self, x: Tensor, mask: Mask | None) -> Tensor:
        return residual_feed_forward(x, mask, self.norm, self.up, self.down)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def half(*shape: int) -> Mask:
    """Drops about every second element, and doubles the others."""
    return Mask(255 * (random(*shape, seed=3) > 0).byte(), 128)


def results(y: Tensor, x: Tensor, modules: Modules) -> list[Tensor]:
    """The values, and the gradients of a weighting of them."""
    weighted = (y * random(*y.shape, seed=4)).sum()
    return [y, *torch.autograd.grad(weighted, [x, *modules.parameters()])]


@pytest.mark.parametrize("dropped", [False, True], ids=["", "dropped"])
@pytest.mark.parametrize("shape", [(3, 4), (6,), (2, 3, 2)], ids=str)
def test_values_and_gradients_are_those_of_the_modules(shape: tuple[int, ...], dropped: bool) -> None:
    modules, x = Modules().double(), random(*shape, WIDTH, seed=0).requires_grad_()
    mask = half(*shape, WIDTH) if dropped else None
    kept = None if mask is None else mask.factors(x.dtype)
    for found, expected in zip(
        results(modules.at_once(x, mask), x, modules), results(modules(x, kept), x, modules), strict=True
    ):
        assert_close(found, expected)


def test_gradcheck() -> None:
    modules, x = Modules().double(), random(2, 3, WIDTH, seed=0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: modules.at_once(x, half(2, 3, WIDTH)), (x, *modules.parameters()))


def test_strides_do_not_matter_and_nothing_given_is_changed() -> None:
    modules = Modules().double()
    x = random(WIDTH, 4, 3, seed=0).permute(2, 1, 0).requires_grad_()
    before = x.detach().clone()
    y = modules.at_once(x, None)
    gradient = random(WIDTH, 4, 3, seed=1).permute(2, 1, 0)
    passed = gradient.clone()
    (found,) = torch.autograd.grad(y, x, passed)
    assert passed.equal(gradient)
    assert x.equal(before)
    assert_close(found, torch.autograd.grad(modules(x, None), x, gradient)[0])


@pytest.mark.parametrize("stream", [torch.float32, torch.bfloat16], ids=str)
def test_under_autocast_products_are_in_bfloat16_and_the_stream_keeps_its_precision(stream: torch.dtype) -> None:
    modules, exact = Modules(), Modules().double()
    x = random(8, WIDTH, seed=0).to(stream).requires_grad_()
    reference = x.detach().double().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = modules.at_once(x, half(8, WIDTH))
    expected = exact(reference, half(8, WIDTH).factors(torch.float64))
    assert y.dtype == stream
    error = (y.double() - expected).abs().max()
    assert 1e-5 < error < 0.05 * expected.abs().max()  # rounded, but by no more than bfloat16 does
    for gradient, wanted in zip(results(y, x, modules)[1:], results(expected, reference, exact)[1:], strict=True):
        assert_close(gradient.double(), wanted, rtol=0.05, atol=0.05 * wanted.abs().max().item())
    assert all(
        g.dtype == torch.float32 for g in torch.autograd.grad(modules.at_once(x, None).sum(), modules.parameters())
    )
