"""The compiled kernels against the same in PyTorch's operations.

That they give what the paper's equations give in float32 is tested where the operations are (`test_gated.py`,
`test_feed_forward.py`), which use them wherever they compile.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from decision_minrnn.encoders.mingru import MinGRU
from decision_minrnn.encoders.minlstm import MinLSTM
from decision_minrnn.encoders.s6 import S6
from decision_minrnn.ops import native
from decision_minrnn.ops.dropout import Mask
from decision_minrnn.ops.feed_forward import residual_feed_forward
from decision_minrnn.ops.gated import gated_scan
from decision_minrnn.ops.residual import add_branch

needs_compiler = pytest.mark.skipif(not native.runs_here(), reason="no C++ compiler")
every_layer = pytest.mark.parametrize("layer", [MinGRU, MinLSTM])
# one tile of channels, less, and more; rows that fill no block of sums, and several
every_size = pytest.mark.parametrize("shape", [(1, 1, 3), (3, 70, 128), (2, 9, 300)], ids=str)


def random(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def drawn(shape: tuple[int, ...]) -> Mask:
    return Mask(torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(9)), 26)


def assert_same_as_eager(
    compute: Callable[..., tuple[Tensor, ...]], tensors: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, and the gradients of a weighting of them."""
    results = []
    for kernels_are in ("on", "off"):
        monkeypatch.setenv("DECISION_MINRNN_KERNELS", kernels_are)
        given = [tensor.clone().requires_grad_() for tensor in tensors]
        values = compute(*given)
        weighted = [(y * random(*y.shape, seed=100 + at)).sum() for at, y in enumerate(values)]
        results.append([*values, *torch.autograd.grad(sum(weighted[1:], weighted[0]), given)])
    for found, expected in zip(*results, strict=True):
        assert found.dtype == expected.dtype
        assert_close(found, expected, rtol=1e-4, atol=1e-5 * max(1.0, expected.abs().max().item()))


@needs_compiler
def test_kernels_are_used_where_they_are_and_not_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(2, 3)
    assert native.takes(x)
    assert not native.takes(x.double())
    assert not native.takes(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert native.takes(x)
    with torch.autocast("cpu", torch.float16):
        assert not native.takes(x)
    with native.switched_off():
        assert not native.takes(x)
    assert native.takes(x)
    monkeypatch.setenv("DECISION_MINRNN_KERNELS", "off")
    with native.switched_off():
        pass
    assert not native.takes(x)


@needs_compiler
@pytest.mark.parametrize("resets", [False, True], ids=["", "resets"])
@every_size
@every_layer
def test_gated_scan(
    layer: type[MinGRU | MinLSTM], shape: tuple[int, int, int], resets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, time, size = shape
    reset = random(batch, time, seed=5) > 0.5 if resets else None
    tensors = [
        random(batch, time, (1 + layer.gates) * size, seed=1, scale=3.0),
        random(batch, size, seed=2),
        random(batch, size, seed=3),
    ]
    assert_same_as_eager(lambda *x: (gated_scan(*x, reset, layer.gate),), tensors, monkeypatch)


@needs_compiler
@pytest.mark.parametrize("dropped", [False, True], ids=["", "dropped"])
@every_size
@every_layer
def test_branch_of_a_layer(
    layer: type[MinGRU | MinLSTM], shape: tuple[int, int, int], dropped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Norm, projection, recurrence, dropout and sum; the last state has a gradient as well."""
    batch, time, width = shape
    module, norm = layer(width), nn.LayerNorm(width)
    names = [f"layer.{name}" for name, _ in module.named_parameters()] + ["norm.weight", "norm.bias"]
    both = nn.ModuleDict({"layer": module, "norm": norm})
    reset, mask = random(batch, time, seed=5) > 0.5, drawn(shape) if dropped else None

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = both

        def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            y, (last,) = module.residual(x, norm, mask, (state,), reset)
            return y, last

    def compute(x: Tensor, state: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        named = {f"both.{name}": value for name, value in zip(names, parameters, strict=True)}
        return torch.func.functional_call(Branch(), named, (x, state))

    own = [random(*parameter.shape, seed=10 + at) for at, parameter in enumerate(both.parameters())]
    tensors = [random(*shape, seed=1), random(batch, width, seed=2), *own]
    assert_same_as_eager(compute, tensors, monkeypatch)


@needs_compiler
@pytest.mark.parametrize("dropped", [False, True], ids=["", "dropped"])
@every_size
def test_feed_forward(shape: tuple[int, int, int], dropped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    width = shape[-1]
    mask = drawn(shape) if dropped else None
    norm, up, down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.up, self.down = norm, up, down

        def forward(self, x: Tensor) -> Tensor:
            return residual_feed_forward(x, mask, norm, up, down)

    branch = Branch()
    names = [name for name, _ in branch.named_parameters()]

    def compute(x: Tensor, *parameters: Tensor) -> tuple[Tensor]:
        return (torch.func.functional_call(branch, dict(zip(names, parameters, strict=True)), (x,)),)

    own = [random(*parameter.shape, seed=10 + at) for at, parameter in enumerate(branch.parameters())]
    assert_same_as_eager(compute, [random(*shape, seed=1), *own], monkeypatch)


@needs_compiler
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@every_size
def test_add_branch(shape: tuple[int, int, int], precision: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = drawn(shape)
    tensors = [random(*shape, seed=1), random(*shape, seed=2).to(precision)]
    assert_same_as_eager(lambda x, branch: (add_branch(x, branch, mask),), tensors, monkeypatch)


@needs_compiler
@every_layer
def test_extremes_neither_overflow_nor_hide_nan(layer: type[MinGRU | MinLSTM]) -> None:
    values = torch.tensor([-1e30, -200.0, -88.0, -20.0, 0.0, 20.0, 88.0, 200.0, 1e30])
    projected = torch.cartesian_prod(*[values] * (1 + layer.gates)).T.reshape(1, 1, -1).requires_grad_()
    size = projected.shape[2] // (1 + layer.gates)
    state = torch.ones(1, size)
    h = gated_scan(projected, state, state, None, layer.gate)
    assert h.isfinite().all()
    candidate, *gates = projected.detach().double().split(size, dim=-1)
    opened = [torch.sigmoid(gate) for gate in gates]
    # where a gate is shut beyond e^-87, a write gate of 1e-38 stands for less, and of two that are the ratio is lost
    exact = (sum(opened[1:], opened[0]) > 1e-37) & (candidate < 1e3)
    write = opened[0] if layer is MinGRU else opened[1] / (opened[0] + opened[1])
    expected = 1 + write * (torch.where(candidate >= 0, candidate + 0.5, torch.sigmoid(candidate)) - 1)
    assert_close(h.double()[exact], expected[exact], rtol=1e-5, atol=1e-6)
    assert torch.autograd.grad(h.clamp(max=1e3).sum(), projected)[0].isfinite().all()
    broken = projected.detach().clone()
    broken[..., 3] = torch.nan
    assert gated_scan(broken, state, state, None, layer.gate).isnan().any()
    rounded = add_branch(torch.zeros(1), torch.tensor([torch.nan]).bfloat16(), Mask(torch.full((1,), 255).byte(), 1))
    assert rounded.isnan().all()


class Block(nn.Module):
    """Both branches of a block."""

    def __init__(self, layer: type[MinGRU | MinLSTM], width: int, inner: int) -> None:
        super().__init__()
        self.layer, self.norm, self.norm_2 = layer(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        for at, parameter in enumerate(self.parameters()):
            parameter.data = random(*parameter.shape, seed=20 + at, scale=parameter.shape[-1] ** -0.5)

    def forward(self, x: Tensor, mask: Mask | None = None, reset: Tensor | None = None) -> Tensor:
        x, _ = self.layer.residual(x, self.norm, mask, None, reset)
        return residual_feed_forward(x, mask, self.norm_2, self.up, self.down)

    def gradients(self, y: Tensor, x: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad((y * random(*y.shape, seed=4)).sum(), [x, *self.parameters()]))


@needs_compiler
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@every_layer
def test_threads_share_the_work(layer: type[MinGRU | MinLSTM], precision: torch.dtype) -> None:
    """And give the same to the bit; weights' gradients are sums over more rows than are taken together."""
    if not native.multiplies(precision):
        pytest.skip("PyTorch's products may be divided otherwise among more threads")
    block, shape, results = Block(layer, 96, 256), (80, 20, 96), []
    x, mask = random(*shape, seed=1).requires_grad_(), drawn(shape)
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            with torch.autocast("cpu", precision, enabled=precision is torch.bfloat16):
                y = block(x, mask)
            results.append([y, *block.gradients(y, x)])
        finally:
            torch.set_num_threads(1)
    for one, several in zip(*results, strict=True):
        assert torch.equal(one, several)


@needs_compiler
@pytest.mark.parametrize(
    ("shape", "inner"), [((1, 1, 2), 4), ((3, 21, 34), 70), ((2, 700, 128), 100), ((5, 40, 300), 130), ((3, 7, 5), 9)]
)
@every_layer
def test_products_of_bfloat16(
    layer: type[MinGRU | MinLSTM], shape: tuple[int, int, int], inner: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As near to float32 as PyTorch's; odd numbers of rows, several chunks of rows, and sizes that are PyTorch's."""
    block = Block(layer, shape[-1], inner)
    x, mask, reset = random(*shape, seed=1).requires_grad_(), drawn(shape), random(*shape[:2], seed=5) > 0.5
    exact = block(x, mask, reset)
    expected = [exact, *block.gradients(exact, x)]
    errors = []
    for kernels_are in ("on", "off"):
        monkeypatch.setenv("DECISION_MINRNN_KERNELS", kernels_are)
        with torch.autocast("cpu", torch.bfloat16):
            y = block(x, mask, reset)
        found = [y, *block.gradients(y, x)]
        assert [tensor.dtype for tensor in found] == [tensor.dtype for tensor in expected]
        pairs = zip(found, expected, strict=True)
        errors.append([((a - b).norm() / b.norm().clamp_min(1e-6)).item() for a, b in pairs])
    ours, torchs = errors
    # a ReLU's input near zero rounds to either side of it, and with few rows that shows
    assert max(ours) < 0.1
    assert sum(ours) < 0.1 + 1.5 * sum(torchs)


@needs_compiler
@every_layer
def test_matrices_may_lie_in_any_order(layer: type[MinGRU | MinLSTM]) -> None:
    block, x = Block(layer, 6, 10), random(2, 5, 6, seed=1)
    expected = block(x)
    for module in (block.layer.project_in, block.up, block.down):
        module.weight.data = module.weight.data.t().contiguous().t()
    assert_close(block(x.transpose(0, 1).contiguous().transpose(0, 1)), expected)


@needs_compiler
def test_time_in_products_is_counted_where_it_is_asked_for() -> None:
    block, x = Block(MinGRU, 64, 128), random(8, 40, 64, seed=1)
    with native.counted_products() as seconds:
        began = time.perf_counter()
        block(x)
        took = time.perf_counter() - began
    assert 0 < seconds() < took or not native.multiplies(torch.float32)
    with native.counted_products() as again, native.switched_off():
        block(x)
    assert again() == 0


@needs_compiler
def test_branches_are_for_products_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(2, 3, 4)
    if not native.takes_branch(x, 4, 7):
        pytest.skip("this build of torch exports no product")
    assert not native.takes_branch(x.double(), 4, 7)
    assert not native.takes_branch(x[:0], 4, 7)
    with torch.autocast("cpu", torch.bfloat16):
        assert not native.takes_branch(x, 4, 7)
        assert native.takes_branch(x, 4, 8) == native.multiplies(torch.bfloat16)
        with monkeypatch.context() as patch:
            patch.setattr(torch.backends.mkldnn, "enabled", False)
            assert not native.takes_branch(x, 4, 8)
    monkeypatch.setattr("decision_minrnn.ops.native.multiplies", lambda dtype: False)
    assert native.takes(x)
    assert not native.takes_branch(x, 4, 7)


@needs_compiler
@pytest.mark.parametrize("resets", [False, True], ids=["", "resets"])
@pytest.mark.parametrize(("shape", "modes"), [((1, 1, 3), 1), ((3, 30, 64), 16), ((2, 9, 130), 5)], ids=str)
def test_s6(shape: tuple[int, int, int], modes: int, resets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, time, width = shape
    layer = S6(width, modes=modes)
    reset = random(batch, time, seed=5) > 0.5 if resets else None
    names = [name for name, _ in layer.named_parameters()]

    def compute(x: Tensor, state: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip(names, parameters, strict=True))
        y, (last,) = torch.func.functional_call(layer, named, (x, (state,), reset))
        return y, last

    own = [parameter.detach() for parameter in layer.parameters()]
    tensors = [random(*shape, seed=1), random(batch, width, modes, seed=2), *own]
    assert_same_as_eager(compute, tensors, monkeypatch)


@needs_compiler
def test_a_layer_that_is_listened_to_is_called() -> None:
    layer, heard = MinGRU(4), []
    layer.register_forward_pre_hook(lambda layer, arguments: heard.append(arguments[0]))
    layer.residual(torch.ones(1, 2, 4), nn.LayerNorm(4), None, None, None)
    assert len(heard) == 1
