"""Text files of numbers: bounded loading, and a scanner for decimal numbers that works on whole files at once.

Readers of text formats share it. The numbers are those of Python's ``float``, bit for bit: a decimal with at most
15 digits is an integer below 2**53 divided by a power of ten below 10**22, both exact in float64, so one division
rounds correctly (Clinger, "How to read floating point numbers accurately", 1990). Longer numbers and exponents are
rare in recordings and go through ``float`` itself.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError

MAX_TEXT = 2 << 30  # bytes of one text file
WIDTH = 15  # columns of the fast path: tokens of up to 14 characters
BLOCK = 1 << 14  # tokens parsed at a time, so that the columns stay in the processor's cache
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
TENS = 10.0 ** np.arange(WIDTH + 1)


def load(path: str | os.PathLike, what: str, limit: int = MAX_TEXT) -> bytes:
    """The bytes of a text file, without a byte-order mark.

    Raises:
        InputError: missing, unreadable, empty, larger than ``limit``, or with NUL bytes in it (a binary file).
    """
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(path, f"not readable ({error.strerror or error})", what) from None
    if len(data) > limit:
        raise InputError(path, f"more than {limit} bytes", f"{what} of at most that size")
    if b"\0" in data:
        raise InputError(path, f"NUL byte at position {data.index(0)}", what, "The file is damaged or not text")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise InputError(path, "the file is empty", what)
    return data


def unpack(data: bytes) -> str:
    """Text of bytes: UTF-8, else Latin-1 (which takes everything)."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def near(path: Path, *places: str) -> Path | None:
    """The first of these places, relative to the folder of ``path``, that is a file; None if there is none."""
    return next((path.parent / place for place in places if (path.parent / place).is_file()), None)


@dataclass(frozen=True, eq=False)
class Tokens:
    """The words of a text, separated by blanks and line ends of any kind.

    Attributes:
        path: the file, for messages.
        data: the text.
        buffer: uint8, the text with blanks behind it.
        starts, ends: int64 ``[n]``, where each word begins and ends in ``data``.
    """

    path: str
    data: bytes
    buffer: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def word(self, index: int) -> bytes:
        return self.data[self.starts[index] : self.ends[index]]

    def line(self, index: int) -> int:
        """Number of the line, from 1, in which a word stands (the last line if there is no such word)."""
        return self.data.count(b"\n", 0, int(self.starts[index]) if index < len(self) else len(self.data.rstrip())) + 1

    def error(self, index: int, found: str, expected: str = "", mend: str = "") -> InputError:
        """An error that names the file and the line of a word."""
        return InputError(f"{self.path}, line {self.line(index)}", found, expected, mend)

    def floats(self, index: np.ndarray | slice = slice(None), finite: bool = True) -> np.ndarray:
        """The words at these indices as float64, in the shape of ``index``.

        Raises:
            InputError: a word that is not a number or, with ``finite``, not a finite one; it names the line.
        """
        which = np.arange(len(self))[index] if isinstance(index, slice) else np.asarray(index)
        flat = which.ravel()
        values = np.empty(len(flat))
        for low in range(0, len(flat), BLOCK):
            block = slice(low, low + BLOCK)
            self._scan(flat[block], values[block])
        if finite and not np.isfinite(values).all():
            bad = int(flat[np.argmin(np.isfinite(values))])
            raise self.error(bad, f"{_shown(self.word(bad))} is not a finite number", "finite numbers")
        return values.reshape(which.shape)

    def table(self, columns: int, row: str) -> np.ndarray:
        """All words as float64 ``[rows, columns]``, one row on each line that is not empty.

        Raises:
            InputError: a line with another number of words (``row`` says what a line holds), or not of finite numbers.
        """
        first = np.unique(np.searchsorted(self.starts, np.flatnonzero(self.buffer == ord("\n"))))
        first = np.concatenate([[0], first[(first > 0) & (first < len(self))], [len(self)]])
        widths = np.diff(first)
        if (widths != columns).any():
            bad = int(np.argmax(widths != columns))
            raise self.error(int(first[bad]), f"{widths[bad]} values", f"{columns} ({row})")
        return self.floats().reshape(-1, columns)

    def _scan(self, index: np.ndarray, out: np.ndarray) -> None:
        starts = self.starts[index]
        length = self.ends[index] - starts
        width = min(int(length.max()) + 1, WIDTH)
        text = np.empty((width, len(starts)), np.uint8)  # one row per character, so that every step below is long
        for k in range(width):
            np.take(self.buffer[k:], starts, out=text[k], mode="clip")
        columns = np.arange(width, dtype=np.uint8)[:, None]
        text *= columns < np.minimum(length, 255).astype(np.uint8)
        digits = text - np.uint8(48)
        is_digit = digits < 10
        digits *= is_digit
        is_dot = text == ord(".")
        dots = is_dot.sum(0, dtype=np.uint8)
        negative = text[0] == ord("-")
        signs = negative | (text[0] == ord("+"))
        count = is_digit.sum(0, dtype=np.uint8)
        plain = (count > 0) & (dots < 2) & (count + dots + signs == length) & (length < width)
        # Digits before the dot weigh ten times too much while the dot still takes up a place.
        dot = np.where(dots > 0, (is_dot * columns).sum(0, dtype=np.uint8), np.minimum(length, width - 1))
        behind = TENS[width - 1 - np.minimum(dot, width - 1)]
        total = TENS[width - 1 :: -1] @ digits
        whole = np.floor(total / (10 * behind)) * (10 * behind)
        np.divide(total - whole + whole / 10, behind, out=out)
        np.negative(out, out=out, where=negative)
        for k in np.flatnonzero(~plain):
            word = self.data[starts[k] : starts[k] + length[k]]
            if not NUMBER.fullmatch(word):
                raise self.error(int(index[k]), f"{_shown(word)} is not a number", "decimal numbers")
            out[k] = float(word)


def tokens(path: str | os.PathLike, data: bytes) -> Tokens:
    """Find the words of a text; control characters count as blanks."""
    buffer = np.frombuffer(data + b" " * (WIDTH + 1), np.uint8)
    blank = buffer <= 32
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    if not blank[0]:
        edges = np.concatenate([[0], edges])
    return Tokens(str(path), data, buffer, edges[0::2], edges[1::2])


def _shown(word: bytes) -> str:
    return repr(word[:20].decode("latin-1")) + ("..." if len(word) > 20 else "")
