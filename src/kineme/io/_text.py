"""Text files: bounded loading, and their numbers read by a compiled scanner.

Readers of text formats share it. A file is cut into words by three operations on its bytes as an array; those words
that are wanted go to Arrow's cast from text to float64, which rounds correctly, as Python's ``float`` does.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.errors import InputError
from ..utils.files import free_memory, loads

if TYPE_CHECKING:
    import pyarrow as pa

MAX_TEXT = 1 << 29  # bytes of one text file; positions in it are int32
LARGE = 1 << 26  # bytes, from which on the free memory is asked for
BLOCK = 1 << 15  # bytes cut into words at a time
BLANK = 32  # this character and those below it separate words
LOST = "rows with too few or too many numbers, taken as frames with nobody in them"  # a note
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
INTEGER = re.compile(rb"-?\d{1,18}")


def raw(path: str | os.PathLike, what: str, limit: int) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: missing, unreadable, empty, no plain file, larger than ``limit`` or a third of the free memory.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            limit = limit if status.st_size < LARGE else min(limit, free_memory() // 3)
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
                raise InputError(path, f"not a file of at most {limit} bytes", what)
            data = file.read()
    except OSError as error:
        raise InputError(path, f"not readable ({error.strerror or error})", what) from None
    if not data or data.isspace():
        raise InputError(path, "the file is empty", what)
    return data


def load(path: str | os.PathLike, what: str, limit: int = MAX_TEXT) -> bytes:
    """The bytes of a text file, without a byte-order mark.

    Raises:
        InputError: as :func:`raw`, or with NUL bytes in it (a binary file).
    """
    data = raw(path, what, limit)
    if b"\0" in data:
        raise InputError(path, f"a NUL byte at position {data.index(0)}", what, "The file is damaged or not text")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data or data.isspace():
        raise InputError(path, "the file is empty", what)
    return data


def unpack(data: bytes) -> str:
    """Text of bytes: UTF-8, else Latin-1 (which takes everything)."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def document(path: str | os.PathLike, what: str) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: as :func:`load` and :func:`kineme.utils.files.loads`.
    """
    return loads(path, load(path, what), what)


def table(path: str | os.PathLike, what: str) -> list[list[str]]:
    """The rows of a CSV file as text, without empty ones.

    Raises:
        InputError: as :func:`load`, or no CSV.
    """
    try:
        rows = [row for row in csv.reader(unpack(load(path, what)).splitlines()) if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(path, f"not a table ({error})", what) from None
    return rows


def near(path: Path, *places: str) -> Path | None:
    """The first of these places, relative to the folder of ``path``, that is a file; None if there is none."""
    return next((path.parent / place for place in places if (path.parent / place).is_file()), None)


def float32(path: str | os.PathLike, values: np.ndarray) -> np.ndarray:
    """Numbers in single precision.

    Raises:
        InputError: a number that is not finite there.
    """
    with np.errstate(over="ignore"):
        single = np.asarray(values).astype(np.float32)
    if not np.isfinite(single).all():
        bad = np.asarray(values)[~np.isfinite(single)][0]
        raise InputError(path, f"the coordinate {bad:g}", "finite numbers of at most 3.4e38")
    return single


@dataclass(frozen=True, eq=False)
class Words:
    """The words of a text, separated by blanks, control characters and line ends of any kind.

    Attributes:
        path: the file, for messages.
        data: the text.
        edges: int32 ``[2 n]``: where word 0 begins and ends in ``data``, then word 1, ...
    """

    path: str
    data: bytes
    edges: np.ndarray

    def __len__(self) -> int:
        return len(self.edges) // 2

    def word(self, index: int) -> bytes:
        return self.data[self.edges[2 * index] : self.edges[2 * index + 1]]

    def shown(self, index: int) -> str:
        """A word, quoted and shortened for a message."""
        word = self.word(index)
        return repr(word[:20].decode("latin-1")) + ("..." if len(word) > 20 else "")

    def error(self, index: int, found: str, expected: str = "", hint: str = "") -> InputError:
        """An error that names the file and the line of a word (the last line if there is no such word)."""
        end = self.edges[2 * index] if index < len(self) else len(self.data.rstrip())
        line = 1 + self.data.count(b"\n", 0, int(end))
        return InputError(f"{self.path}, line {line}", found, expected, hint)

    def integer(self, index: int, what: str) -> int:
        """A word as a whole number of at most 18 digits, so that it is exact in int64.

        Raises:
            InputError: another word, or none; ``what`` says what the number means.
        """
        if index >= len(self):
            raise self.error(index, f"the file ends before {what}")
        if not INTEGER.fullmatch(self.word(index)):
            raise self.error(index, f"{self.shown(index)} where {what} should stand", "a whole number")
        return int(self.word(index))

    def equal(self, index: np.ndarray, word: bytes) -> np.ndarray:
        """Which of the words at these indices are ``word``, as bool."""
        starts, ends = self.edges.reshape(-1, 2)[index].T
        same = ends - starts == len(word)
        text = np.frombuffer(self.data, np.uint8)
        for k, character in enumerate(word):
            same &= text.take(starts + k, mode="clip") == character
        return same

    def floats(
        self, index: np.ndarray | slice = slice(None), dtype: type = np.float64, finite: bool = True
    ) -> np.ndarray:
        """The words at these indices as numbers, in the shape of ``index``; float32 is rounded from float64.

        Args:
            index: which words.
            dtype: float64 or float32.
            finite: insist on numbers. Else a word that is none becomes NaN, one that is too large infinite.

        Raises:
            InputError: with ``finite`` a word that is not a finite number of that type; it names the line.
        """
        import pyarrow as pa

        which = np.arange(len(self))[index] if isinstance(index, slice) else np.asarray(index)
        # For Arrow the edges make a text out of every word and of every gap between two; nothing is copied.
        texts = pa.StringArray.from_buffers(
            max(len(self.edges) - 1, 0), pa.py_buffer(self.edges), pa.py_buffer(self.data)
        )
        twice = pa.py_buffer(np.ascontiguousarray(2 * which, np.int64))
        try:
            chosen = texts.take(pa.Array.from_buffers(pa.int64(), which.size, [None, twice]))
            found = chosen.cast(pa.float64()).to_numpy()
        except ValueError:  # something that is no number for Arrow
            found = np.array([self._float(i, finite) for i in which.ravel().tolist()])
        with np.errstate(over="ignore"):
            found = found.astype(dtype, copy=False)
        if finite and not np.isfinite(found).all():
            bad = int(which.flat[np.argmin(np.isfinite(found))])
            raise self.error(bad, f"{self.shown(bad)} is not a finite number of type {np.dtype(dtype)}")
        return found.reshape(which.shape)

    def lines(self) -> tuple[np.ndarray, np.ndarray]:
        """First word of each line that is not empty, the number of words last; and how many words each line has."""
        ends = np.flatnonzero(np.frombuffer(self.data, np.uint8) == ord("\n"))
        first = np.unique(np.searchsorted(self.edges[0::2], ends))
        first = np.concatenate([[0], first[(first > 0) & (first < len(self))], [len(self)]])
        return first, np.diff(first)

    def table(self, columns: int, row: str, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
        """All words as numbers, one row on each line that is not empty.

        A row that is torn into several lines is put together; another line with too few or too many words is a row of
        zeros.

        Returns:
            The table ``[rows, columns]``, NaN for words that are no number; which rows are lost, bool ``[rows]``.

        Raises:
            InputError: half of the lines or more have another number of words (``row`` says what a line holds).
        """
        first, widths = self.lines()
        wrong = widths != columns
        if 2 * wrong.sum() >= len(widths):
            bad = int(np.argmax(wrong))
            raise self.error(int(first[bad]), f"{widths[bad]} values", f"{columns} ({row})")
        if not wrong.any():
            return self.floats(finite=False, dtype=dtype).reshape(-1, columns), wrong
        rows: list[tuple[int, int]] = []  # first word of each row and how many it has
        for start, width in zip(first[:-1].tolist(), widths.tolist()):
            rows.append((start, width))
            for back in range(1, len(rows) + 1):  # the pieces of a torn row stand behind each other
                size = start + width - rows[-back][0]
                if size >= columns or rows[-back][1] == columns:
                    break
            if size == columns and back > 1:
                rows[-back:] = [(rows[-back][0], columns)]
        starts, widths = np.array(rows).T
        table: np.ndarray = np.zeros((len(rows), columns), dtype)
        lost = widths != columns
        table[~lost] = self.floats(starts[~lost][:, None] + np.arange(columns), dtype, finite=False)
        return table, lost

    def _float(self, index: int, finite: bool) -> float:
        if NUMBER.fullmatch(self.word(index)):
            return float(self.word(index))
        if finite:
            raise self.error(index, f"{self.shown(index)} is not a number", "decimal numbers")
        return np.nan


def words(path: str | os.PathLike, data: bytes) -> Words:
    """Find the words of a text."""
    buffer = np.frombuffer(data, np.uint8)
    edges, inside = [], False
    for low in range(0, len(buffer), BLOCK):  # by blocks and without copies: small arrays that stay in the cache
        ink = buffer[low : low + BLOCK] > BLANK
        edge = np.empty(len(ink), bool)
        edge[0] = ink[0] != inside
        np.not_equal(ink[1:], ink[:-1], out=edge[1:])
        edges.append(np.add(edge.nonzero()[0], low, dtype=np.int32, casting="unsafe"))
        inside = bool(ink[-1])
    end = np.array([len(buffer)] * inside, np.int32)
    return Words(str(path), data, np.concatenate([*edges, end]))


def cells(
    path: Path, data: bytes, names: Sequence[str], delimiter: str, what: str, wanted: Sequence[str] | None = None
) -> tuple[pa.Table, list[int]]:
    """The cells of a csv below its first line as text, and the numbers of the lines with another number of cells.

    Args:
        data: the file.
        names: of the columns.
        wanted: columns to take; None takes all.

    Raises:
        InputError: no such table, or most lines have another number of cells.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    odd: list[int] = []

    def skip(row: Any) -> str:
        odd.append(row.number)
        return "skip"

    taken = list(names if wanted is None else wanted)
    types = dict.fromkeys(taken, pa.string())
    try:
        table = arrow.read_csv(
            io.BytesIO(data),
            arrow.ReadOptions(use_threads=False, column_names=list(names), skip_rows=1),
            arrow.ParseOptions(delimiter=delimiter, invalid_row_handler=skip),
            arrow.ConvertOptions(column_types=types, include_columns=taken, strings_can_be_null=True),
        )
    except (pa.ArrowException, ValueError) as error:
        raise InputError(path, f"not readable as CSV ({str(error)[:200]})".replace("\n", " "), what) from None
    if odd and len(odd) >= len(table):
        raise InputError(f"{path}, line {odd[0]}", "another number of cells than the first line", what)
    return table, odd
