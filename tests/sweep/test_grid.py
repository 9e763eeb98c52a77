"""The grid: which trials, in which folders, and what is refused before any starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import write_hopper_file

from decision_minrnn.config import TrainConfig
from decision_minrnn.errors import ConfigError, DataError, UnknownNameError
from decision_minrnn.sweep.grid import EncoderChoice, plan_trials, read_variation
from decision_minrnn.sweep.trial import Trial

MINGRU = EncoderChoice("mingru", {})


def planned(*variations: str, **changed: Any) -> list[Trial]:
    settings: dict[str, Any] = {
        "base": TrainConfig("", width=8),
        "folder": "out",
        "datasets": ["hopper-medium"],
        "encoders": [MINGRU],
        "seeds": [0],
        "variations": [read_variation(word) for word in variations],
    }
    return plan_trials(**settings | changed)


def test_every_combination_once_and_seeds_outermost(tmp_path: Path) -> None:
    path = str(write_hopper_file(tmp_path / "walk.hdf5"))
    encoders = [EncoderChoice("mingru", {"expansion": 2}), EncoderChoice("mlp", {})]
    trials = planned("dropout=0,0.5", datasets=["hopper-medium-v2", path], encoders=encoders, seeds=[3, 1])
    assert len(trials) == len({trial.name for trial in trials}) == 16
    assert [trial.name for trial in trials[:5]] == [
        "hopper-medium-v2__mingru-expansion=2__3__dropout=0",
        "hopper-medium-v2__mingru-expansion=2__3__dropout=0.5",
        "hopper-medium-v2__mlp__3__dropout=0",
        "hopper-medium-v2__mlp__3__dropout=0.5",
        "walk__mingru-expansion=2__3__dropout=0",
    ]
    last = trials[-1].config
    assert (last.dataset, last.encoder, last.seed, last.dropout, last.width) == (path, "mlp", 1, 0.5, 8)
    assert trials[0].config.encoder_options == {"expansion": 2}
    assert trials[0].folder == Path("out") / trials[0].name


def test_a_name_does_not_depend_on_the_order_of_what_is_varied() -> None:
    names = {planned(*words)[0].name for words in (("width=16", "layers=2"), ("layers=2", "width=16"))}
    assert names == {"hopper-medium__mingru__0__layers=2__width=16"}


@pytest.mark.parametrize(
    ("word", "values", "names"),
    [
        ("learning-rate=1e-3,3e-4", [1e-3, 3e-4], ["0.001", "0.0003"]),
        ("context=episode,20", ["episode", 20], ["episode", "20"]),
        ("return_conditioning=true,false", [True, False], ["true", "false"]),
        ("targets=[3600,1800],[10]", [(3600.0, 1800.0), (10.0,)], ["3600,1800", "10"]),
        ("threads=null,2", [None, 2], ["none", "2"]),
        ('encoder_options={"expansion":2},{}', [{"expansion": 2}, {}], ["expansion=2", "none"]),
    ],
)
def test_values_have_the_type_of_the_setting(word: str, values: list[object], names: list[str]) -> None:
    key = word.partition("=")[0].replace("-", "_")
    trials = planned(word)
    assert [getattr(trial.config, key) for trial in trials] == values
    assert [trial.name.rpartition(f"__{key}=")[2] for trial in trials] == names


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("learning_rat=1", "unknown setting 'learning_rat'. Did you mean learning_rate"),
        ("width=8,wide", "--set: width: expected int, got 'wide'"),
        ("width=1.5", "--set: width: expected int, got 1.5"),
        ("width=0", "--width expects a whole number of at least 1, got 0"),
        ("width=", "expected at least one value, as in width=VALUE,VALUE"),
        ("seed=1,2", "seed has a flag of its own, --seeds"),
        ("dataset=a", "dataset has a flag of its own, --datasets"),
        ("precision=float16", "precision: expected 'float32' | 'bfloat16', got 'float16'"),
    ],
)
def test_what_cannot_be_varied(word: str, message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError)) as raised:
        planned(word)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"encoders": [EncoderChoice("mingruu", {})]}, UnknownNameError, "Did you mean mingru"),
        ({"encoders": [EncoderChoice("mingru", {"expanse": 1})]}, ConfigError, "has no option 'expanse'"),
        ({"datasets": ["hopper-medum"]}, UnknownNameError, "Did you mean hopper-medium"),
        ({"datasets": ["nowhere.hdf5"]}, DataError, "there is no file nowhere.hdf5"),
        ({"seeds": [1, 1]}, ConfigError, "two trials would have the same folder: hopper-medium__mingru__1"),
        ({"seeds": []}, ConfigError, "the grid is empty"),
        ({"seeds": [-1]}, ConfigError, "--seed expects a whole number of at least 0"),
    ],
)
def test_what_is_refused_before_anything_starts(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        planned(**changed)
    assert message in str(raised.value)


def test_an_encoder_that_cannot_be_built_at_a_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="heads"):
        planned("width=8,9", encoders=[EncoderChoice("transformer", {"heads": 4})])
