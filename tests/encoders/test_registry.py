"""Building encoders: layers of one's own, and what is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from decision_minrnn.encoders import Encoder, base, build_encoder, encoder_names, encoder_options, register_layer
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.types import State


class LeakySum(Encoder):
    """h_t = leak * h_{t-1} + x_t, by a plain loop."""

    def __init__(self, width: int, *, leak: float = 0.5) -> None:
        super().__init__()
        self.leak = leak
        self.initial = nn.Parameter(torch.zeros(width))

    def initial_state(self, batch_size: int) -> State:
        return (self.initial.expand(batch_size, -1),)

    def forward(
        self, x: Float[Tensor, "b t d"], state: State | None = None, reset: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Tensor, State]:
        state = self.initial_state(len(x)) if state is None else state
        ys = []
        for t in range(x.shape[1]):
            if reset is not None:
                state = base.reset_rows(state, self.initial_state(len(x)), reset[:, t])
            y, state = self.step(x[:, t], state)
            ys.append(y)
        return torch.stack(ys, dim=1), state

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Tensor, State]:
        h = self.leak * state[0] + x
        return h, (h,)


@pytest.fixture
def leaky_sum() -> Iterator[str]:
    register_layer("leaky_sum")(LeakySum)
    yield "leaky_sum"
    del base._LAYERS["leaky_sum"]


def test_the_layers_of_the_package_register_themselves() -> None:
    of_the_paper = {
        "mingru",
        "minlstm",
        "gru",
        "lstm",
        "transformer",
        "aaren",
        "s4d",
        "s6",
        "mamba",
        "h3",
        "hyena",
        "mlp",
    }
    assert of_the_paper <= set(encoder_names())
    assert encoder_options("minlstm") == {
        "style": "plain",
        "convolution": 0,
        "feed_forward": 4.0,
        "dropout": 0.1,
        "expansion": 1.0,
        "scan": "auto",
        "forget_bias": 3.0,
    }


def test_a_layer_of_ones_own(leaky_sum: str) -> None:
    assert leaky_sum in encoder_names()
    assert encoder_options(leaky_sum)["leak"] == 0.5
    encoder = build_encoder(leaky_sum, 4, 2, leak=0.25, dropout=0.0)
    assert [block.layer.leak for block in encoder.blocks] == [0.25, 0.25]
    x = torch.randn(2, 5, 4)
    y, state = encoder(x)
    z, _ = encoder(x[:, 3:], encoder(x[:, :3])[1])
    torch.testing.assert_close(y[:, 3:], z)
    assert [part.shape for part in state] == [(2, 4), (2, 4)]


def test_a_name_is_registered_once(leaky_sum: str) -> None:
    with pytest.raises(ValueError, match=r"'leaky_sum' is registered already: LeakySum"):
        register_layer(leaky_sum)(LeakySum)


def test_the_test_layer_is_gone_afterwards() -> None:
    assert "leaky_sum" not in encoder_names()


def test_an_unknown_encoder_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown encoder 'min-gru'. Did you mean mingru"):
        build_encoder("min-gru", 4, 1)
    with pytest.raises(UnknownNameError, match=r"unknown encoder 'nothing'.*One of your own is known once the module"):
        encoder_options("nothing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width expects a whole number of at least 1, got 0"),
        ({"depth": 0}, "layers expects a whole number of at least 1, got 0"),
        ({"kernel": 4}, "encoder mingru has no option 'kernel'. Its options: convolution, dropout, expansion"),
        ({"forget_bias": 1.0}, "encoder mingru has no option 'forget_bias'"),
        ({"convolution": "4"}, "encoder option convolution expects a value of type int, got '4'"),
        ({"convolution": 4.0}, "encoder option convolution expects a value of type int, got 4.0"),
        ({"convolution": True}, "encoder option convolution expects a value of type int, got True"),
        ({"convolution": 1}, "convolution expects 0 (none) or a kernel of at least 2, got 1"),
        ({"convolution": -4}, "convolution expects 0 (none) or a kernel of at least 2, got -4"),
        ({"dropout": 1.0}, "dropout expects a probability from 0 to below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout expects a probability from 0 to below 1, got -0.1"),
        ({"dropout": float("nan")}, "encoder option dropout expects a value of type float, got nan"),
        ({"expansion": 0.0}, "expansion 0.0 of width 4 leaves no state"),
        ({"expansion": "2"}, "encoder option expansion expects a value of type float, got '2'"),
        ({"expansion": float("inf")}, "encoder option expansion expects a value of type float, got inf"),
        ({"feed_forward": -1.0}, "feed_forward expects 0 (none) or at least 1/4 at this width, got -1.0"),
        ({"feed_forward": 0.01}, "feed_forward expects 0 (none) or at least 1/4 at this width, got 0.01"),
        ({"scan": 3}, "encoder option scan expects a value of type str, got 3"),
    ],
)
def test_refused_options_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_encoder("mingru", **({"width": 4, "depth": 1} | arguments))
    assert message in str(error.value)


def test_an_unknown_scan_is_refused_before_it_is_used() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown scan backend 'logspace'. Did you mean log_space"):
        build_encoder("mingru", 4, 1, scan="logspace")


def test_whole_numbers_are_taken_for_fractions() -> None:
    (state,) = build_encoder("mingru", 4, 1, expansion=2, feed_forward=0, dropout=0).initial_state(1)
    assert state.shape == (1, 8)
