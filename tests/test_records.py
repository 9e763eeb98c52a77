"""Records from plain data: what fits, what is converted, and what is refused by its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from decision_minrnn.errors import ConfigError
from decision_minrnn.records import record_from_dict


@dataclass(frozen=True)
class Inner:
    size: float


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 0
    ratio: float = 0.0
    on: bool = False
    kind: Literal["a", "b"] = "a"
    length: int | Literal["whole"] = 1
    numbers: tuple[float, ...] = ()
    options: Mapping[str, int | float | bool | str] = field(default_factory=dict)
    labels: dict[str, str | None] = field(default_factory=dict)
    inner: Inner | None = None
    several: Mapping[str, Inner] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, Outer("n")),
        ({"count": 3, "on": True, "kind": "b"}, Outer("n", count=3, on=True, kind="b")),
        ({"length": "whole"}, Outer("n", length="whole")),
        ({"length": 5}, Outer("n", length=5)),
        ({"numbers": [1, 2.5]}, Outer("n", numbers=(1.0, 2.5))),
        ({"labels": {"x": None, "y": "z"}}, Outer("n", labels={"x": None, "y": "z"})),
        ({"inner": {"size": 2}}, Outer("n", inner=Inner(2.0))),
        ({"inner": None}, Outer("n")),
        ({"several": {"k": {"size": 1.0}}}, Outer("n", several={"k": Inner(1.0)})),
    ],
)
def test_what_fits(content: dict[str, Any], expected: Outer) -> None:
    assert record_from_dict({"name": "n"} | content, Outer, "here") == expected


def test_types_are_kept_except_that_a_fraction_may_be_whole() -> None:
    record = record_from_dict({"name": "n", "ratio": 1, "options": {"a": 1, "b": 1.0, "c": True}}, Outer, "here")
    assert type(record.ratio) is float
    assert [type(value) for value in record.options.values()] == [int, float, bool]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"nmae": "n"}, "here: a Outer needs name."),
        ({"name": "n", "colour": 1}, "here: unknown key colour. Known: name, count"),
        ({"name": 1}, "here: name: expected str, got 1."),
        ({"name": "n", "count": True}, "here: count: expected int, got True."),
        ({"name": "n", "count": 1.0}, "here: count: expected int, got 1.0."),
        ({"name": "n", "count": "abc"}, "here: count: expected int, got 'abc'."),
        ({"name": "n", "count": None}, "here: count: expected int, got None."),
        ({"name": "n", "ratio": True}, "here: ratio: expected float, got True."),
        ({"name": "n", "on": 1}, "here: on: expected bool, got 1."),
        ({"name": "n", "kind": "c"}, "here: kind: expected 'a' | 'b', got 'c'."),
        ({"name": "n", "length": "x"}, "here: length: expected int | 'whole', got 'x'."),
        ({"name": "n", "numbers": "x"}, "here: numbers: expected a list of float, got 'x'."),
        ({"name": "n", "numbers": ["x"]}, "here: numbers: expected float, got 'x'."),
        ({"name": "n", "options": 3}, "here: options: expected a table of int | float | bool | str, got 3."),
        ({"name": "n", "options": {"a": []}}, "here: options.a: expected int | float | bool | str, got []."),
        ({"name": "n", "inner": {"size": "x"}}, "here: inner: size: expected float, got 'x'."),
        ({"name": "n", "inner": 3}, "here: inner: expected Inner | null, got 3."),
        ({"name": "n", "several": {"k": {}}}, "here: several.k: a Inner needs size."),
    ],
)
def test_what_does_not_fit_is_named(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        record_from_dict(content, Outer, "here")
    assert message in str(error.value)


@pytest.mark.parametrize("content", [None, 3, [], "x"])
def test_only_a_table_is_a_record(content: object) -> None:
    with pytest.raises(ConfigError, match="here: expected a Outer"):
        record_from_dict(content, Outer, "here")
