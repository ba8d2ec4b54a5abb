"""Settings: frozen dataclasses of plain values, read from TOML tables and overridden by name."""

from __future__ import annotations

import dataclasses
import json
import operator
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from .errors import InputError
from .registry import did_you_mean

T = TypeVar("T")


def make(cls: type[T], values: Mapping[str, Any], where: str = "settings", *, recorded: bool = False) -> T:
    """Build a settings dataclass from plain containers; of settings inside it what is left out is as ``cls`` has it.

    Args:
        cls: the dataclass. Where it has a class attribute ``RENAMED``, that maps names of earlier versions to today's.
        values: by name.
        where: what errors call the table.
        recorded: the values come from a card that an earlier version may have written: former names are taken too.

    Raises:
        InputError: an unknown name, or a value of the wrong kind.
    """
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    renamed: Mapping[str, str] = getattr(cls, "RENAMED", {})
    if recorded:
        values = {renamed.get(name, name): value for name, value in values.items()}
    for name in values:
        if name not in known:
            hint = f"It is now called {renamed[name]!r}" if name in renamed else did_you_mean(name, known)
            raise InputError(f"{where}.{name}", "no such setting", f"one of {', '.join(known)}", hint)
    made = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            factory = known[name].default_factory
            value = {**({} if factory is dataclasses.MISSING else as_dict(factory())), **value}
        made[name] = _convert(hints[name], value, f"{where}.{name}", recorded)
    return cls(**made)


def positive(settings: Any, where: str, *names: str) -> None:
    """Refuse numbers that are not above 0; for ``__post_init__``.

    Raises:
        InputError: names the first such setting.
    """
    for name in names:
        if not getattr(settings, name) > 0:
            raise InputError(f"{where}.{name}", str(getattr(settings, name)), "a number above 0")


def seed(value: Any) -> int:
    """A seed of random numbers.

    Raises:
        InputError: not a whole number from 0 to 2**63 - 1.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < 2**63:
        raise InputError("seed", f"{value!r}", "a whole number from 0 to 2**63 - 1")
    return operator.index(value)


def as_dict(settings: Any) -> dict[str, Any]:
    """Plain containers, ready for a card."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables as ``{dotted name: value}``.

    Examples:
        >>> flat({"loop": {"lr": 0.1}, "seed": 3})
        {'loop.lr': 0.1, 'seed': 3}
    """
    found: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": each for inner, each in flat(value).items()}
        else:
            found[str(name)] = value
    return found


Changes = Mapping[str, Any] | Sequence[str]
"""``{"method.temperature": 0.1}``, ``{"method": {"temperature": 0.1}}`` or ``["method.temperature=0.1"]``."""


def override(tables: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """Change some values of nested tables.

    Args:
        tables: tables of plain values.
        changes: dotted names or nested tables with their values, or the command line's ``NAME=VALUE`` texts, whose
            values are JSON, or a string as it stands.

    Returns:
        A changed copy.

    Raises:
        InputError: a text without ``=``, or one that puts a table's name where a value stands.

    Examples:
        >>> override({"loop": {"lr": 0.1}}, {"loop.lr": 0.2, "method": {"dim": 8}})
        {'loop': {'lr': 0.2}, 'method': {'dim': 8}}
    """
    result = json.loads(json.dumps(tables))
    for name, value in assignments(changes).items():
        *path, last = name.split(".")
        table = result
        for word in path:
            table = table.setdefault(word, {})
            if not isinstance(table, dict):
                raise InputError(f"--set {name}", f"{word!r} is a value, not a table", "TABLE.NAME=VALUE")
        table[last] = value
    return result


def assignments(changes: Changes) -> dict[str, Any]:
    """Changes in any of their forms as ``{dotted name: value}``.

    Raises:
        InputError: a text without ``=``.
    """
    if isinstance(changes, Mapping):
        return flat(changes)
    found: dict[str, Any] = {}
    for text in [changes] if isinstance(changes, str) else changes:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--set {text}", "no value", "NAME=VALUE, for example method.temperature=0.1")
        try:
            found[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            found[name.strip()] = value
    return found


def _convert(kind: Any, value: Any, where: str, recorded: bool = False) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None or (value == "none" and str not in typing.get_args(kind)):
            return None
        return _convert(next(k for k in typing.get_args(kind) if k is not type(None)), value, where, recorded)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise InputError(where, f"{value!r}", "a table of settings")
        return make(kind, value, where, recorded=recorded)  # type: ignore[arg-type]
    if kind is Any:
        return value
    if origin is dict and isinstance(value, Mapping):
        inner = typing.get_args(kind)[1]
        return {str(name): _convert(inner, v, f"{where}.{name}", recorded) for name, v in value.items()}
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
