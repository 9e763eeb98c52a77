"""Settings: what is refused, by the name of its flag, and the way to JSON and back."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decision_minrnn.config import ModelConfig, TrainConfig
from decision_minrnn.errors import ConfigError
from decision_minrnn.records import record_from_dict

MODEL = ModelConfig(
    2, 3, (-1.0, -2.0, 0.0), (1.0, 2.0, 0.5), tokens="interleaved", encoder_options={"expansion": 2, "dropout": 0.1}
)
TRAIN = TrainConfig(
    "hopper-medium", context="episode", targets=(3600.0, 1800.0), encoder_options={"scan": "auto"}, threads=2, out="x"
)
NAN, INF = float("nan"), float("inf")


def test_defaults_are_the_protocol_adapted_by_measurement() -> None:
    config = TrainConfig("d")
    assert (config.encoder, config.tokens) == ("mingru", "merged")
    assert (config.width, config.layers, config.dropout) == (128, 3, 0.1)
    assert (config.batch_size, config.context, config.gradient_clip) == (20, 64, 0.25)
    assert (config.seed, config.evaluate, config.targets, config.out) == (0, True, (), None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("width", "layers", "updates", "batch_size", "episodes", "context", "threads")),
        *((name, 0) for name in ("log_every", "checkpoint_every", "keep_checkpoints")),
        *((name, -1) for name in ("warmup", "evaluate_every", "seed")),
        *(("learning_rate", value) for value in (0.0, -1e-3, NAN, INF)),
        *(("gradient_clip", value) for value in (0.0, -1.0, NAN, INF)),
        *(("weight_decay", value) for value in (-1e-4, NAN, INF)),
        *(("dropout", value) for value in (-0.1, 1.0, NAN)),
        *(("context", value) for value in (-20, "epsiode", 2.5)),
        *(("targets", value) for value in ((3600.0, NAN), (INF,))),
        ("tokens", "mixed"),
        ("precision", "float16"),
        ("sampling", "episodes"),
        *((name, 3.0) for name in ("updates", "episodes", "seed", "log_every", "threads")),
        *(("learning_rate", value) for value in ("1e-3", True)),
        *(("targets", value) for value in (1800.0, "1800")),
        *(("evaluate", value) for value in ("no", 1)),
        ("encoder_options", {"expansion": None}),
        ("env", Path("card.toml")),
    ],
)
def test_a_bad_value_is_refused_by_its_flag(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        TrainConfig("d", **{name: value})
    assert str(error.value).startswith(f"--{name.replace('_', '-')} expects ")
    assert f"got {value!r}" in str(error.value)


def test_smallest_values_that_are_taken() -> None:
    TrainConfig("d", width=1, layers=1, updates=1, batch_size=1, context=1, warmup=0, weight_decay=0.0, dropout=0.0)
    TrainConfig("d", threads=1, evaluate_every=0, seed=0, episodes=1, targets=(-5.0, 0.0))
    TrainConfig("d", learning_rate=np.float64(1e-3), gradient_clip=1, targets=[3600])


@pytest.mark.parametrize("config", [MODEL, TRAIN, TrainConfig("d")], ids=["model", "train", "defaults"])
def test_to_json_and_back(config: ModelConfig | TrainConfig) -> None:
    content = json.loads(json.dumps(asdict(config)))
    assert set(content) == {field.name for field in fields(config)}
    restored = record_from_dict(content, type(config), "config.json")
    assert restored == config
    assert json.dumps(asdict(restored)) == json.dumps(asdict(config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": "abc"}, "config.json: width: expected int, got 'abc'"),
        ({"width": True}, "config.json: width: expected int, got True"),
        ({"width": 1.5}, "config.json: width: expected int, got 1.5"),
        ({"evaluate": 1}, "config.json: evaluate: expected bool, got 1"),
        ({"targets": "x"}, "config.json: targets: expected a list of float, got 'x'"),
        ({"targets": 3600}, "config.json: targets: expected a list of float, got 3600"),
        ({"targets": ["x"]}, "config.json: targets: expected float, got 'x'"),
        ({"context": "all"}, "config.json: context: expected int | 'episode', got 'all'"),
        ({"tokens": "mixed"}, "config.json: tokens: expected 'merged' | 'interleaved', got 'mixed'"),
        ({"dataset": None}, "config.json: dataset: expected str, got None"),
        ({"encoder_options": []}, "config.json: encoder_options: expected a table"),
        ({"encoder_options": {"expansion": None}}, "config.json: encoder_options.expansion: expected"),
        ({"learning_rat": 1}, "config.json: unknown key learning_rat. Known: encoder, width"),
        ({"width": 0}, "--width expects a whole number of at least 1, got 0"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        record_from_dict(asdict(TRAIN) | changes, TrainConfig, "config.json")
    assert message in str(error.value)


def test_a_missing_key_is_named() -> None:
    content = asdict(MODEL)
    del content["action_low"]
    with pytest.raises(ConfigError, match=r"config\.json: a ModelConfig needs action_low"):
        record_from_dict(content, ModelConfig, "config.json")
    with pytest.raises(ConfigError, match=r"config\.json: expected a ModelConfig, got \[\]"):
        record_from_dict([], ModelConfig, "config.json")  # type: ignore[arg-type]
