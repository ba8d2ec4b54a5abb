"""Files that are written whole or not at all, content hashes, and bounded reading of arrays from outside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

try:
    import fcntl
except ImportError:  # where there is none, nothing is locked
    fcntl = None  # type: ignore[assignment]

from .errors import InputError

SHARE = 3  # arrays and JSON from outside may take one part in so many of the free memory
EMPTY = 5  # bytes of JSON for each list or object in it, at least, in files of more than a megabyte


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it there when the block ends well, remove it otherwise.

    A killed process leaves either the old file or the new one (and perhaps a ``.tmp`` file, which nothing reads).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = _beside(path)
    name.touch(exist_ok=False)  # with the permissions that the user's umask leaves, unlike those of tempfile
    try:
        yield name
        with open(name, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Like :func:`atomic` for a folder that must not exist yet (an empty one is replaced)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unused(path: str | os.PathLike) -> Path:
    """The path of a folder to write.

    Raises:
        InputError: something is there already, other than an empty folder.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(path, "the folder exists", "a new folder", "Name another with --out")
    return path


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


@contextlib.contextmanager
def locked(folder: str | os.PathLike, busy: str, hint: str = "") -> Iterator[Path]:
    """Keep a folder, made where it is missing, for this process as long as the block runs.

    The file ``.lock`` in it is held by the system's file locks, so a killed process leaves nothing behind that would
    have to be removed by hand. Folders that were made here and are still empty in the end are removed again.

    Args:
        folder: the folder.
        busy: what the message says if another process has it.
        hint: what its reader can do.

    Raises:
        InputError: another process has it, or the folder cannot be made.
    """
    folder = Path(folder)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(folder, "a file, or in one", "a folder") from None
    path = folder / ".lock"
    try:
        while True:
            with path.open("a") as handle:
                try:
                    if fcntl is not None:
                        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise InputError(folder, busy, hint=hint) from None
                except OSError:  # a file system without locks
                    pass
                if not path.exists() or os.fstat(handle.fileno()).st_ino != path.stat().st_ino:
                    continue  # its holder removed it between our opening and locking it
                try:
                    yield folder
                finally:
                    path.unlink(missing_ok=True)
                return
    finally:
        with contextlib.suppress(OSError):
            for each in made:
                each.rmdir()


def as_path(value: object, what: str) -> Path:
    """A path from outside.

    Raises:
        InputError: no path; ``what`` says of what it should be one.
    """
    if isinstance(value, (str, os.PathLike)):
        return Path(value)
    raise InputError(what, f"a {type(value).__name__}", f"the path of {what}")


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
        return loads(path, Path(path).read_bytes(), what)
    except FileNotFoundError:
        raise InputError(path, "no such file", what) from None
    except OSError as error:
        raise InputError(path, f"not readable as JSON ({error})", what) from None


def loads(path: str | os.PathLike, data: bytes, what: str = "JSON") -> Any:
    """The content of a JSON text, if there is memory for it.

    Raises:
        InputError: not UTF-8, not JSON, nested deeper than the interpreter reads, hardly anything but brackets, or more
            than a third of the free memory once it is read.
    """
    lists, objects = data.count(b"["), data.count(b"{")
    if len(data) > 1 << 20:
        if EMPTY * (lists + objects) > len(data):
            raise InputError(path, f"{lists + objects} lists and objects in {len(data)} bytes, almost empty", what)
        size = 2 * len(data) + 64 * lists + 256 * objects + 32 * (data.count(b",") + lists + objects)
        fits(path, size)
    try:
        return json.loads(data)
    except RecursionError:
        raise InputError(path, "not readable as JSON (lists or objects nested too deep)", what) from None
    except ValueError as error:  # not UTF-8, not JSON, a number of 5000 digits
        raise InputError(path, f"not readable as JSON ({error})", what) from None


def free_memory() -> int:
    """Bytes that can be had without pushing anything out."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    except (OSError, StopIteration):  # not Linux: all of it
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def fits(path: str | os.PathLike, size: int) -> None:
    """Refuse what takes more than a third of the free memory.

    Raises:
        InputError: so many bytes are too many.
    """
    if size > (most := free_memory() // SHARE):
        found = f"about {size / 1e9:.3g} GB of memory once it is unpacked"
        raise InputError(path, found, f"at most a third of the free memory, {most / 1e9:.3g} GB", "Cut it into parts")


def npz_names(path: str | os.PathLike) -> set[str]:
    """Names of the arrays of an ``.npz`` file; none of anything else."""
    try:
        if not Path(path).is_file():  # a device has no end
            return set()
        with zipfile.ZipFile(path) as file:
            return {name.removesuffix(".npy") for name in file.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile):
        return set()


def read_npz(path: str | os.PathLike, keys: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """Read plain arrays from an ``.npz`` file; nothing is unpickled.

    Args:
        path: the file.
        keys: the arrays that are wanted; by default all.

    Raises:
        InputError: not an ``.npz`` file, an array of Python objects, more than a third of the free memory, a missing
            key.
    """
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            wanted = list(file.files) if keys is None else list(keys)
            missing = [key for key in wanted if key not in file.files]
            if missing:
                raise InputError(path, f"array {missing[0]!r} is missing", f"arrays {', '.join(wanted)}")
            of = {info.filename.removesuffix(".npy"): info.file_size for info in file.zip.infolist()}
            fits(path, sum(of.get(key, 0) for key in wanted))
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
