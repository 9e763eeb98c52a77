"""Each layer against its own equation, written out without scan, cache or fused module."""

from __future__ import annotations

import importlib
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu, softplus
from torch.testing import assert_close

from decision_minrnn.encoders import build_encoder
from decision_minrnn.encoders.base import Encoder, encoder_layer
from decision_minrnn.errors import ConfigError, UnknownNameError

BATCH, TIME, WIDTH = 2, 11, 6


def make(name: str, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        layer: Encoder = encoder_layer(name)(WIDTH, **options).double()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return layer


@pytest.fixture
def x() -> Tensor:
    return torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_gru(x: Tensor) -> None:
    layer = make("gru")
    names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
    w, b, u, c = (getattr(layer.recurrence, name) for name in names)
    h = x.new_zeros(BATCH, WIDTH)
    for t in range(TIME):
        (rx, zx, nx), (rh, zh, nh) = (x[:, t] @ w.T + b).chunk(3, 1), (h @ u.T + c).chunk(3, 1)
        z = torch.sigmoid(zx + zh)
        h = (1 - z) * torch.tanh(nx + torch.sigmoid(rx + rh) * nh) + z * h
        assert_close(layer(x)[0][:, t], h)


def test_lstm(x: Tensor) -> None:
    layer = make("lstm", expansion=2.0)
    names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
    w, b, u, d = (getattr(layer.recurrence, name) for name in names)
    h = c = x.new_zeros(BATCH, 2 * WIDTH)
    for t in range(TIME):
        i, f, g, o = (x[:, t] @ w.T + b + h @ u.T + d).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        assert_close(layer(x)[0][:, t], layer.project_out(h))


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("context", [4, 20])
def test_transformer(x: Tensor, context: int, positions: str) -> None:
    """Every pair of tokens by itself."""
    layer = make("transformer", heads=3, context=context, positions=positions)
    q, k, v = (part.unflatten(-1, (3, 2)) for part in layer.project_in(x).chunk(3, -1))

    def score(t: int, s: int, head: int) -> Tensor:
        key = k[:, s, head]
        if positions == "learned":
            return (q[:, t, head] * key).sum(1) / math.sqrt(2) + layer.bias[head, t - s]
        # heads of size 2 turn by one radian a place, so that only the distance counts
        cosine, sine = math.cos(t - s), math.sin(t - s)
        turned = torch.stack([key[:, 0] * cosine + key[:, 1] * sine, key[:, 1] * cosine - key[:, 0] * sine], 1)
        return (q[:, t, head] * turned).sum(1) / math.sqrt(2)

    y = torch.zeros_like(q)
    for t in range(TIME):
        seen = range(max(0, t - context + 1), t + 1)
        for head in range(3):
            weights = torch.stack([score(t, s, head) for s in seen], 1).softmax(1)
            y[:, t, head] = sum(weights[:, n, None] * v[:, s, head] for n, s in enumerate(seen))
    assert_close(layer(x)[0], layer.project_out(y.flatten(2)))


def test_transformer_sees_no_further_than_its_context(x: Tensor) -> None:
    layer = make("transformer", heads=3, context=4)
    changed = x.clone()
    changed[:, 2] += 1
    same = torch.isclose(layer(x)[0], layer(changed)[0], rtol=0, atol=0).all(-1).all(0)
    assert same.tolist() == [True, True, False, False, False, False, True, True, True, True, True]


def test_aaren(x: Tensor) -> None:
    layer = make("aaren", heads=3)
    k, v = (part.unflatten(-1, (3, 2)) for part in layer.project_in(x).chunk(2, -1))
    scores = (k * layer.query).sum(-1) / math.sqrt(2)
    for t in range(TIME):
        weights = scores[:, : t + 1].softmax(1)
        y = (weights[..., None] * v[:, : t + 1]).sum(1)
        assert_close(layer(x)[0][:, t], layer.project_out(y.flatten(1)))


def test_aaren_with_scores_that_overflow(x: Tensor) -> None:
    layer = make("aaren", heads=1).float()
    with torch.no_grad():
        layer.query *= 1e4
    y, state = layer(x.float())
    assert y.isfinite().all()
    assert all(part.isfinite().all() for part in state)


def test_s4d(x: Tensor) -> None:
    """As a convolution with the kernel 2 Re(C exp(dt A)^j B)."""
    layer = make("s4d", modes=3)
    a = torch.complex(-layer.log_decay.exp(), layer.frequency)
    step = (layer.log_dt.exp() * a).exp()
    read = torch.complex(layer.read[..., 0], layer.read[..., 1])
    for t in range(TIME):
        y = layer.skip * x[:, t]
        for j in range(t + 1):
            y = y + 2 * (read * step**j * (step - 1) / a).sum(-1).real * x[:, t - j]
        assert_close(layer(x)[0][:, t], y)


def test_s4d_starts_with_the_modes_of_s4d_lin() -> None:
    layer: Any = encoder_layer("s4d")(4, modes=3)
    assert_close(-layer.log_decay.exp(), torch.full((4, 3), -0.5))
    assert_close(layer.frequency, math.pi * torch.tensor([[0.0, 1.0, 2.0]]).expand(4, -1))


def test_s6(x: Tensor) -> None:
    layer = make("s6", modes=3)
    h = x.new_zeros(BATCH, WIDTH, 3)
    for t in range(TIME):
        rank, b, c = layer.select(x[:, t]).split([1, 3, 3], dim=1)
        dt = softplus(layer.dt(rank))[..., None]
        h = torch.exp(-dt * layer.log_a.exp()) * h + dt * b[:, None] * x[:, t, :, None]
        assert_close(layer(x)[0][:, t], (h * c[:, None]).sum(-1) + layer.skip * x[:, t])


def test_s6_starts_with_steps_between_a_thousandth_and_a_tenth() -> None:
    layer: Any = encoder_layer("s6")(64)
    dt = softplus(layer.dt.bias)
    assert (dt > 0.999e-3).all()
    assert (dt < 0.1001).all()


@pytest.mark.parametrize(("name", "piece"), [("s4d", 3), ("s4d", 11), ("s6", 3 * BATCH * WIDTH * 3), ("s6", 1)])
@pytest.mark.parametrize("resets", [False, True])
def test_a_sequence_in_pieces_is_the_same(
    x: Tensor, name: str, piece: int, resets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make(name, modes=3)
    (state,) = (part + 0.1 for part in layer.initial_state(BATCH))
    reset = torch.zeros(BATCH, TIME, dtype=torch.bool)
    reset[0, 0] = reset[0, 4] = reset[1, 9] = resets

    def results() -> list[Tensor]:
        leaves = [x.clone().requires_grad_(), state.clone().requires_grad_(), *layer.parameters()]
        y, last = layer(leaves[0], (leaves[1],), reset)
        scalar = (y * torch.arange(y.numel()).view_as(y).sin()).sum() + last[0].square().sum()
        return [y, last[0], *torch.autograd.grad(scalar, leaves)]

    monkeypatch.setenv("DECISION_MINRNN_KERNELS", "off")
    whole = results()
    monkeypatch.setattr(importlib.import_module(f"decision_minrnn.encoders.{name}"), "PIECE", piece)
    for value, expected in zip(results(), whole, strict=True):
        assert_close(value, expected)


def test_hyena(x: Tensor) -> None:
    layer = make("hyena", context=4)
    kernel = layer.filter()
    assert kernel.shape == (4, WIDTH)
    for t in range(TIME):
        y = layer.skip * x[:, t] + sum(kernel[j] * x[:, t - j] for j in range(min(4, t + 1)))
        assert_close(layer(x)[0][:, t], y)


def shifted(shift: Any, x: Tensor) -> Tensor:
    padded = torch.cat([x.new_zeros(BATCH, shift.kernel - 1, x.shape[2]), x], 1)
    return shift.bias + sum(shift.weight[j] * padded[:, 3 - j : 3 - j + TIME] for j in range(shift.kernel))


def test_mamba_is_s6_in_its_gates(x: Tensor) -> None:
    layer = make("mamba", modes=3)
    u, z = layer.project_in(x).chunk(2, -1)
    assert u.shape[2] == 2 * WIDTH
    y, _ = layer.layer(silu(shifted(layer.shift, u)))
    assert_close(layer(x)[0], layer.project_out(y * silu(z)))


def test_h3_is_s4d_in_its_gates(x: Tensor) -> None:
    layer = make("h3", modes=3)
    k, q, v = layer.project_in(x).chunk(3, -1)
    y, _ = layer.layer(shifted(layer.shift, k) * v)
    assert_close(layer(x)[0], layer.project_out(q * y))


def test_a_style_puts_its_gates_around_any_layer() -> None:
    mamba = build_encoder("mamba", WIDTH, 1, modes=3)
    same = build_encoder("s6", WIDTH, 1, modes=3, style="mamba")
    assert {name: value.shape for name, value in mamba.state_dict().items()} == {
        name: value.shape for name, value in same.state_dict().items()
    }
    with pytest.raises(UnknownNameError, match=r"unknown style of a block 'mambo'\. Did you mean mamba"):
        build_encoder("mingru", WIDTH, 1, style="mambo")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("transformer", {"heads": 4}, "heads expects a divisor of the width 6, got 4"),
        ("transformer", {"heads": 2}, "rotary positions expect heads of even size"),
        ("transformer", {"heads": 3, "context": 0}, "context expects at least 1 token, got 0"),
        ("transformer", {"heads": 3, "positions": "sine"}, "positions expects rotary or learned, got 'sine'"),
        ("aaren", {"heads": 0}, "heads expects a divisor"),
        ("s4d", {"modes": 0}, "modes expects at least 1"),
        ("s6", {"modes": 0}, "modes expects at least 1"),
        ("hyena", {"context": 1}, "context of at least 2 tokens"),
        ("gru", {"expansion": 0.0}, "leaves no state"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_encoder(name, WIDTH, 1, **options)
