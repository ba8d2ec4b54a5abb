"""Pickles of plain values and NumPy arrays, read without executing anything.

A pickle is a program: whoever loads one runs what it says. Here its operations are followed one by one
(:func:`pickletools.genops` only takes them apart), and what they build is built by hand: numbers, text, lists, tuples,
dictionaries, sets, and arrays whose values stand in the file. Whatever else is named, called or set is refused, with
its name. Nothing larger than the file is allocated.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from pickletools import genops
from typing import Any

import numpy as np

from .errors import InputError

KINDS = re.compile(r"[?bBhHiIlLqQefd]|[biufSU]\d{1,9}|O8?")  # of values in an array; O: only to be told from these
DEEPEST = 20  # tuples in each other; hashing very deep ones overflows the processor's stack
NAMES = {  # what may be called -> how it is called here
    **dict.fromkeys(("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"), "array"),
    **dict.fromkeys(("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"), "scalar"),
    **dict.fromkeys(("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"), "buffer"),
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
    "_codecs.encode": "encode",
    **dict.fromkeys(("collections.OrderedDict", "builtins.dict", "__builtin__.dict"), "dict"),
    **dict.fromkeys(("builtins.set", "__builtin__.set", "builtins.frozenset", "__builtin__.frozenset"), "set"),
    **dict.fromkeys(("builtins.bytearray", "__builtin__.bytearray", "builtins.bytes", "__builtin__.bytes"), "bytes"),
    **dict.fromkeys(("builtins.list", "__builtin__.list"), "list"),
}
VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = {"PROTO", "FRAME"}


class _Mark:
    pass


class _Name(str):
    """What may be called."""


class _Kind:
    """A dtype that is being made; ``given`` once its byte order is known."""

    def __init__(self, text: str):
        self.text, self.order = text, "="

    def dtype(self) -> np.dtype:
        return np.dtype(self.text if self.order in "|=" or self.text[0] == "O" else self.order + self.text)


class _Array:
    """An array that is being made: it exists when its state is set, and stands in containers already before."""

    def __init__(self) -> None:
        self.value: np.ndarray | None = None


def load(path: str | os.PathLike, what: str, limit: int = 1 << 34) -> Any:
    """The value of a pickle file.

    Args:
        what: what the file should be, for messages.
        limit: bytes, at most.

    Returns:
        plain containers, numbers, text, bytes, and arrays (read-only, of numbers or text).

    Raises:
        InputError: missing, empty, too large, cut short, no pickle, or one that asks for anything else; nothing of it
            was executed.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("values.pkl").write_bytes(bytes.fromhex("80025d71004b0161 2e"))
        >>> load("values.pkl", "a list")
        [1]
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise InputError(path, "the file is empty", what)
            if size > limit:
                raise InputError(path, f"{size} bytes", f"at most {limit}, {what}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                value = _Machine(path, what).run(data)
    except OSError as error:
        raise InputError(path, f"not readable ({error.strerror or error})", what) from None
    return value


def loads(where: str | os.PathLike, data: bytes, what: str) -> Any:
    """The value of a pickle that stands in a file, as :func:`load`.

    Args:
        where: the file, for messages.
        data: the pickle; arrays in it share its memory.
        what: what the file should be, for messages.

    Examples:
        >>> loads("values.pkl", bytes.fromhex("80025d71004b01612e"), "a list")
        [1]
    """
    return _Machine(where, what).run(data)


class _Machine:
    """Follows the operations of one pickle."""

    def __init__(self, where: str | os.PathLike, what: str):
        self.where, self.what = Path(where), what
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.depth: dict[int, int] = {}  # of tuples that hold tuples, by identity
        self.kept: list[Any] = []

    def run(self, data: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes in damaged text
                for opcode, argument, _ in genops(data):
                    self.step(opcode.name, argument)
            if len(self.stack) != 1:
                raise ValueError("more than one value")
            return _finished(self.stack[0], {})
        except InputError:
            raise
        except RecursionError:
            raise self.error("containers in each other without end") from None
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError, MemoryError) as error:
            said = str(error).split("\n")[0][:120]
            raise InputError(self.where, f"a damaged pickle ({said})", self.what, "Take another copy") from None

    def error(self, found: str) -> InputError:
        return InputError(self.where, f"a pickle with {found}; nothing of it was executed", self.what)

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in VALUES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name == "MARK":
            stack.append(_Mark)
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif name in TUPLES:
            count = TUPLES[name]
            stack[-count:] = [self.tuple(stack[-count:])]
        elif name in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            above = self.marked()
            if name == "TUPLE":
                stack.append(self.tuple(above))
            elif name == "FROZENSET":
                stack.append(set(above))
            else:
                stack.append([] if name == "LIST" else {})
                self.fill(name, above)
        elif name in ("APPEND", "ADDITEMS", "APPENDS", "SETITEM", "SETITEMS"):
            single = {"APPEND": 1, "SETITEM": 2}.get(name, 0)
            above = [stack.pop() for _ in range(single)][::-1] if single else self.marked()
            self.fill({"A": "LIST", "S": "DICT"}[name[0]], above)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(self.name(name, argument))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, called = stack.pop(), stack.pop()
            stack.append(self.call(called, arguments))
        elif name == "BUILD":
            state = stack.pop()
            self.build(stack[-1], state)
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self.marked()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name != "STOP" and name not in IGNORED:
            raise self.error(f"the operation {name}")

    def tuple(self, values: list[Any]) -> tuple:
        made = tuple(values)
        deep = 1 + max((self.depth.get(id(value), 1) for value in values if isinstance(value, tuple)), default=0)
        if deep > DEEPEST:
            raise self.error(f"tuples more than {DEEPEST} deep in each other")
        if deep > 1:
            self.depth[id(made)] = deep
            self.kept.append(made)  # so that its identity stays its own
        return made

    def marked(self) -> list[Any]:
        """Take what lies above the last mark, and the mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _Mark:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        above = self.stack[at + 1 :]
        del self.stack[at:]
        return above

    def fill(self, kind: str, values: list[Any]) -> None:
        container = self.stack[-1]
        if kind == "DICT":
            if not isinstance(container, dict) or len(values) % 2:
                raise ValueError("pairs for something that is no dictionary")
            container.update(zip(values[::2], values[1::2]))
        elif isinstance(container, set):
            container.update(values)
        elif isinstance(container, list):
            container.extend(values)
        else:
            raise ValueError("values for something that is no list")

    def name(self, opcode: str, argument: Any) -> _Name:
        if opcode == "GLOBAL":
            asked = argument.replace(" ", ".", 1)
        else:
            attribute, module = self.stack.pop(), self.stack.pop()
            asked = f"{module}.{attribute}"
        if asked not in NAMES:
            raise self.error(f"a call of {asked[:80]!r}")
        return _Name(NAMES[asked])

    def call(self, called: Any, arguments: Any) -> Any:
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise self.error(f"a call of a {type(called).__name__}")
        if called == "array":
            return _Array()
        if called == "dtype":
            return _Kind(_kind(arguments[0]))
        if called == "encode":
            text, coding = arguments[0], (arguments[1:] or ("latin1",))[0]
            if not isinstance(text, str) or coding not in ("latin1", "latin-1"):
                raise ValueError("text in another coding")
            return text.encode("latin-1")
        if called == "scalar":
            return _values(arguments[0], (), arguments[1], False)[()].item()
        if called == "buffer":
            data, kind, shape, order = arguments
            return _values(kind, shape, data, order == "F")
        if called in ("dict", "list", "set", "bytes"):
            if not arguments:
                return {"dict": dict, "list": list, "set": set, "bytes": bytes}[called]()
            if called == "set" and isinstance(arguments[0], list):
                return set(arguments[0])
            if called == "bytes" and isinstance(arguments[0], bytes):
                return arguments[0]
            if called == "dict" and isinstance(arguments[0], list):
                return dict(arguments[0])
        raise self.error(f"a call of {called}")

    def build(self, made: Any, state: Any) -> None:
        if isinstance(made, _Kind) and isinstance(state, tuple) and len(state) > 4:
            if state[1] not in ("<", ">", "|", "=") or state[2] is not None or state[3] is not None:
                raise self.error("an array of records")
            made.order = state[1]
        elif isinstance(made, _Array) and isinstance(state, tuple) and len(state) == 5 and made.value is None:
            _, shape, kind, by_columns, data = state
            made.value = _values(kind, shape, data, bool(by_columns))
        else:
            raise self.error(f"a state for a {type(made).__name__.strip('_').lower()}")


def _kind(text: Any) -> str:
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if not isinstance(text, str) or not KINDS.fullmatch(text):
        raise ValueError(f"an array of {str(text)[:20]}")
    return text


def _values(kind: Any, shape: Any, data: Any, by_columns: bool) -> np.ndarray:
    """An array of what stands in the file; its values are not copied.

    Raises:
        ValueError: another number of values than the shape says, or values that are objects.
    """
    if not isinstance(kind, _Kind) or not isinstance(shape, tuple) or len(shape) > 8:
        raise ValueError("an array without a shape")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"an array of shape {str(shape)[:40]}")
    if kind.text[0] == "O":
        count = math.prod(shape)
        if not isinstance(data, list) or len(data) != count:
            raise ValueError("an array of objects of another number")
        array = np.empty(count, object)
        array[:] = data
        return array.reshape(shape)
    if isinstance(data, str):  # as Python 2 wrote bytes
        data = data.encode("latin-1")
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError("an array without its values")
    dtype = kind.dtype()
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes for an array of shape {list(shape)}")
    if not len(data):
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")


def _finished(value: Any, met: dict[int, Any]) -> Any:
    """The same value with arrays in the place of those that were being made."""
    if isinstance(value, _Array):
        if value.value is None:
            raise ValueError("an array without its values")
        if value.value.dtype == object and id(value) not in met:
            met[id(value)] = value
            flat = value.value.reshape(-1)
            flat[:] = [_finished(each, met) for each in flat]
        return value.value
    if isinstance(value, (_Kind, _Name)) or value is _Mark:
        raise ValueError("a name in the place of a value")
    if isinstance(value, tuple):
        return tuple(_finished(each, met) for each in value) if any(map(_open, value)) else value
    if isinstance(value, (list, dict)):
        if id(value) in met:
            return value
        met[id(value)] = value
        if isinstance(value, list):
            value[:] = [_finished(each, met) if _open(each) else each for each in value]
        else:
            value.update({key: _finished(each, met) for key, each in value.items() if _open(each)})
    return value


def _open(value: Any) -> bool:
    return isinstance(value, (_Array, _Kind, _Name, tuple, list, dict)) or value is _Mark
