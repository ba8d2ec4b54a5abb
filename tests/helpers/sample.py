"""What a sample of a format is, and changes of its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kineme.utils.errors import InputError

Change = Callable[[bytes], bytes]


def never(good: bytes, cut: bytes) -> bool:
    """A file of the kind that is incomplete as soon as more than blanks at its end is missing."""
    return cut.rstrip() == good.rstrip()


@dataclass(frozen=True)
class Sample:
    """How to make a file of one format.

    Attributes:
        unit: name of the file (or folder) to be read.
        make: writes it and its side files into a folder.
        faults: fault -> (file in the folder, change of its content). Every entry has "infinity", "zero frames",
            "10^9 frames" and "wrong variant", here or among those that are mended; further ones have their own names.
        mended: faults that cost a joint, a person or a frame: the rest reads, and a note counts them.
        complete: file -> whether what is left of it after a cut is a whole file again. Without a count of frames in
            the file nothing can tell that something is missing, so such files say here when they read.
        frames: the files are frames, and whatever is wrong with one of them is mended.
        variants: good files in another spelling, (file, change); they read equal.
    """

    unit: str
    make: Callable[[Path], None]
    faults: Mapping[str, tuple[str, Change]]
    complete: Mapping[str, Callable[[bytes, bytes], bool]]
    variants: Mapping[str, tuple[str, Change]] = field(default_factory=dict)
    mended: Mapping[str, tuple[str, Change]] = field(default_factory=dict)
    frames: bool = False

    def write(self, folder: Path) -> Path:
        self.make(folder)
        return folder / self.unit


def replace(old: bytes, new: bytes) -> Change:
    """Change the first occurrence."""

    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


def spellings(name: str) -> dict[str, tuple[str, Change]]:
    """What may differ in any text file."""
    return {
        "CR-LF": (name, lambda data: data.replace(b"\n", b"\r\n")),
        "no final newline": (name, bytes.rstrip),
        "blank lines at the end": (name, lambda data: data + b"\n \n"),
        "byte-order mark": (name, lambda data: b"\xef\xbb\xbf" + data),
    }


def in_json(change: Callable[[dict], None]) -> Change:
    """Change the content of a JSON file."""

    def changed(data: bytes) -> bytes:
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return changed


def attempt(path: Path, use: Callable[[Path], Any]) -> None:
    """It works, or there is an error that names the file; nothing else."""
    message = path.stem
    try:
        use(path)
    except InputError as error:
        message = str(error)
    assert path.stem in message
