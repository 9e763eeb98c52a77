"""How encoders and their options are written on the command line: KEY=VALUE, NAME:KEY=VALUE,KEY=VALUE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import tyro

from decision_minrnn.errors import ConfigError


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


def read_encoder(word: str) -> tuple[str, dict[str, Any]]:
    """An encoder and its options from NAME or NAME:KEY=VALUE,KEY=VALUE. Raises `ConfigError` for what is neither."""
    name, _, options = word.partition(":")
    try:
        return name, read_options(options.split(",") if options else [])
    except ValueError as error:
        raise ConfigError(f"--encoders {word}: {error}. Write it as in mingru:expansion=6,style=mamba.") from error
