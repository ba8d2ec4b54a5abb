"""MATLAB files (.mat) of version 5 to 7: plain arrays and texts out of files that may be hostile.

Every variable is inflated within a bound; those that are wanted have to be arrays of real numbers or of characters, as
large as they claim. SciPy's reader is not used: one wrong type number in a file ends the process (a bus error in its
version 1.17). The format: *MAT-File Format*, The MathWorks.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..utils.errors import InputError
from ..utils.files import free_memory
from . import _text

MOST = 1 << 28  # bytes of a file, and of all its variables once they are inflated
GLANCE = 1 << 25  # bytes to be inflated to find out whose file it is
HEADER = 128
COMPRESSED, MATRIX = 15, 14
TEXT, SMALLEST, LARGEST = 4, 6, 15  # classes of arrays: char, and double to uint64
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # of values
CUT = "The file may be cut short"
HOW = "In MATLAB: save(name, '-v7')"


@dataclass(frozen=True)
class Variable:
    """A variable as it stands in a file.

    Attributes:
        name, shape: as it says of itself.
        kind: its class, a number of the format.
        complex: whether there are imaginary parts.
        element: its bytes, without compression; ``begin``: where its values begin in it.
        order: ``<`` or ``>``, the order of bytes.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    complex: bool
    element: bytes
    begin: int
    order: str


def is_mat(head: bytes) -> bool:
    """Whether a file begins as MATLAB's do."""
    return head[:6] == b"MATLAB"


def names(path: Path, head: bytes) -> set[str]:
    """Names of the variables of a file; none where it cannot be read."""
    if not is_mat(head):
        return set()
    try:
        return {variable.name for variable in _variables(path, "", GLANCE)}
    except InputError:
        return set()


def arrays(path: Path, wanted: Collection[str], what: str) -> dict[str, np.ndarray]:
    """The variables of these names that there are; arrays of text have one entry for each row.

    Raises:
        InputError: not such a file, damaged, too large; a wanted variable that is no array of numbers or characters.
    """
    found = {}
    for variable in _variables(path, what):
        if variable.name not in wanted:
            continue
        try:
            found[variable.name] = _values(variable)
        except (ValueError, UnicodeDecodeError, struct.error) as error:
            raise InputError(path, f"variable {variable.name!r}: {error}", what) from None
    return found


def _values(variable: Variable) -> np.ndarray:
    """The array of a variable.

    Raises:
        ValueError: of another kind, or not as large as it claims.
    """
    if variable.kind != TEXT and not SMALLEST <= variable.kind <= LARGEST:
        raise ValueError("of another kind than numbers or text")
    if variable.complex:
        raise ValueError("complex numbers")
    kind, data, _ = _part(variable.element, variable.begin, variable.order)
    dtype = TYPES.get(kind)
    if variable.kind == TEXT:
        if variable.shape[:1] == (1,) or 0 in variable.shape:
            encoding = {2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}.get(kind)
            if encoding is None:
                raise ValueError(f"characters of type {kind}")
            ending = {"<": "-le", ">": "-be"}[variable.order] if encoding == "utf-16" else ""
            return np.array([data.decode(encoding + ending)])
        raise ValueError("several lines of text")
    if dtype is None:
        raise ValueError(f"numbers of type {kind}")
    count = math.prod(variable.shape)
    if count * np.dtype(dtype).itemsize != len(data):
        raise ValueError(f"claims {'x'.join(map(str, variable.shape))} values in {len(data)} bytes")
    return np.frombuffer(data, f"{variable.order}{dtype}").reshape(variable.shape, order="F")


def text(values: np.ndarray) -> str:
    """The one text of a variable."""
    return str(values.ravel()[0]).strip() if values.dtype.kind == "U" and values.size else ""


def _variables(path: Path, what: str, most: int = MOST) -> Iterator[Variable]:
    """All variables, inflated, as long as they fit."""
    data = _text.raw(path, what, MOST)
    if not is_mat(data) or data[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        kind = "a MATLAB file of version 7.3 (HDF5)" if is_mat(data) or data[:4] == b"\x89HDF" else "no MATLAB file"
        raise InputError(path, kind, f"{what}, of version 5 to 7", HOW if "HDF5" in kind else "")
    order = "<" if data[124:128].endswith(b"IM") else ">"
    at, left = HEADER, min(most, free_memory() // 3)
    while at < len(data):
        if len(data) - at < 8:
            raise InputError(path, f"{len(data) - at} bytes behind the last variable", what, CUT)
        kind_of, size = struct.unpack_from(f"{order}II", data, at)
        if kind_of not in (COMPRESSED, MATRIX) or size > len(data) - at - 8:
            raise InputError(path, f"no whole variable at byte {at} (kind {kind_of}, {size} bytes)", what, CUT)
        element = data[at : at + 8 + size]
        at += 8 + size
        if kind_of == COMPRESSED:
            element = _inflate(path, element[8:], left, what)
        left -= len(element)
        variable = _described(element, order)
        if variable is None:
            raise InputError(path, "a damaged variable", what)
        yield variable


def _inflate(path: Path, data: bytes, most: int, what: str) -> bytes:
    machine = zlib.decompressobj()
    try:
        element = machine.decompress(data, max(most, 1))
    except zlib.error as error:
        raise InputError(path, f"not readable as a MATLAB file ({error})", what) from None
    if machine.unconsumed_tail:
        raise InputError(path, f"variables of more than {most} bytes once they are inflated", what, "Cut it into parts")
    if not machine.eof:
        raise InputError(path, "a variable that ends too early", what, CUT)
    return element


def _described(element: bytes, order: str) -> Variable | None:
    """What an element says of itself; None if it is damaged."""
    try:
        kind, size = struct.unpack_from(f"{order}II", element)
        if kind != MATRIX or size > len(element) - 8:
            return None
        _, flags, at = _part(element, 8, order)
        _, shape, at = _part(element, at, order)
        _, name, at = _part(element, at, order)
        (flag,) = struct.unpack_from(f"{order}I", flags)
        sides = np.frombuffer(shape, f"{order}i4").tolist()
        if min(sides, default=-1) < 0 or len(sides) > 8:
            return None
        return Variable(name.decode("latin-1"), tuple(sides), flag & 0xFF, bool(flag & 0x800), element, at, order)
    except (struct.error, ValueError):
        return None


def _part(element: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Type and bytes of a part of an element, and where the next one begins."""
    (word,) = struct.unpack_from(f"{order}I", element, at)
    if word >> 16:  # a small one: type and size share a word
        if word >> 16 > 4:
            raise ValueError("a damaged part")
        return word & 0xFFFF, element[at + 4 : at + 4 + (word >> 16)], at + 8
    (size,) = struct.unpack_from(f"{order}I", element, at + 4)
    if size > len(element) - at - 8:
        raise ValueError("cut short")
    return word, element[at + 8 : at + 8 + size], at + 8 + -(-size // 8) * 8
