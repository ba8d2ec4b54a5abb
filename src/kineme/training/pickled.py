"""What a checkpoint's pickle would build, found without building it.

PyTorch's restricted reader executes nothing foreign, but it calls what it knows with whatever numbers a file names: 36
bytes can ask it for gigabytes. So the opcodes are followed first, with names in place of values, and only calls that
``torch.save`` writes of a ``state_dict`` are let through.
"""

from __future__ import annotations

import re
from pickletools import genops
from typing import Any, BinaryIO

from ..utils.errors import InputError

CALLED = {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "torch.Size"}
STORAGE = re.compile(r"torch\.(storage\.)?\w+Storage")  # named, never called: the kind of values in a record
BYTES = {"Double": 8, "Long": 8, "Float": 4, "Int": 4, "Half": 2, "BFloat16": 2, "Short": 2}  # of a value; else 1
MOST = 500_000  # opcodes; the largest published checkpoint has some 20,000
DEEPEST = 20  # tuples in each other; hashing very deep ones overflows the processor's stack
PLAIN = {"NONE", "NEWFALSE", "NEWTRUE", "BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
PLAIN |= {"LONG1"}
TAKES = {"APPEND": 1, "SETITEM": 2, "BUILD": 1}  # from the top of the stack, leaving what is beneath
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
Mark = object()


class Name(str):
    """Something importable that a pickle names."""


class Tuple(tuple):
    """A tuple that knows how deep it is."""

    depth: int

    def __new__(cls, values: Any) -> Tuple:
        made = super().__new__(cls, values)
        made.depth = 1 + max((each.depth for each in made if isinstance(each, Tuple)), default=0)
        if made.depth > DEEPEST:
            raise ValueError(f"tuples more than {DEEPEST} deep")
        return made


EMPTY = {"EMPTY_TUPLE": Tuple(()), "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}


def check(where: object, pickle: BinaryIO, size: int) -> None:
    """Follow one pickle, up to its end.

    Args:
        where: what errors call it.
        pickle: read from where it stands to behind the pickle.
        size: bytes of the whole file: no array can have more.

    Raises:
        InputError: it calls or names something else than tensors and plain containers, claims arrays larger than the
            file, has too many operations, or is damaged.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for count, (opcode, argument, _) in enumerate(genops(pickle)):
            if count > MOST:
                raise InputError(where, f"a pickle of more than {MOST} operations", "a state_dict")
            _follow(where, opcode.name, argument, stack, memo, size)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            where, f"a damaged pickle ({error})", "one that torch.save wrote", "Take another copy"
        ) from None


def _follow(where: object, name: str, argument: Any, stack: list[Any], memo: dict[int, Any], size: int) -> None:
    if name in PLAIN:
        stack.append(argument)
    elif name in EMPTY:
        stack.append(EMPTY[name])
    elif name == "GLOBAL":
        asked = Name(argument.replace(" ", "."))
        if asked not in CALLED and not STORAGE.fullmatch(asked):
            raise _refused(where, asked)
        stack.append(asked)
    elif name == "MARK":
        stack.append(Mark)
    elif name == "TUPLE":
        stack.append(Tuple(_marked(stack)))
    elif name in TUPLES:
        stack[-TUPLES[name] :] = [Tuple(stack[-TUPLES[name] :])]
    elif name in ("APPENDS", "SETITEMS"):
        _marked(stack)
    elif name in TAKES:
        del stack[-TAKES[name] :]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name == "REDUCE":
        stack.pop()
        called = stack.pop()
        if not isinstance(called, Name) or called not in CALLED:
            raise _refused(where, called if isinstance(called, Name) else f"a call of a {type(called).__name__}")
        stack.append(object())
    elif name == "BINPERSID":
        _check_storage(where, stack.pop(), size)
        stack.append(object())
    elif name == "STOP":
        stack.pop()
    elif name != "PROTO":
        raise InputError(where, f"its pickle uses {name}", "operations that torch.save writes; nothing was executed")


def _marked(stack: list[Any]) -> list[Any]:
    """Take what lies above the last mark, and the mark."""
    last = len(stack) - 1
    while stack[last] is not Mark:
        last -= 1
        if last < 0:
            raise ValueError("no mark")
    above = stack[last + 1 :]
    del stack[last:]
    return above


def _check_storage(where: object, entry: Any, size: int) -> None:
    """``("storage", kind, key, place, values, ...)``: an array that stands in the file."""
    word, kind, _, _, values = entry[:5]
    if word != "storage" or not isinstance(kind, Name) or not isinstance(values, int):
        raise ValueError("no storage")
    if not 0 <= values * BYTES.get(kind.rpartition(".")[2].removesuffix("Storage"), 1) <= size:
        raise InputError(where, f"an array that claims {values} values in a file of {size} bytes", "values in the file")


def _refused(where: object, asked: str) -> InputError:
    return InputError(
        where,
        f"its pickle asks for {asked[:80]}, which is no tensor and no plain container; nothing was executed",
        "tensors and plain containers as torch.save writes them",
        "Take another copy",
    )
