"""The GPU kernels against `ops.gated` and a loop: on a GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

pytest.importorskip("triton")

from decision_minrnn.encoders.mingru import MinGRU
from decision_minrnn.encoders.minlstm import MinLSTM
from decision_minrnn.ops import backends, linear_scan, triton
from decision_minrnn.ops.gated import _GatedScan
from decision_minrnn.ops.triton.gated import triton_gated_scan

DEVICE = torch.device("cuda" if triton.runs_here() else "cpu")
if DEVICE.type == "cpu" and not triton.interpreted():
    pytest.skip("neither a GPU nor Triton's interpreter", allow_module_level=True)

Layer = type[MinGRU | MinLSTM]
every_layer = pytest.mark.parametrize("layer", [MinGRU, MinLSTM])


def inputs(layer: Layer, batch: int, time: int, size: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Pre-activations, state and initial state: far from zero, so that gates close and open."""
    generator = torch.Generator().manual_seed(time + size)
    shapes = ((batch, time, (1 + layer.gates) * size), (batch, size), (batch, size))
    return [(2 * torch.randn(shape, generator=generator)).to(DEVICE, dtype).requires_grad_() for shape in shapes]


def marks(batch: int, time: int, share: float = 0.3) -> Tensor:
    """Random steps, and the very first of the first row."""
    reset = torch.rand(batch, time, generator=torch.Generator().manual_seed(1)) < share
    reset[0, 0] = True
    return reset.to(DEVICE)


def values_and_gradients(h: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    weights = torch.randn(h.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE, h.dtype)
    return [h.detach(), *torch.autograd.grad((h * weights).sum(), leaves, materialize_grads=True)]


def compare(layer: Layer, leaves: list[Tensor], reset: Tensor | None, **tolerances: float) -> list[Tensor]:
    """The kernel beside the plain PyTorch form in float64; returns what the kernel gives."""
    exact = [x.detach().double().requires_grad_() for x in leaves]
    found = values_and_gradients(triton_gated_scan(*leaves, reset), leaves)
    expected = values_and_gradients(_GatedScan.apply(*exact, reset, layer.gate), exact)
    for name, x, y in zip(("h", "projected", "state", "initial"), found, expected, strict=True):
        assert_close(x.double(), y, **tolerances, msg=lambda text, name=name: f"{name}: {text}")  # type: ignore[misc]
    return found


FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}


def test_two_steps_by_hand() -> None:
    # z = 1/2, g(1) = 1.5; then z = 3/4, g(log(1/3)) = 1/4
    log3 = torch.log(torch.tensor(3.0))
    projected = torch.tensor([[[1.0, 0.0], [-log3, log3]]], device=DEVICE)
    state, initial = torch.full((1, 1), 0.5, device=DEVICE), torch.full((1, 1), 0.1, device=DEVICE)
    h = triton_gated_scan(projected, state, initial, None)
    assert_close(h.flatten().cpu(), torch.tensor([1.0, 0.25 * 1.0 + 0.75 * 0.25]))
    reset = torch.tensor([[False, True]], device=DEVICE)
    h = triton_gated_scan(projected, state, initial, reset)
    assert_close(h.flatten().cpu(), torch.tensor([1.0, 0.25 * 0.1 + 0.75 * 0.25]))


@pytest.mark.parametrize("reset", ["none", "some", "all"])
@pytest.mark.parametrize(("time", "size"), [(1, 1), (1, 17), (3, 3), (17, 1), (65, 3)])
@every_layer
def test_values_and_gradients(layer: Layer, time: int, size: int, reset: str) -> None:
    share = {"none": None, "some": 0.3, "all": 1.0}[reset]
    compare(layer, inputs(layer, 2, time, size), None if share is None else marks(2, time, share), **FLOAT32)


SIZES = [(1, 65), (3, 17), (17, 65), (31, 3), (32, 32), (33, 33), (64, 1), (65, 65), (200, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(("time", "size"), SIZES)
@every_layer
def test_whole_and_ragged_tiles(layer: Layer, time: int, size: int, reset: bool) -> None:
    compare(layer, inputs(layer, 2, time, size), marks(2, time, 0.1) if reset else None, **FLOAT32)


@every_layer
def test_float64_is_computed_in_float64(layer: Layer) -> None:
    leaves = inputs(layer, 2, 9, 3, torch.float64)
    assert compare(layer, leaves, marks(2, 9), rtol=1e-12, atol=1e-12)[0].dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@every_layer
def test_half_precision_only_rounds_what_is_read_and_written(layer: Layer, dtype: torch.dtype) -> None:
    coarse = 2 * torch.finfo(dtype).eps
    # pre-activations alone, as under autocast: h and the states' gradients are as exact as ever
    leaves = inputs(layer, 2, 20, 5)
    leaves[0] = leaves[0].detach().to(dtype).requires_grad_()
    h, of_projected, of_state, _ = compare(layer, leaves, marks(2, 20), rtol=coarse, atol=coarse)
    assert (h.dtype, of_projected.dtype, of_state.dtype) == (torch.float32, dtype, torch.float32)
    rounded = [leaves[0].detach().float().requires_grad_(), *leaves[1:]]
    exact = compare(layer, rounded, marks(2, 20), **FLOAT32)
    assert_close(h, exact[0], rtol=0, atol=0)
    # the interpreter cuts off what bfloat16 does not hold, where a GPU rounds
    cut = triton.interpreted() and dtype == torch.bfloat16
    assert_close(of_projected, exact[1].to(dtype), rtol=torch.finfo(dtype).eps if cut else 0, atol=0)
    # everything
    leaves = inputs(layer, 2, 20, 5, dtype)
    found = compare(layer, leaves, marks(2, 20), rtol=2 * coarse, atol=2 * coarse)
    assert {x.dtype for x in found} == {dtype}


@every_layer
def test_strides_do_not_matter(layer: Layer) -> None:
    leaves = inputs(layer, 3, 11, 5)
    strided = [x.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_() for x in leaves]
    reset = marks(3, 11)
    assert not any(x.is_contiguous() for x in strided)
    expected = values_and_gradients(triton_gated_scan(*leaves, reset), leaves)
    found = values_and_gradients(triton_gated_scan(*strided, reset.T.contiguous().T), strided)
    for x, y in zip(found, expected, strict=True):
        assert_close(x, y, rtol=0, atol=0)
    # one state for all rows, and a gradient that is one number for all
    state = leaves[1].detach()[:1].requires_grad_()
    triton_gated_scan(leaves[0], state.expand(3, -1), state.expand(3, -1), reset).sum().backward()
    assert state.grad is not None
    found_gradient, state.grad = state.grad, None
    _GatedScan.apply(leaves[0], state.expand(3, -1), state.expand(3, -1), reset, layer.gate).sum().backward()
    assert_close(found_gradient, state.grad, **FLOAT32)


@every_layer
def test_splitting_and_carrying_is_not_splitting(layer: Layer) -> None:
    projected, state, initial = inputs(layer, 2, 40, 3)
    whole = triton_gated_scan(projected, state, initial, None)
    first = triton_gated_scan(projected[:, :7], state, initial, None)
    second = triton_gated_scan(projected[:, 7:], first[:, -1], initial, None)
    assert_close(torch.cat([first, second], dim=1), whole, **FLOAT32)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # of the interpreter: 1 / (1 + inf) is meant
def test_gates_that_are_shut() -> None:
    """Both sigmoids of minLSTM are zero in float32 where both are below -104: nothing is written, nothing is NaN."""
    leaves = inputs(MinLSTM, 1, 3, 2)
    with torch.no_grad():
        leaves[0][..., 2:] = -200.0
    h, *gradients = values_and_gradients(triton_gated_scan(*leaves, None), leaves)
    assert_close(h, leaves[1].detach()[:, None].expand_as(h))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_the_plain_recurrence_in_several_tiles() -> None:
    """What test_scan.py asks of every backend it asks with few steps and channels."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 65, 33), (2, 65, 33), (2, 33))
    leaves = [torch.rand(shape, generator=generator).to(DEVICE).requires_grad_() for shape in shapes]
    reset = marks(2, 65, 0.05)
    found = values_and_gradients(linear_scan(*leaves, reset=reset, backend="triton")[0], leaves)
    exact = [x.detach().double().requires_grad_() for x in leaves]
    expected = values_and_gradients(linear_scan(*exact, reset=reset, backend="reference")[0], exact)
    for x, y in zip(found, expected, strict=True):
        assert_close(x.double(), y, rtol=1e-5, atol=1e-4)


def test_complex_numbers_are_refused() -> None:
    turn = torch.full((1, 2, 1), 2j, device=DEVICE)
    with pytest.raises(ValueError, match="triton takes real numbers"):
        linear_scan(turn, turn, backend="triton")


@pytest.mark.skipif(not triton.interpreted(), reason="there is a GPU")
def test_the_quick_prefix_sum_is_the_interpreters(
    monkeypatch: pytest.MonkeyPatch, quick_interpreter: Callable[..., Any]
) -> None:
    from triton.runtime.interpreter import ScanOps

    leaves = inputs(MinGRU, 1, 4, 2)
    quick = values_and_gradients(triton_gated_scan(*leaves, None), leaves)
    assert ScanOps.generic_scan is not quick_interpreter
    monkeypatch.setattr(ScanOps, "generic_scan", quick_interpreter)
    for x, y in zip(quick, values_and_gradients(triton_gated_scan(*leaves, None), leaves), strict=True):
        assert_close(x, y, rtol=0, atol=0)


def test_machines_without_a_gpu_do_without() -> None:
    code = (
        "import sys, torch\n"
        "from decision_minrnn.ops import backends, linear_scan\n"
        "from decision_minrnn.encoders import build_encoder\n"
        "build_encoder('mingru', 4, 1)(torch.rand(1, 3, 4))\n"
        "print('triton' in backends(), 'triton' in sys.modules)\n"
        "linear_scan(torch.rand(1, 2, 3), torch.rand(1, 2, 3), backend='triton')\n"
    )
    environment = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["False", "False"]
    assert "unknown scan backend 'triton'; expected auto or one of sequential, reference, log_space." in done.stderr
    assert "triton" in backends()


GPU = "GPUTarget('cuda', 90, 32)"
COMPILE = f"""
import inspect, itertools
import torch, triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from decision_minrnn.ops.triton import gated, linear
from decision_minrnn.ops.triton.tiles import Launch

def compile(kernel, size, **constants):
    options = Launch.over(2, *size).sizes
    constants |= {{name: options.pop(name) for name in ("TIME", "CHANNELS")}}
    pointers = {{"reset_start": "*i1", "projected_start": "*bf16", "of_projected_start": "*bf16"}}
    signature = {{
        name: "constexpr" if name in constants
        else pointers.get(name, "*fp32") if name.endswith("_start")
        else "i32"
        for name in inspect.signature(kernel.fn).parameters
    }}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compiled = triton.compile(source, target={GPU}, options=options)
    assert compiled.asm["cubin"]
    print(kernel.fn.__name__, constants)

TINY = torch.finfo(torch.float32).tiny
for size in ((64, 128), (3, 1), (1, 1)):
    for kernel in (linear._forward, linear._backward):
        compile(kernel, size, PRECISION=tl.float32)
    for kernel, gates, resets in itertools.product((gated._forward, gated._backward), (1, 2), (False, True)):
        compile(kernel, size, PRECISION=tl.float32, GATES=gates, RESETS=resets, TINY=TINY)
"""


@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """Without one: Triton's compiler and NVIDIA's assembler run anywhere."""
    environment = {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.defpath}
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3 * (2 + 8)
