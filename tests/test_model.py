"""`DecisionModel`: one step at a time equals the whole sequence, and what its predictions may depend on.

Computed in float64, with every parameter away from its initial value.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from decision_minrnn.config import ModelConfig
from decision_minrnn.encoders import encoder_names
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.model import DecisionModel
from decision_minrnn.types import ObservationStatistics, State

BATCH, TIME, OBSERVATION, ACTION = 3, 7, 4, 2

TOKENS: dict[str, dict[str, Any]] = {
    "merged": {"tokens": "merged", "previous_action": True},
    "merged-without-action": {"tokens": "merged", "previous_action": False},
    "interleaved": {"tokens": "interleaved"},
}
ENCODERS: dict[str, dict[str, Any]] = {name: {"encoder": name} for name in encoder_names()} | {
    "convolution": {"encoder": "mingru", "encoder_options": {"convolution": 4, "expansion": 2.0}}
}
every_form = pytest.mark.parametrize("form", TOKENS)
every_model = pytest.mark.parametrize(
    "settings_of_model",
    [TOKENS[form] | ENCODERS[encoder] for form in TOKENS for encoder in ENCODERS],
    ids=[f"{form}-{encoder}" for form in TOKENS for encoder in ENCODERS],
)


class Inputs(NamedTuple):
    returns_to_go: Tensor
    observations: Tensor
    previous_actions: Tensor


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs(time: int = TIME, seed: int = 0) -> Inputs:
    return Inputs(
        1000 * random(BATCH, time, seed=seed),
        random(BATCH, time, OBSERVATION, seed=seed + 1),
        random(BATCH, time, ACTION, seed=seed + 2),
    )


def part(sequence: Inputs, steps: slice | int) -> Inputs:
    return Inputs(*(x[:, steps] for x in sequence))


def make(statistics: ObservationStatistics | None = None, **changes: Any) -> DecisionModel:
    sizes = {"observation_size": OBSERVATION, "action_size": ACTION, "width": 8, "layers": 2}
    bounds = {"action_low": (-1.0, 0.25), "action_high": (3.0, 0.5)}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = DecisionModel(ModelConfig(**(sizes | bounds | changes)), statistics).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return model


def marks(*places: tuple[int, int]) -> Tensor:
    reset = torch.zeros(BATCH, TIME, dtype=torch.bool)
    for place in places:
        reset[place] = True
    return reset


def stepped(
    model: DecisionModel, sequence: Inputs, state: State | None = None, reset: Tensor | None = None
) -> tuple[Tensor, State]:
    actions = []
    for t in range(sequence.observations.shape[1]):
        action, state = model.step(*part(sequence, t), state, None if reset is None else reset[:, t])
        actions.append(action)
    assert state is not None
    return torch.stack(actions, dim=1), state


def gradients(model: DecisionModel, sequence: Inputs, actions: Tensor, state: State) -> list[Tensor]:
    scalar = (actions * random(*actions.shape, seed=5)).sum() + sum(x.square().sum() for x in state)
    wanted = [*sequence, *model.parameters()]
    return list(torch.autograd.grad(scalar, wanted, materialize_grads=True))


@pytest.mark.parametrize("resets", [False, True], ids=["", "resets"])
@pytest.mark.parametrize("carried", [False, True], ids=["initial", "carried"])
@every_model
def test_steps_equal_one_forward_pass_in_values_and_gradients(
    settings_of_model: dict[str, Any], carried: bool, resets: bool
) -> None:
    model = make(**settings_of_model)
    sequence = Inputs(*(x.requires_grad_() for x in inputs()))
    state = model(*inputs(3, seed=20))[1] if carried else None
    reset = marks((0, 0), (0, 4), (1, 3), (1, 4), (2, TIME - 1)) if resets else None

    actions, last = model(*sequence, state, reset)
    one_by_one, end = stepped(model, sequence, state, reset)

    assert_close(actions, one_by_one)
    for x, y in zip(last, end, strict=True):
        assert_close(x, y)
    forward_gradients = gradients(model, sequence, actions, last)
    state = model(*inputs(3, seed=20))[1] if carried else None
    one_by_one, end = stepped(model, sequence, state, reset)
    for x, y in zip(forward_gradients, gradients(model, sequence, one_by_one, end), strict=True):
        assert_close(x, y)


@pytest.mark.parametrize("conditioned", [True, False], ids=["", "unconditioned"])
@every_model
def test_steps_to_act_with_equal_one_forward_pass(settings_of_model: dict[str, Any], conditioned: bool) -> None:
    statistics = ObservationStatistics(np.arange(4, dtype=np.float32), np.array([0.1, 1, 2, 3], np.float32))
    model = make(statistics, return_conditioning=conditioned, **settings_of_model)
    sequence, reset = inputs(), marks((0, 0), (1, 3), (2, TIME - 1))
    step, state = model.stepper(BATCH), model(*inputs(3, seed=20))[1]
    expected, last = model(*sequence, state, reset)
    taken = []
    with torch.inference_mode():
        for t in range(TIME):
            action, state = step(*part(sequence, t), state, reset[:, t] if reset[:, t].any() else None)
            taken.append(action)
    # compared at the end: what a step has returned, a later one must leave alone
    assert_close(torch.stack(taken, dim=1), expected)
    for x, y in zip(state, last, strict=True):
        assert_close(x, y)


@every_form
def test_the_logits_of_a_step_to_act_with_outlast_the_next(form: str) -> None:
    model = make(**TOKENS[form], discrete=True, action_low=(), action_high=())
    sequence, step = inputs(), model.stepper(BATCH)
    with torch.inference_mode():
        first, state = step(*part(sequence, 0))
        expected = first.clone()
        step(*part(sequence, 1), state)
    assert_close(first, expected)


@every_form
def test_splitting_and_carrying_equals_not_splitting(form: str) -> None:
    model, sequence = make(**TOKENS[form]), inputs()
    actions, last = model(*sequence)
    first, state = model(*part(sequence, slice(3)))
    second, end = model(*part(sequence, slice(3, None)), state)
    assert_close(torch.cat([first, second], dim=1), actions)
    for x, y in zip(last, end, strict=True):
        assert_close(x, y)


def interleaved_by_hand(model: DecisionModel, sequence: Inputs) -> list[Tensor]:
    """R_0 s_0 a_0 R_1 s_1 a_1 ... s_T of every row, embedded."""
    returns = sequence.returns_to_go / model.config.return_scale
    tokens = []
    for t in range(sequence.observations.shape[1]):
        if t > 0:
            tokens.append(model.embed_action(sequence.previous_actions[:, t]))
        tokens.append(model.embed_return(returns[:, t, None]))
        tokens.append(model.embed_observation(sequence.observations[:, t]))
    return tokens


def test_interleaved_tokens_by_hand() -> None:
    model, sequence = make(tokens="interleaved"), inputs()
    tokens = interleaved_by_hand(model, sequence)
    assert len(tokens) == 3 * TIME - 1
    encoded, _ = model.encoder(torch.stack(tokens, dim=1))
    # observations stand at 1, 4, 7, ...
    at_observations = torch.stack([encoded[:, 3 * t + 1] for t in range(TIME)], dim=1)
    expected = torch.tensor([1.0, 0.375]) + torch.tensor([2.0, 0.125]) * torch.tanh(model.head(at_observations))
    assert_close(model(*sequence)[0], expected)


def test_merged_tokens_by_hand() -> None:
    for previous_action in (True, False):
        model, sequence = make(tokens="merged", previous_action=previous_action), inputs()
        token = [sequence.returns_to_go[..., None] / 1000, sequence.observations]
        token += [sequence.previous_actions] if previous_action else []
        encoded, _ = model.encoder(model.embed(torch.cat(token, dim=-1)))
        expected = torch.tensor([1.0, 0.375]) + torch.tensor([2.0, 0.125]) * torch.tanh(model.head(encoded))
        assert_close(model(*sequence)[0], expected)


@every_form
def test_a_reset_is_a_fresh_sequence(form: str) -> None:
    model, sequence = make(**TOKENS[form]), inputs()
    state = model(*inputs(3, seed=20))[1]
    for at in (0, 4):
        actions, last = model(*sequence, state, marks((1, at)))
        fresh, fresh_last = model(*part(sequence, slice(at, None)))
        plain, _ = model(*sequence, state)
        assert_close(actions[1, at:], fresh[1])
        assert_close(actions[1, :at], plain[1, :at])
        assert_close(actions[[0, 2]], plain[[0, 2]])
        for x, y in zip(last, fresh_last, strict=True):
            assert_close(x[1], y[1])


def test_interleaved_the_action_before_a_fresh_start_has_no_influence() -> None:
    model, sequence = make(tokens="interleaved"), inputs()
    changed = sequence._replace(previous_actions=sequence.previous_actions.clone())
    changed.previous_actions[:, 0] += 1
    changed.previous_actions[1, 4] += 1
    reset = marks((1, 4))
    assert_close(model(*changed, None, reset)[0], model(*sequence, None, reset)[0], rtol=0, atol=0)
    assert_close(stepped(model, changed, None, reset)[0], stepped(model, sequence, None, reset)[0], rtol=0, atol=0)
    # elsewhere, and with a state carried in, it has
    assert not torch.isclose(model(*changed)[0][1, 4], model(*sequence)[0][1, 4]).any()
    state = model(*inputs(3, seed=20))[1]
    assert not torch.isclose(model(*changed, state)[0][:, 0], model(*sequence, state)[0][:, 0]).any()


@every_form
def test_the_future_changes_nothing_earlier(form: str) -> None:
    model, sequence, other = make(**TOKENS[form]), inputs(), inputs(seed=30)
    actions, _ = model(*sequence)
    for at in (1, 4, TIME - 1):
        changed = Inputs(*(torch.cat([x[:, :at], y[:, at:]], dim=1) for x, y in zip(sequence, other, strict=True)))
        assert_close(model(*changed)[0][:, :at], actions[:, :at], rtol=0, atol=0)
        assert not torch.isclose(model(*changed)[0][:, at], actions[:, at]).any()


@every_form
def test_every_input_before_matters(form: str) -> None:
    """At the same step and at later ones; the previous action only where the form has it."""
    model = make(**TOKENS[form])
    sequence = Inputs(*(x.requires_grad_() for x in inputs()))
    actions, _ = model(*sequence)
    of_returns, of_observations, of_actions = torch.autograd.grad(actions[:, 4].sum(), sequence, materialize_grads=True)
    assert of_returns[:, :5].all()
    assert of_observations[:, :5].all()
    assert of_actions[:, 1:5].any() == (form != "merged-without-action")


@every_form
def test_padding_on_the_right_changes_nothing(form: str) -> None:
    model, sequence = make(**TOKENS[form]), inputs()
    padded = Inputs(*(torch.cat([x, torch.full_like(x, 1e6)], dim=1) for x in sequence))
    assert_close(model(*padded)[0][:, :TIME], model(*sequence)[0])


@every_form
def test_permuting_the_batch_permutes_the_actions(form: str) -> None:
    model, sequence, order = make(**TOKENS[form]), inputs(), torch.tensor([2, 0, 1])
    state, reset = model(*inputs(3, seed=20))[1], marks((1, 3))
    permuted = Inputs(*(x[order] for x in sequence))
    actions, _ = model(*permuted, tuple(x[order] for x in state), reset[order])
    assert_close(actions, model(*sequence, state, reset)[0][order])


@every_form
def test_observations_are_standardised_inside(form: str) -> None:
    mean, std = np.array([1, -2, 0, 50], np.float32), np.array([1, 0.5, 3, 10], np.float32)
    model, plain = make(ObservationStatistics(mean, std), **TOKENS[form]), make(**TOKENS[form])
    sequence = inputs()
    raw = sequence._replace(observations=sequence.observations * torch.tensor(std) + torch.tensor(mean))
    assert_close(model(*raw)[0], plain(*sequence)[0])
    assert_close(stepped(model, raw)[0], plain(*sequence)[0])


def test_statistics_are_copied_and_stored_with_the_weights() -> None:
    mean, std = np.array([1, -2], np.float32), np.array([3, 4], np.float32)
    model = DecisionModel(ModelConfig(2, 1, (-1.0,), (1.0,), width=2), ObservationStatistics(mean, std))
    mean[:], std[:] = 0, 0
    assert model.state_dict()["observation_mean"].tolist() == [1, -2]
    assert model.state_dict()["observation_std"].tolist() == [3, 4]


@every_form
def test_returns_are_scaled_inside(form: str) -> None:
    sequence = inputs()
    tenfold = sequence._replace(returns_to_go=10 * sequence.returns_to_go)
    actions = make(**TOKENS[form], return_scale=500.0)(*sequence)[0]
    assert_close(make(**TOKENS[form], return_scale=5000.0)(*tenfold)[0], actions)
    assert not torch.isclose(make(**TOKENS[form])(*sequence)[0], actions).all()


@every_form
def test_actions_stay_inside_asymmetric_bounds_and_come_near_them(form: str) -> None:
    model = make(**TOKENS[form]).float()
    low, high = torch.tensor(model.config.action_low), torch.tensor(model.config.action_high)
    sequence = Inputs(*(1000 * x.float() for x in inputs()))
    actions, _ = model(*sequence)
    assert ((actions >= low) & (actions <= high)).all()
    for sign, bound in ((-1, low), (1, high)):
        with torch.no_grad():
            model.head.bias.fill_(100.0 * sign)
        assert_close(model(*sequence)[0], bound.expand(BATCH, TIME, ACTION))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.floats(-1e3, 1e3, width=32), st.floats(2**-10, 1e3, width=32))
def test_rounding_never_leads_outside_the_bounds(low: float, reach: float) -> None:
    bounds = np.array([low, np.float32(low) + np.float32(reach)], np.float32)
    model = DecisionModel(ModelConfig(1, 1, (float(bounds[0]),), (float(bounds[1]),), width=1, layers=1))
    with torch.no_grad():
        model.head.weight.zero_()
        for sign in (-1, 1):
            model.head.bias.fill_(100.0 * sign)
            action = model(torch.zeros(1, 1), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))[0].numpy()
            assert bounds[0] <= action.item() <= bounds[1]
            np.testing.assert_allclose(action.item(), bounds[(sign + 1) // 2], rtol=1e-6, atol=2e-4)


@every_form
def test_choices_leave_as_logits(form: str) -> None:
    """What the head gives, without bounds, of weights that a model of vectors has too; the rest is the same."""
    choosing = make(**TOKENS[form], discrete=True, action_low=(), action_high=())
    vectors = make(**TOKENS[form])
    assert choosing.state_dict().keys() == vectors.state_dict().keys() - {"action_middle", "action_reach"}
    vectors.load_state_dict(choosing.state_dict(), strict=False)
    sequence, reset = inputs(), marks((1, 3))
    logits, state = choosing(*sequence, None, reset)
    bounded, expected = vectors(*sequence, None, reset)
    assert_close(torch.tensor([1.0, 0.375]) + torch.tensor([2.0, 0.125]) * torch.tanh(logits), bounded)
    assert_close(stepped(choosing, sequence, None, reset)[0], logits)
    for x, y in zip(state, expected, strict=True):
        assert_close(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert choosing.float()(*(x.float() for x in sequence))[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ((-1.0,), (1.0, 1.0)),
        ((-1.0, -1.0), (1.0,)),
        ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)),
        ((-1.0, 1.0), (1.0, 1.0)),
        ((-1.0, 2.0), (1.0, 1.0)),
        ((-1.0, float("-inf")), (1.0, 1.0)),
        ((-1.0, -1.0), (1.0, float("inf"))),
        ((-1.0, float("nan")), (1.0, 1.0)),
    ],
)
def test_bad_bounds_are_refused(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="expected 2 finite action bounds with low < high"):
        make(action_low=low, action_high=high)


def test_other_settings_that_are_refused() -> None:
    with pytest.raises(ConfigError, match="tokens expects merged or interleaved, got 'mixed'"):
        make(tokens="mixed")
    with pytest.raises(ConfigError, match=r"return_scale expects a number above 0, got 0\.0"):
        make(return_scale=0.0)
    with pytest.raises(UnknownNameError, match="Did you mean mingru"):
        make(encoder="mingu")
    with pytest.raises(ConfigError, match="width expects a whole number of at least 1, got 0"):
        make(width=0)
    with pytest.raises(ConfigError, match="layers expects a whole number of at least 1, got 0"):
        make(layers=0)
    with pytest.raises(ConfigError, match="observation_size expects a whole number of at least 1, got -1"):
        make(observation_size=-1)


@every_form
def test_the_state_does_not_grow(form: str) -> None:
    model = make(**TOKENS[form])
    shapes = [x.shape for x in model.initial_state(BATCH)]
    _, state = stepped(model, inputs(20))
    assert [x.shape for x in state] == shapes
    assert [x.shape for x in model(*inputs(20))[1]] == shapes


@every_form
def test_bfloat16_autocast_stays_near_float32_and_gives_float32(form: str) -> None:
    model = make(**TOKENS[form]).float()
    sequence = Inputs(*(x.float() for x in inputs(40)))
    expected, _ = model(*sequence)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actions, state = model(*sequence)
        step_actions, _ = stepped(model, sequence)
    assert actions.dtype == torch.float32
    assert all(x.dtype == torch.float32 for x in state)
    reach = torch.tensor([2.0, 0.125])
    assert ((actions - expected).abs() < 0.05 * reach).all()
    assert ((step_actions - expected).abs() < 0.05 * reach).all()


@every_form
def test_the_same_seed_makes_the_same_weights(form: str) -> None:
    for x, y in zip(make(**TOKENS[form]).parameters(), make(**TOKENS[form]).parameters(), strict=True):
        assert x.equal(y)
