"""Files that are written whole or not at all, content hashes, and bounded reading of arrays from outside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError

MAX_BYTES = 64 << 30  # no single array from outside may claim more than this


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it there when the block ends well, remove it otherwise.

    A killed process leaves either the old file or the new one (and perhaps a ``.tmp`` file, which nothing reads).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Like :func:`atomic` for a folder that must not exist yet (an empty one is replaced)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write JSON atomically, keys in their order, floats as they are."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike, what: str = "JSON") -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing, not UTF-8, or not JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise InputError(path, "no such file", what) from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, a number of 5000 digits
        raise InputError(path, f"not readable as JSON ({error})", what) from None


def read_npz(path: str | os.PathLike, keys: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """Read plain arrays from an ``.npz`` file; nothing is unpickled.

    Args:
        path: the file.
        keys: the arrays that are wanted; by default all.

    Raises:
        InputError: not an ``.npz`` file, an array of Python objects, a size above ``MAX_BYTES``, a missing key.
    """
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            wanted = list(file.files) if keys is None else list(keys)
            missing = [key for key in wanted if key not in file.files]
            if missing:
                raise InputError(path, f"array {missing[0]!r} is missing", f"arrays {', '.join(wanted)}")
            size = sum(info.file_size for info in file.zip.infolist())
            if size > MAX_BYTES:
                raise InputError(path, f"claims {size} bytes when unpacked", f"at most {MAX_BYTES}")
            return {key: file[key] for key in wanted}
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(path, "no such file", "an .npz file") from None
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for damaged files
        raise InputError(path, f"not readable as arrays ({error})", "an .npz file of plain arrays") from None


def sha256(*parts: bytes | Path) -> str:
    """Hex SHA-256 over byte strings and the contents of files, in the order given."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with open(part, "rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
        else:
            digest.update(part)
    return digest.hexdigest()
