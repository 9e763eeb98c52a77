"""Records from plain data: a dataclass built from what TOML or JSON holds, every value checked against its annotation.

Cards, a run's `config.json` and the model's configuration in a checkpoint are all read through here, so that a value of
the wrong type is refused where it is read, by name, and not met later as a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from decision_minrnn.errors import ConfigError

Record = TypeVar("Record")


def record_from_dict(content: object, record_type: type[Record], where: str) -> Record:
    """Build a dataclass from plain data; fields may be dataclasses themselves.

    A list becomes a tuple and a whole number a float where the field asks for one; nothing else is converted.

    Args:
        content: a mapping by field name.
        record_type: the dataclass. Its fields are annotated with str, int, float, bool, `Literal`, `tuple[X, ...]`,
            `Mapping[str, X]`, dict[str, X], a dataclass, or a union of these.
        where: named in errors: the file, and the key in it.

    Raises:
        ConfigError: a key that is missing or unknown, or a value of the wrong type.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: expected a {record_type.__name__}, got {content!r}.")
    types = get_type_hints(record_type)
    known = [f for f in fields(record_type) if f.init]  # type: ignore[arg-type]
    required = {f.name for f in known if f.default is MISSING and f.default_factory is MISSING}
    if missing := required - set(content):
        raise ConfigError(f"{where}: a {record_type.__name__} needs {', '.join(sorted(missing))}.")
    if unknown := set(content) - {f.name for f in known}:
        names = ", ".join(f.name for f in known)
        raise ConfigError(f"{where}: unknown key {', '.join(map(str, sorted(unknown)))}. Known: {names}.")
    return record_type(**{key: _typed(value, types[key], f"{where}: {key}") for key, value in content.items()})


def fits(value: object, expected: Any) -> bool:
    """Whether `record_from_dict` takes a value for a field with this annotation."""
    try:
        _typed(value, expected, "")
    except ConfigError:
        return False
    return True


def _typed(value: Any, expected: Any, where: str) -> Any:
    """`value` as an annotated type, or a `ConfigError`."""
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (Union, UnionType):
        for member in arguments:
            try:
                return _typed(value, member, where)
            except ConfigError:
                # a record that is there but not well formed has more to say than that nothing fits
                if is_dataclass(member) and isinstance(value, Mapping):
                    raise
    elif origin in (Mapping, dict) and isinstance(value, Mapping):
        return {_typed(k, arguments[0], where): _typed(v, arguments[1], f"{where}.{k}") for k, v in value.items()}
    elif origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_typed(item, arguments[0], where) for item in value)
    elif origin is Literal and value in arguments:
        return value
    elif is_dataclass(expected) and isinstance(expected, type):
        return record_from_dict(value, expected, where)
    elif expected is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif expected in (str, int, bool, NoneType) and type(value) is expected:
        return value
    raise ConfigError(f"{where}: expected {described(expected)}, got {value!r}.")


def described(expected: Any) -> str:
    """An annotated type in words."""
    origin, arguments = get_origin(expected), get_args(expected)
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin in (Union, UnionType):
        return " | ".join(map(described, arguments))
    if origin is tuple:
        return f"a list of {described(arguments[0])}"
    if origin in (Mapping, dict):
        return f"a table of {described(arguments[1])}"
    return "null" if expected is NoneType else expected.__name__
