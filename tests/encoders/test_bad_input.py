"""What encoders say of a state with NaN, of a context that is passed, and of options that cannot be."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import nan

import numpy as np
import pytest
import torch

from decision_minrnn.config import ModelConfig
from decision_minrnn.encoders import build_encoder, encoder_names
from decision_minrnn.errors import ConfigError
from decision_minrnn.model import DecisionModel
from decision_minrnn.policy import Policy

WIDTH = 8


@pytest.mark.parametrize("name", sorted(set(encoder_names()) - {"mlp"}))
def test_a_state_with_nan_is_refused_where_it_is_passed_in(name: str) -> None:
    encoder = build_encoder(name, WIDTH, 1).eval()
    x = torch.randn(3, 2, WIDTH)
    with torch.no_grad():
        _, state = encoder(x)
        assert encoder(x, state)[0].isfinite().all()
        bad = tuple(part.clone() for part in state)
        bad[-1][2] = nan
        for call in (lambda: encoder(x, bad), lambda: encoder.step(x[:, 0], bad)):
            with pytest.raises(ValueError, match=r"NaN in tensor .* in the rows \[2\]\. Start those rows anew"):
                call()


def test_a_model_refuses_it_too() -> None:
    model = DecisionModel(ModelConfig(2, 1, (-1.0,), (1.0,), width=WIDTH, layers=1)).eval()
    inputs = (torch.zeros(2), torch.zeros(2, 2), torch.zeros(2, 1))
    with torch.no_grad():
        _, (state,) = model.step(*inputs)
        model.step(*inputs, (state,))
        with pytest.raises(ValueError, match=r"in the rows \[0, 1\]"):
            model.step(*inputs, (state * nan,))
        with pytest.raises(ValueError, match=r"in the rows \[0, 1\]"):
            model(*(part[:, None] for part in inputs), (state * nan,))


def test_a_target_that_is_no_number() -> None:
    policy = Policy(DecisionModel(ModelConfig(2, 1, (-1.0,), (1.0,), width=WIDTH, layers=1)))
    with pytest.raises(ValueError, match="a target return is a number"):
        policy.reset(2, nan)
    policy.reset(2, 1.0)
    policy.act(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="a target return is a number"):
        policy.restart(np.array([True, False]), nan)


def told_by(call: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("name", ["transformer", "hyena"])
def test_a_sequence_beyond_the_context_is_told_once(name: str) -> None:
    encoder = build_encoder(name, WIDTH, 1, context=4)
    assert told_by(lambda: encoder(torch.randn(1, 4, WIDTH))) == []
    (message,) = told_by(lambda: encoder(torch.randn(1, 5, WIDTH)))
    assert f"a sequence of 5 tokens is longer than the context of the encoder {name}, 4" in message
    assert "itself and the 3 before it" in message
    assert told_by(lambda: encoder(torch.randn(1, 6, WIDTH))) == []


@pytest.mark.parametrize("name", ["transformer", "hyena"])
def test_steps_beyond_the_context_are_told_once(name: str) -> None:
    encoder = build_encoder(name, WIDTH, 1, context=4).eval()
    state = encoder.initial_state(2)

    @torch.no_grad()
    def step() -> None:
        nonlocal state
        _, state = encoder.step(torch.randn(2, WIDTH), state)

    # the fourth step still sees all, but drops the first token, which the fifth will not see
    told = [told_by(step) for _ in range(6)]
    assert [len(messages) for messages in told] == [0, 0, 0, 1, 0, 0]
    assert f"stepped through than the context of the encoder {name} holds, 4" in told[3][0]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("transformer", {"head": 2}, "has no option 'head'. Did you mean heads? Its options:"),
        ("transformer", {"heads": 3}, "expects a divisor of the width 8, got 3: one of 1, 2, 4, 8"),
        ("transformer", {"heads": 8}, "take fewer heads, or positions=learned"),
        ("hyena", {"context": 1}, "got context=1 hidden=32"),
        ("mamba", {"expand": 0}, "encoder option expand expects a whole number of at least 1, got 0"),
        ("mamba", {"kernel": 0}, "encoder option kernel expects a whole number of at least 1, got 0"),
        ("h3", {"kernel": -1}, "encoder option kernel expects a whole number of at least 1, got -1"),
    ],
)
def test_options_are_refused_with_what_to_do(name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_encoder(name, WIDTH, 1, **options)
    assert message in str(error.value)
