"""Large arrays on disk: written as a ``.npy`` file that grows (float32), read as a memory map."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..utils.errors import InputError

HEADER = 128  # bytes before the numbers; enough for any shape, so that it can be written last
BLOCK = 1 << 12  # frames that are copied at a time
AGAIN = "Prepare the store again or take another copy"


class Growing:
    """A float32 ``.npy`` file that grows; its header is written last.

    Attributes:
        digest: SHA-256 of the numbers so far, without the header.
    """

    def __init__(self, path: Path):
        self.path = path
        self._begin()

    def _begin(self) -> None:
        self.digest, self._file = hashlib.sha256(), self.path.open("wb")
        self._file.write(bytes(HEADER))

    def __enter__(self) -> Growing:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):  # a full disk was reported when it was met
            self._file.close()

    def append(self, array: np.ndarray) -> None:
        numbers = np.ascontiguousarray(array, "<f4").data.cast("B")
        self._file.write(numbers)
        self.digest.update(numbers)

    def rewrite(self, segments: Sequence[Sequence[int]], shape: tuple[int, ...]) -> None:
        """Once more, with every segment filled up to the number of persons of the last."""
        self._file.close()
        narrow = self.path.with_suffix(".narrow")
        self.path.rename(narrow)
        self._begin()
        place = HEADER
        for persons, count in segments:
            segment = np.memmap(narrow, "<f4", "r", place, (count, persons, *shape))
            place += segment.nbytes
            for begin in range(0, count, BLOCK):
                self.append(widen(segment[begin : begin + BLOCK], segments[-1][0]))
        narrow.unlink()

    def finish(self, shape: tuple[int, ...]) -> None:
        self._file.seek(0)
        self._file.write(header(shape))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def mapped(path: Path, shape: tuple[int, ...], dtype: str = "<f4") -> np.ndarray:
    """Read-only memory map of a file that :class:`Growing` wrote, or another that begins with :func:`header`.

    Raises:
        InputError: missing, cut short, or of another shape.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(HEADER)
    except FileNotFoundError:
        raise InputError(path, "no such file", "the frames of a store", AGAIN) from None
    except OSError as error:
        raise InputError(path, f"not readable ({error.strerror})", "the frames of a store", AGAIN) from None
    expected = HEADER + np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object))
    if size != expected:
        raise InputError(path, f"{size} bytes", f"{expected} bytes for an array of shape {shape}", AGAIN)
    if begin != header(shape, dtype):
        raise InputError(
            path, "a header that does not fit the card", f"{np.dtype(dtype)} numbers of shape {shape}", AGAIN
        )
    return np.memmap(path, dtype, "r", HEADER, shape)


def widen(array: np.ndarray, persons: int) -> np.ndarray:
    """Absent persons added at the end of axis 1."""
    missing = persons - array.shape[1]
    return np.pad(array, [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2)) if missing else array


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """The first bytes of a ``.npy`` file, ``HEADER`` of them whatever the shape."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + text.ljust(HEADER - 11).encode() + b"\n"
