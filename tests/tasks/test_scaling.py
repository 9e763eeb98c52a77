"""Scaling: every encoder at every length, from processes of their own, and the exponent by hand."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from decision_minrnn.encoders import encoder_names
from decision_minrnn.errors import ConfigError, UnknownNameError
from decision_minrnn.tasks.scaling import CellLoop, ScalingConfig, StepCost, measure_encoder, measure_scaling, slope

SMALL = {"lengths": (12, 4), "batch_size": 2, "width": 8, "repeats": 1, "threads": 1}


def cost(length: int, milliseconds: float) -> StepCost:
    return StepCost("x", "", length, milliseconds, None)


def test_the_slope_of_powers_of_the_length() -> None:
    square = [cost(length, 0.5 * length**2) for length in (8, 2, 4)]
    assert slope(square) == pytest.approx(2)
    # a constant part hides the exponent of short sequences: the upper half is what counts
    assert slope([cost(2, 100), cost(4, 100), cost(8, 8), cost(16, 16), cost(32, 32)]) == pytest.approx(1)
    assert slope([cost(2, 100)]) is None


@pytest.mark.parametrize("name", [*encoder_names(), "gru-loop", "lstm-loop"])
def test_each_is_measured_at_each_length(name: str) -> None:
    costs = measure_encoder(name, ScalingConfig(**SMALL))
    assert [found.length for found in costs] == [4, 12]
    assert all(found.encoder == name and found.milliseconds > 0 for found in costs)


def test_families() -> None:
    families = {name: measure_encoder(name, ScalingConfig(**SMALL))[0].family for name in ("mingru", "gru", "gru-loop")}
    assert families == {"mingru": "linear recurrence", "gru": "torch's own", "gru-loop": "plain loop"}


@pytest.mark.parametrize(("cell", "fused"), [(nn.GRUCell, nn.GRU), (nn.LSTMCell, nn.LSTM)])
def test_the_loop_is_the_same_recurrence(cell: type[nn.RNNCellBase], fused: type[nn.RNNBase]) -> None:
    loop, reference = CellLoop(cell(3, 5)), fused(3, 5, batch_first=True)
    weights = {f"{name.removeprefix('cell.')}_l0": value for name, value in loop.state_dict().items()}
    reference.load_state_dict(weights)
    x = torch.randn(2, 7, 3)
    torch.testing.assert_close(loop(x)[0], reference(x)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read where Linux tells it")
def test_memory_grows_with_the_length_and_is_of_the_step_alone() -> None:
    held = torch.zeros(50_000_000)  # 200 MB that are no step's
    (short, long) = measure_scaling(
        ScalingConfig(("mingru",), lengths=(16, 8192), batch_size=16, width=32, repeats=1, threads=1)
    )
    # the state of every step alone is 16.8 MB, and several such are kept for the backward pass
    assert short.megabytes is not None
    assert long.megabytes is not None
    assert short.megabytes < 15 < 50 < long.megabytes < 600
    assert held.numel() == 50_000_000


def test_longer_sequences_are_left_out_once_a_step_takes_too_long() -> None:
    config = ScalingConfig(**SMALL | {"longest": 0.0})
    assert [found.length for found in measure_encoder("mingru", config)] == [4]


def test_what_cannot_be_measured() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean gru-loop"):
        ScalingConfig(("gru-lop",))
    with pytest.raises(ConfigError, match="--lengths expects whole numbers of at least 2"):
        ScalingConfig(lengths=(1, 4))
    with pytest.raises(ConfigError, match="--repeats expects"):
        ScalingConfig(repeats=0)


def test_a_width_that_does_not_fit_is_refused_before_the_first_measurement() -> None:
    told: list[str] = []
    with pytest.raises(ConfigError, match="divisor of the width 6"):
        measure_scaling(ScalingConfig(("mingru", "transformer"), width=6), told.append)
    assert told == []
