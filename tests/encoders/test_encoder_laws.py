"""The laws of an encoder (see `encoders/base.py`), over every registered layer with several options.

Computed in float64, with every parameter away from its initial value, so that nothing agrees by being zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from decision_minrnn.encoders import Encoder, build_encoder, encoder_names, encoder_options, reset_rows
from decision_minrnn.encoders.base import encoder_layer
from decision_minrnn.types import State

WIDTH, BATCH, TIME = 6, 3, 9
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"convolution": 4},
    {"expansion": 2.0},
    {"feed_forward": 0.0},
    {"convolution": 2, "expansion": 1.5, "feed_forward": 2.0},
    {"style": "mamba"},
    {"style": "h3"},
    {"context": 4},
    {"positions": "learned", "context": 5},
)


SETTINGS = {"transformer": {"heads": 3, "context": 6}, "aaren": {"heads": 2}, "hyena": {"context": 5}}
"""What an encoder needs at this width, and a context that is shorter than the sequences."""


def cases() -> Iterable[tuple[str, dict[str, Any]]]:
    for name in encoder_names():
        fitting = (options for options in OPTIONS if options.keys() <= encoder_options(name).keys())
        yield from ((name, SETTINGS.get(name, {}) | options) for options in fitting)


def described(case: object) -> str:
    return ",".join(f"{key}={value}" for key, value in case.items()) or "plain" if isinstance(case, dict) else str(case)


every_encoder = pytest.mark.parametrize(("name", "options"), list(cases()), ids=described)


def remembers(name: str, options: dict[str, Any]) -> bool:
    """Whether the layer does, or the convolutions around it."""
    return encoder_layer(name).remembers or "convolution" in options or options.get("style", "plain") != "plain"


def make(name: str, options: dict[str, Any], depth: int = 2) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        encoder = build_encoder(name, WIDTH, depth, **options).double().eval()
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return encoder


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def carried_state(encoder: Encoder, batch: int = BATCH) -> State:
    """A state as it is after some steps, different in every row."""
    with torch.no_grad():
        _, state = encoder(random(batch, 5, WIDTH, seed=11))
    return state


def stepped(encoder: Encoder, x: Tensor, state: State | None, reset: Tensor | None = None) -> tuple[Tensor, State]:
    initial = encoder.initial_state(len(x))
    state = initial if state is None else state
    ys = []
    for t in range(x.shape[1]):
        if reset is not None:
            state = reset_rows(state, initial, reset[:, t])
        y, state = encoder.step(x[:, t], state)
        ys.append(y)
    return torch.stack(ys, dim=1), state


def gradients(encoder: Encoder, inputs: list[Tensor], y: Tensor, last: State) -> list[Tensor]:
    """Of a random weighting of everything that comes out, by everything that goes in."""
    scalar = (y * random(*y.shape, seed=5)).sum()
    scalar = scalar + sum((part * random(*part.shape, seed=6)).sum() for part in last)
    wanted = [*inputs, *encoder.parameters()]
    return list(torch.autograd.grad(scalar, wanted, materialize_grads=True))


def assert_states_close(state: State, expected: State) -> None:
    assert len(state) == len(expected)
    for part, other in zip(state, expected, strict=True):
        assert_close(part, other)


@every_encoder
def test_steps_to_act_with_equal_steps_and_leave_their_states_alone(name: str, options: dict[str, Any]) -> None:
    encoder, x = make(name, options), random(BATCH, TIME, WIDTH)
    expected, last = stepped(encoder, x, carried_state(encoder))
    state, step = carried_state(encoder), encoder.stepper(BATCH)
    states = [state]
    with torch.inference_mode():
        for t in range(TIME):
            y, state = step(x[:, t].clone(), state)
            assert_close(y, expected[:, t])
            states.append(state)
    assert_states_close(state, last)
    assert_states_close(states[3], stepped(encoder, x[:, :3], carried_state(encoder))[1])


@pytest.mark.parametrize("resets", [False, True], ids=["", "resets"])
@pytest.mark.parametrize("carried", [False, True], ids=["initial", "carried"])
@every_encoder
def test_steps_equal_one_forward_pass_in_values_and_gradients(
    name: str, options: dict[str, Any], carried: bool, resets: bool
) -> None:
    encoder = make(name, options)
    x = random(BATCH, TIME, WIDTH).requires_grad_()
    state = tuple(part.requires_grad_() for part in carried_state(encoder)) if carried else None
    reset = None
    if resets:
        reset = torch.zeros(BATCH, TIME, dtype=torch.bool)
        reset[0, 0] = reset[0, 4] = reset[1, 3] = reset[1, 4] = reset[2, TIME - 1] = True
    inputs = [x, *(state or ())]

    y, last = encoder(x, state, reset)
    step_y, step_last = stepped(encoder, x, state, reset)

    assert_close(y, step_y)
    assert_states_close(last, step_last)
    for gradient, expected in zip(
        gradients(encoder, inputs, y, last), gradients(encoder, inputs, step_y, step_last), strict=True
    ):
        assert_close(gradient, expected)


@every_encoder
def test_float32_steps_equal_one_forward_pass(name: str, options: dict[str, Any]) -> None:
    encoder = make(name, options).float()
    x = random(BATCH, 40, WIDTH).float()
    y, last = encoder(x)
    step_y, step_last = stepped(encoder, x, None)
    assert_close(y, step_y, rtol=1e-4, atol=1e-5)
    for part, expected in zip(last, step_last, strict=True):
        assert_close(part, expected, rtol=1e-4, atol=1e-5)


@every_encoder
def test_every_parameter_and_input_gets_a_gradient(name: str, options: dict[str, Any]) -> None:
    encoder = make(name, options)
    x = random(BATCH, TIME, WIDTH).requires_grad_()
    y, last = encoder(x)
    for gradient in gradients(encoder, [x], y, last):
        assert gradient.isfinite().all()
        assert gradient.any()


@pytest.mark.parametrize("cut", [1, 4, TIME - 1])
@every_encoder
def test_splitting_and_carrying_equals_not_splitting(name: str, options: dict[str, Any], cut: int) -> None:
    encoder = make(name, options)
    x = random(BATCH, TIME, WIDTH)
    y, last = encoder(x)
    first, state = encoder(x[:, :cut])
    second, end = encoder(x[:, cut:], state)
    assert_close(torch.cat([first, second], dim=1), y)
    assert_states_close(end, last)


@pytest.mark.parametrize("at", [0, 1, 5, TIME - 1])
@every_encoder
def test_a_reset_is_a_fresh_sequence(name: str, options: dict[str, Any], at: int) -> None:
    encoder = make(name, options)
    x, state = random(BATCH, TIME, WIDTH), carried_state(encoder)
    reset = torch.zeros(BATCH, TIME, dtype=torch.bool)
    reset[0, at] = True
    y, last = encoder(x, state, reset)
    fresh, fresh_last = encoder(x[:1, at:])
    plain, plain_last = encoder(x, state)
    assert_close(y[:1, at:], fresh)
    assert_states_close(tuple(part[:1] for part in last), fresh_last)
    assert_close(y[:1, :at], plain[:1, :at])
    assert_close(y[1:], plain[1:])
    assert_states_close(tuple(part[1:] for part in last), tuple(part[1:] for part in plain_last))
    assert torch.allclose(y[0, at], plain[0, at]) != remembers(name, options)


@every_encoder
def test_no_gradient_crosses_a_reset(name: str, options: dict[str, Any]) -> None:
    encoder = make(name, options)
    x = random(BATCH, TIME, WIDTH).requires_grad_()
    reset = torch.zeros(BATCH, TIME, dtype=torch.bool)
    reset[:, 5] = True
    y, _ = encoder(x, None, reset)
    (gradient,) = torch.autograd.grad(y[:, 5:].square().sum(), x)
    assert not gradient[:, :5].any()
    assert gradient[:, 5:].any()


@pytest.mark.parametrize("at", [1, 5, TIME - 1])
@every_encoder
def test_the_future_never_changes_the_past(name: str, options: dict[str, Any], at: int) -> None:
    encoder = make(name, options)
    x = random(BATCH, TIME, WIDTH)
    changed = torch.cat([x[:, :at], random(BATCH, TIME - at, WIDTH, seed=1)], dim=1)
    y, other = encoder(x)[0], encoder(changed)[0]
    assert_close(y[:, :at], other[:, :at], rtol=0, atol=0)
    assert not torch.isclose(y[:, at], other[:, at]).any(dim=-1).all()


@every_encoder
def test_permuting_the_batch_permutes_outputs_and_state(name: str, options: dict[str, Any]) -> None:
    encoder = make(name, options)
    x, state, order = random(BATCH, TIME, WIDTH), carried_state(encoder), torch.tensor([2, 0, 1])
    reset = torch.zeros(BATCH, TIME, dtype=torch.bool)
    reset[1, 3] = True
    y, last = encoder(x, state, reset)
    permuted, permuted_last = encoder(x[order], tuple(part[order] for part in state), reset[order])
    assert_close(permuted, y[order])
    assert_states_close(permuted_last, tuple(part[order] for part in last))


@every_encoder
def test_the_state_is_batch_first_and_does_not_grow(name: str, options: dict[str, Any]) -> None:
    encoder = make(name, options)
    shapes = [part.shape for part in encoder.initial_state(BATCH)]
    assert bool(shapes) == remembers(name, options)
    assert all(shape[0] == BATCH for shape in shapes)
    for time in (1, 2, 30):
        _, state = encoder(random(BATCH, time, WIDTH))
        assert [part.shape for part in state] == shapes
    _, state = encoder.step(random(BATCH, WIDTH), state)
    assert [part.shape for part in state] == shapes


@every_encoder
def test_an_initial_state_given_is_the_initial_state_taken(name: str, options: dict[str, Any]) -> None:
    encoder = make(name, options)
    x = random(BATCH, TIME, WIDTH)
    assert_close(encoder(x, encoder.initial_state(BATCH))[0], encoder(x)[0], rtol=0, atol=0)


@every_encoder
def test_weights_make_the_same_encoder(name: str, options: dict[str, Any]) -> None:
    encoder, other = make(name, options), build_encoder(name, WIDTH, 2, **options).double().eval()
    other.load_state_dict(encoder.state_dict())
    x = random(BATCH, TIME, WIDTH)
    assert_close(other(x)[0], encoder(x)[0], rtol=0, atol=0)
