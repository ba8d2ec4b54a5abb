"""HDF5 files (.h5, .slp): a few arrays by their names, out of files that may be hostile.

The package ``h5py`` takes the files apart (``pip install 'kineme[hdf5]'``). What it is asked for is bounded first:
nothing is read that claims more than the file can hold, that lies in another file, or that is no array of numbers or
text.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import InputError
from ..utils.files import free_memory

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST = 1 << 28  # bytes of an array
RATIO = 1100  # by which zlib shrinks at most
TEXTS = 1 << 16  # texts in an array
LONGEST = 1 << 24  # characters of a text


def names(path: Path) -> set[str]:
    """What lies at the top of a file; nothing where that cannot be told, also for want of the package."""
    try:
        import h5py

        with h5py.File(path, "r", locking=False) as file:
            return set(map(str, itertools.islice(file, TEXTS)))
    except Exception:  # reading it will tell
        return set()


@contextlib.contextmanager
def opened(path: Path, what: str) -> Iterator[Tables]:
    """The arrays of a file.

    Raises:
        InputError: the package is missing; not such a file, damaged; also for what goes wrong while it is open.
    """
    try:
        import h5py
    except ImportError:
        hint = "pip install 'kineme[hdf5]'"
        raise InputError(path, "the package h5py, which reads HDF5, is not installed", hint=hint) from None
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield Tables(path, what, file)
    except InputError:
        raise
    except Exception as error:  # the package raises many kinds for damaged files
        reason = " ".join(str(error).split())[:200].replace(str(path), path.name)
        raise InputError(path, f"not readable as HDF5 ({reason})", what, "The file may be cut short") from None


class Tables:
    """The arrays of an open file; names with ``/`` lie in groups."""

    def __init__(self, path: Path, what: str, file: Any):
        self.path, self.what, self.file = path, what, file

    def __contains__(self, name: str) -> bool:
        return self._found(name) is not None

    def array(self, name: str, kinds: str = "fiub") -> np.ndarray:
        """The values of an array.

        Args:
            name: of the array.
            kinds: of values, as numpy calls them; ``V`` is a table of several columns.

        Raises:
            InputError: there is none; it is too large, of another kind, or not in this file.
        """
        found = self._found(name)
        if found is None or not hasattr(found, "dtype"):
            raise InputError(self.path, f"no array {name!r}", self.what)
        if found.is_virtual or found.external:
            raise InputError(self.path, f"array {name!r} lies in another file", self.what)
        if found.dtype.kind not in kinds:
            raise InputError(self.path, f"array {name!r} of type {str(found.dtype)[:60]}", self.what)
        size = math.prod(found.shape or ()) * found.dtype.itemsize
        if size > min(MOST, free_memory() // 3, RATIO * self.path.stat().st_size):
            raise InputError(
                self.path, f"array {name!r} that claims {size} bytes", f"{self.what}, at most {MOST} bytes"
            )
        return np.asarray(found[()])

    def texts(self, name: str) -> list[str]:
        """An array of texts.

        Raises:
            InputError: as :meth:`array`; too many.
        """
        found = self._found(name)
        if found is not None and math.prod(getattr(found, "shape", None) or ()) > TEXTS:
            raise InputError(self.path, f"array {name!r} of more than {TEXTS} texts", self.what)
        return [self._text(value) for value in self.array(name, "SUO").ravel().tolist()]

    def attribute(self, name: str, key: str) -> Any:
        """A note that is attached to an array or a group: a number or a text; None if there is none."""
        found = self._found(name)
        if found is None or key not in found.attrs:
            return None
        value = found.attrs[key]
        return self._text(value) if isinstance(value, (bytes, str)) else value

    def _text(self, value: Any) -> str:
        if not isinstance(value, (bytes, str)) or len(value) > LONGEST:
            raise InputError(self.path, f"a {type(value).__name__} where a text belongs", self.what)
        return value if isinstance(value, str) else value.decode("utf-8", "replace")

    def _found(self, name: str) -> Any:
        """What has this name in the file itself; links elsewhere are not followed."""
        import h5py

        here = self.file
        for word in name.split("/"):
            if not isinstance(here, h5py.Group) or not isinstance(here.get(word, getlink=True), h5py.HardLink):
                return None
            here = here[word]
        return here
