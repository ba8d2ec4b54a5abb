"""Features of a whole store, kept in the folder of a run: a file that saves time and decides nothing."""

from __future__ import annotations

import functools
import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..utils.files import atomic, sha256
from ..utils.registry import ROOT

FORMAT = 2  # of the file
DIGEST = 32  # bytes behind the array: SHA-256 of its numbers
_TOLD: set[Path] = set()  # folders that cannot be written, said once
PASSED = (
    "motion",
    "data",
    "views",
    "nn",
    "encoders",
    "methods",
    "inference",
)  # subpackages that a vector comes through


class Cache:
    """One array on disk under a name that says all that it depends on.

    Args:
        folder: where it stands.
        known: what the numbers follow from, in plain containers; the format of the file, the version of the package
            and its code count as well.
        shape: of the array, float32.
    """

    def __init__(self, folder: Path, known: Mapping[str, Any], shape: tuple[int, ...]):
        self.folder, self.shape = folder, shape
        key = json.dumps([FORMAT, __version__, _code(), known, shape], sort_keys=True)
        self.path = folder / f"{sha256(key.encode())[:24]}.npy"

    def read(self) -> np.ndarray | None:
        """The array, or None where there is none that is whole."""
        try:
            with open(self.path, "rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
                digest = file.read(DIGEST + 1)
        except (OSError, ValueError, EOFError, MemoryError):  # absent, cut short, of another kind
            return None
        whole = array.dtype == np.float32 and array.shape == self.shape and digest == _digest(array)
        return array if whole else None

    def write(self, array: np.ndarray) -> None:
        """Keep the array; where the folder cannot be written, say so and go on without."""
        try:
            with atomic(self.path) as temporary, open(temporary, "wb") as file:
                np.save(file, array)
                file.write(_digest(array))
        except OSError as error:
            if self.folder not in _TOLD:
                _TOLD.add(self.folder)
                why = error.strerror or str(error)
                warnings.warn(f"{self.folder}: {why}. Features are not kept there; all else goes on", stacklevel=3)


def _digest(array: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).data if array.size else b"").digest()


@functools.cache
def _code() -> str:
    """Digest of the code that vectors come through: a mended fault must not be served from a file."""
    files = sorted(path for name in PASSED for path in (ROOT / name).rglob("*.py"))
    return sha256(*files) if all(path.is_file() for path in files) else ""
