"""How options of an encoder are written on the command line: KEY=VALUE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import tyro


def options_registry() -> tyro.constructors.ConstructorRegistry:
    """For tyro: a mapping is written KEY=VALUE KEY=VALUE."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def _(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        if info.type_origin is not Mapping:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs="*",
            metavar="KEY=VALUE",
            instance_from_str=read_options,
            is_instance=lambda value: isinstance(value, Mapping),
            str_from_instance=lambda value: [f"{key}={json.dumps(item)}" for key, item in value.items()],
        )

    return registry


def read_options(words: Iterable[str]) -> dict[str, Any]:
    """KEY=VALUE words as a dictionary; a value that is not JSON is a string. Raises `ValueError` for another word."""
    options = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise ValueError(f"expected KEY=VALUE, got '{word}'")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options
