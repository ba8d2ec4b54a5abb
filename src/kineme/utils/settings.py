"""Settings: frozen dataclasses of plain values, read from TOML tables and overridden by name."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import InputError
from .registry import did_you_mean

T = TypeVar("T")


def make(cls: type[T], values: Mapping[str, Any], where: str = "settings") -> T:
    """Build a settings dataclass from plain containers.

    Raises:
        InputError: an unknown name, or a value of the wrong kind.
    """
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for name in values:
        if name not in known:
            raise InputError(
                f"{where}.{name}", "no such setting", f"one of {', '.join(known)}", did_you_mean(name, known)
            )
    return cls(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def positive(settings: Any, where: str, *names: str) -> None:
    """Refuse numbers that are not above 0; for ``__post_init__``.

    Raises:
        InputError: names the first such setting.
    """
    for name in names:
        if not getattr(settings, name) > 0:
            raise InputError(f"{where}.{name}", str(getattr(settings, name)), "a number above 0")


def as_dict(settings: Any) -> dict[str, Any]:
    """Plain containers, ready for a card."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def override(tables: Mapping[str, Any], assignments: typing.Sequence[str]) -> dict[str, Any]:
    """Apply ``"method.views.shear=0.5"``-like assignments to nested tables; values are JSON, or a string as it stands.

    Raises:
        InputError: an assignment without ``=``, or one that puts a table's name where a value stands.
    """
    result = json.loads(json.dumps(tables))
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"--set {text}", "no value", "NAME=VALUE, for example method.temperature=0.1")
        *path, last = name.strip().split(".")
        table = result
        for word in path:
            table = table.setdefault(word, {})
            if not isinstance(table, dict):
                raise InputError(f"--set {text}", f"{word!r} is a value, not a table", "TABLE.NAME=VALUE")
        try:
            table[last] = json.loads(value)
        except json.JSONDecodeError:
            table[last] = value
    return result


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None or (value == "none" and str not in typing.get_args(kind)):
            return None
        return _convert(next(k for k in typing.get_args(kind) if k is not type(None)), value, where)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise InputError(where, f"{value!r}", "a table of settings")
        return make(kind, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        items = value if isinstance(value, (list, tuple)) else [v for v in str(value).split(",") if v]
        return tuple(_convert(inner, v, where) for v in items)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            raise InputError(where, repr(value), "one of " + ", ".join(map(str, typing.get_args(kind))))
        return value
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    if kind is int and not isinstance(value, bool) and (isinstance(value, int) or str(value).lstrip("-").isdigit()):
        return int(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    raise InputError(
        where,
        repr(value),
        {float: "a number", int: "a whole number", bool: "true or false", str: "text"}.get(kind, str(kind)),
    )
