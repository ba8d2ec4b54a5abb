"""Files that were dropped on the page: read apart, kept in memory until they are removed, never stored."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ...motion.motion import Motion
from ...utils.errors import InputError
from ...utils.registry import ROOT
from . import reading

AT_ONCE, WAITING = 2, 4  # files that are read, and that wait
WALL = 30.0  # seconds
KEPT = 16  # files in memory
MOST_NAME = 120
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from kineme.apps.explorer import reading; reading.main()"


class Busy(Exception):
    """Too many files at once."""


@dataclass
class Upload:
    """A file that was read.

    Attributes:
        id: under which the page asks for it.
        name: as the browser says.
        motion: the first clip in it.
    """

    id: str
    name: str
    motion: Motion = field(repr=False)


class Uploads:
    """Files in memory."""

    def __init__(self) -> None:
        self._there: dict[str, Upload] = {}
        self._working = threading.Semaphore(AT_ONCE)
        self._queued = 0
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn to read a file.

        Raises:
            Busy: too many wait already.
        """
        with self._lock:
            if self._queued >= AT_ONCE + WAITING:
                raise Busy
            self._queued += 1
        try:
            with self._working:
                yield
        finally:
            with self._lock:
                self._queued -= 1

    def add(self, name: str, data: bytes, image: bool = False) -> Upload:
        """Read a file.

        Args:
            name: of it; its ending is all that is used, and to speak of it.
            data: its bytes.
            image: whether coordinates in the image are wanted of a file that has those and others.

        Raises:
            InputError: what is wrong with it.
            Busy: too many others.
        """
        shown = clean(name)
        with self.turn():
            motion = read(shown, data, image)
        upload = Upload(secrets.token_urlsafe(9), shown, motion)
        with self._lock:
            while len(self._there) >= KEPT:
                self._there.pop(next(iter(self._there)))
            self._there[upload.id] = upload
        return upload

    def get(self, id: str) -> Upload:
        """A file that was read.

        Raises:
            InputError: removed, or never there.
        """
        found = self._there.get(id)
        if found is None:
            raise InputError("upload", "it is not here any more", "a file that was dropped since", "Drop it again")
        return found

    def remove(self, id: str) -> None:
        """Forget a file."""
        with self._lock:
            self._there.pop(id, None)


def clean(name: str) -> str:
    """The last part of a file's name, without anything but what can be printed."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(letter for letter in last if letter.isprintable() and letter not in '<>:"|?*').strip(". ")
    return kept[-MOST_NAME:] or "file"


def read(name: str, data: bytes, image: bool = False) -> Motion:
    """The first clip of a file's bytes, read in a process of its own.

    Raises:
        InputError: what is wrong with it, or with how long or how much memory it takes.
    """
    with tempfile.TemporaryDirectory(prefix="kineme-") as folder:
        file, empty = Path(folder, name), Path(folder, ".empty")
        empty.mkdir()
        file.write_bytes(data)
        words = [sys.executable, "-I", "-c", START, str(ROOT.parent), str(file), *(["image"] if image else [])]
        quiet = {"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        quiet |= {key: os.environ[key] for key in ("SYSTEMROOT", "LANG") if key in os.environ}
        with subprocess.Popen(
            words, cwd=empty, env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            watch = threading.Timer(WALL, child.kill)
            watch.start()
            try:
                answer = child.stdout.read(reading.MOST_BYTES + 1)  # type: ignore[union-attr]
                if len(answer) > reading.MOST_BYTES:
                    child.kill()
                child.wait()
            finally:
                watch.cancel()
        if child.returncode < 0 or len(answer) > reading.MOST_BYTES:
            found = f"it takes more than {reading.SECONDS} s, or more memory than is lent, to read"
            raise InputError(name, found, "a file of usual size", "Cut it, or prepare it with kineme prepare")
        return reading.decoded(answer, name)
