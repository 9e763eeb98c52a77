"""minGRU and minLSTM against the formulas of arXiv 2410.01201, written out step by step and in log-space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy import ndarray
from torch import Tensor, nn

from decision_minrnn.encoders import build_encoder
from decision_minrnn.encoders.mingru import MinGRU
from decision_minrnn.encoders.minimal import MinimalRNN, positive
from decision_minrnn.encoders.minlstm import MinLSTM
from decision_minrnn.ops import backends, triton

WIDTH, SIZE, TIME = 5, 10, 12
LAYERS = (MinGRU, MinLSTM)


def make(layer: type[MinimalRNN], **options: float) -> MinimalRNN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = layer(WIDTH, expansion=SIZE / WIDTH, **options).double()
        nn.init.normal_(made.initial)
        nn.init.normal_(made.project_in.weight)
    return made


def inputs() -> Tensor:
    return torch.randn(2, TIME, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def projected(layer: MinimalRNN, x: Tensor) -> list[ndarray]:
    """W x + b of the candidate and of each gate."""
    weights = layer.project_in.weight.detach().numpy()
    biases = layer.project_in.bias.detach().numpy()
    return np.split(x.numpy() @ weights.T + biases, layer.gates + 1, axis=-1)


def sigmoid(x: ndarray) -> ndarray:
    return 1 / (1 + np.exp(-x))


def softplus(x: ndarray) -> ndarray:
    return np.log1p(np.exp(x))


def g(x: ndarray) -> ndarray:
    return np.where(x >= 0, x + 0.5, sigmoid(x))


def log_g(x: ndarray) -> ndarray:
    return np.where(x >= 0, np.log(np.maximum(x, 0) + 0.5), -softplus(-x))


def sequential(layer: MinimalRNN, x: Tensor) -> ndarray:
    """Algorithms 1 and 3 of the paper's appendix, with h_0 = g(learned)."""
    candidate, *gates = projected(layer, x)
    h = np.broadcast_to(g(layer.initial.detach().numpy()), (len(x), SIZE))
    steps = []
    for t in range(TIME):
        if isinstance(layer, MinGRU):
            z = sigmoid(gates[0][:, t])
            keep, write = 1 - z, z
        else:
            f, i = sigmoid(gates[0][:, t]), sigmoid(gates[1][:, t])
            keep, write = f / (f + i), i / (f + i)
        h = keep * h + write * g(candidate[:, t])
        steps.append(h)
    return np.stack(steps, axis=1)


def in_log_space(layer: MinimalRNN, x: Tensor) -> ndarray:
    """The paper's parallel form, appendix B, with Heinsen's scan."""
    candidate, *gates = projected(layer, x)
    if isinstance(layer, MinGRU):
        log_keep, log_write = -softplus(gates[0]), -softplus(-gates[0])
    else:
        difference = softplus(-gates[0]) - softplus(-gates[1])
        log_keep, log_write = -softplus(difference), -softplus(-difference)
    log_h0 = np.broadcast_to(log_g(layer.initial.detach().numpy()), (len(x), 1, SIZE))
    log_values = np.concatenate([log_h0, log_write + log_g(candidate)], axis=1)
    decay = np.pad(np.cumsum(log_keep, axis=1), ((0, 0), (1, 0), (0, 0)))
    return np.exp(decay + np.logaddexp.accumulate(log_values - decay, axis=1))[:, 1:]


def test_g_by_hand() -> None:
    x = torch.tensor([-1000.0, -1.0, 0.0, 2.0, 1000.0], dtype=torch.float64, requires_grad=True)
    assert positive(x).tolist() == pytest.approx([0, 1 / (1 + np.e), 0.5, 2.5, 1000.5])
    (slope,) = torch.autograd.grad(positive(x).sum(), x)
    assert slope[[0, 1, 3, 4]].tolist() == pytest.approx([0, np.e / (1 + np.e) ** 2, 1, 1])


@pytest.mark.parametrize("layer_type", LAYERS)
def test_the_layer_is_the_papers_recurrence(layer_type: type[MinimalRNN]) -> None:
    layer, x = make(layer_type), inputs()
    layer.project_out = nn.Identity()
    h, (last,) = layer(x)
    expected = sequential(layer, x)
    np.testing.assert_allclose(h.detach(), expected, rtol=1e-10)
    np.testing.assert_allclose(last.detach(), expected[:, -1], rtol=1e-10)
    np.testing.assert_allclose(h.detach(), in_log_space(layer, x), rtol=1e-10)


@pytest.mark.parametrize("layer_type", LAYERS)
def test_a_carried_state_is_a_state_and_does_not_go_through_g_again(layer_type: type[MinimalRNN]) -> None:
    layer, x = make(layer_type), inputs()
    layer.project_out = nn.Identity()
    h, _ = layer(x[:, 5:], layer(x[:, :5])[1])
    np.testing.assert_allclose(h.detach(), sequential(layer, x)[:, 5:], rtol=1e-10)


@pytest.mark.parametrize("scan", backends(torch.device("cpu")))
@pytest.mark.parametrize("layer_type", LAYERS)
def test_every_scan_gives_the_same(layer_type: type[MinimalRNN], scan: str) -> None:
    layer, x = make(layer_type), inputs()
    expected = layer(x)[0].detach()
    layer.scan = scan
    np.testing.assert_allclose(layer(x)[0].detach(), expected, rtol=1e-9)


def test_a_layer_without_a_named_scan_does_not_start_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "runs_here", lambda: pytest.fail("asked for a GPU"))
    make(MinGRU)


@pytest.mark.parametrize("layer_type", LAYERS)
def test_the_output_is_projected_back_to_the_width(layer_type: type[MinimalRNN]) -> None:
    layer, x = make(layer_type), inputs()
    expected = (
        sequential(layer, x) @ layer.project_out.weight.detach().numpy().T + layer.project_out.bias.detach().numpy()
    )
    np.testing.assert_allclose(layer(x)[0].detach(), expected, rtol=1e-9, atol=1e-12)
    assert layer_type(WIDTH).project_out is None


@pytest.mark.parametrize("layer_type", LAYERS)
def test_the_initial_state_is_learned_and_positive(layer_type: type[MinimalRNN]) -> None:
    layer, x = make(layer_type), inputs()
    (state,) = layer.initial_state(2)
    np.testing.assert_allclose(state.detach(), np.tile(g(layer.initial.detach().numpy()), (2, 1)))
    assert (state > 0).all()
    layer(x)[0].sum().backward()
    assert layer.initial.grad is not None
    assert layer.initial.grad.all()
    before = layer(x)[0][:, 0].detach()
    with torch.no_grad():
        layer.initial += 1
    assert not torch.isclose(layer(x)[0][:, 0], before).any()


def test_the_forget_bias_is_on_the_forget_gate() -> None:
    bias = MinLSTM(WIDTH, expansion=2.0).project_in.bias
    assert (bias[SIZE : 2 * SIZE] == 3).all()
    assert (bias[:SIZE].abs() < 1).all()
    assert (bias[2 * SIZE :].abs() < 1).all()
    assert (MinLSTM(WIDTH, forget_bias=-2.0).project_in.bias[WIDTH : 2 * WIDTH] == -2).all()
    # with equal gates otherwise, a forget gate of bias 3 and an input gate of bias 0 write 0.5 / (0.953 + 0.5)
    layer = MinLSTM(1)
    opened = torch.sigmoid(torch.tensor([3.0, 0.0]))
    assert layer.gate.write(opened).item() == pytest.approx(0.5 / (1 / (1 + np.exp(-3)) + 0.5))
    assert layer.gate.write(opened.flip(0)).item() > 0.5


@pytest.mark.parametrize("scan", ["auto", "sequential"])
@pytest.mark.parametrize("layer_type", LAYERS)
def test_extreme_gates_stay_finite(layer_type: type[MinimalRNN], scan: str) -> None:
    layer = layer_type(1, scan=scan)
    layer.project_in = nn.Identity()
    gates = torch.tensor([[-1e4, 1e4], [1e4, -1e4], [1e4, 1e4], [-1e4, -1e4]])[:, : layer.gates]
    x = torch.cat([torch.tensor([1e4, -1e4, 2.0, 2.0])[:, None], gates], dim=1)[:, None].requires_grad_()
    h, _ = layer(x)
    h.sum().backward()
    assert ((h >= 0) & (h <= 1e4 + 0.5)).all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("alpha", [1, 2, 3, 4])
def test_parameter_counts(alpha: int) -> None:
    """The paper's table of parameters against GRU and LSTM, 3 h (d + h) and 4 h (d + h): sections 3.1.3 and 3.2.4."""
    width, size = 8, 8 * alpha
    out = 0 if alpha == 1 else size * width + width
    mingru, minlstm = MinGRU(width, expansion=float(alpha)), MinLSTM(width, expansion=float(alpha))
    assert sum(p.numel() for p in mingru.parameters()) == 2 * (width * size + size) + size + out
    assert sum(p.numel() for p in minlstm.parameters()) == 3 * (width * size + size) + size + out
    of_gru = mingru.project_in.weight.numel() / (3 * size * (width + size))
    of_lstm = minlstm.project_in.weight.numel() / (4 * size * (width + size))
    assert round(100 * of_gru) == (33, 22, 17, 13)[alpha - 1]
    assert round(100 * of_lstm) == (38, 25, 19, 15)[alpha - 1]


def test_parameter_count_of_an_encoder() -> None:
    width, kernel, inner = 8, 4, 16
    layer = 2 * (width * width + width) + width
    feed_forward = 2 * width + width * inner + inner + inner * width + width
    block = (kernel * width + width) + 2 * width + layer + feed_forward
    encoder = build_encoder("mingru", width, 3, convolution=kernel, feed_forward=2.0)
    assert sum(p.numel() for p in encoder.parameters()) == 3 * block + 2 * width
