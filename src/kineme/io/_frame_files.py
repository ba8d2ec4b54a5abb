"""Recordings that are sets of files in a folder, one for each frame: which belong together, in which order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import _frame_names, _tracking

NUMBERED = re.compile(r"(?P<take>.*?)[_. -]*(?P<frame>\d{1,18})", re.DOTALL)
HEAD = 1024  # bytes of a file that tell whose it is


@dataclass
class Take:
    """A recording of a folder: its files with the numbers of their frames, and the rate if their names tell it."""

    frames: list[tuple[int, Path]]
    fps: float | None = None


def takes(folder: Path, ending: str, is_mine: Callable[[bytes], bool]) -> dict[str, Take]:
    """The recordings in a folder: files that end so, with names as those of frames, some of which begin as one's own.

    Args:
        ending: in lower case.
        is_mine: of the first bytes of a file.
    """
    with os.scandir(folder) as entries:
        files = sorted(entry.name for entry in entries if entry.name.lower().endswith(ending) and entry.name[0] != ".")
    files = [name for name in files if any(map(str.isdigit, name))]
    found = by_name(folder, files, [name[: -len(ending)] for name in files])
    return {name: take for name, take in found.items() if any(is_mine(head(file)) for _, file in take.frames)}


def by_name(folder: Path, files: Sequence[str], names: Sequence[str]) -> dict[str, Take]:
    """The recordings among files with these names; images whose names tell of no video are none."""
    videos, alone = _frame_names.videos(names)
    found = {
        video.name: Take([(number, folder / files[i]) for i, number in zip(video.members, video.numbers)], video.fps)
        for video in videos
    }
    for video in videos:  # files of a frame that is there already: they are left out when the recording is read
        found[video.name].frames += [(video.numbers[0], folder / files[i]) for i in video.again]
    rest: dict[str, Take] = {}
    for i in alone:  # few frames far apart, single ones, a frame once more
        if match := NUMBERED.fullmatch(names[i]):
            known = found if match["take"] in found else rest
            known.setdefault(match["take"], Take([])).frames.append((int(match["frame"]), folder / files[i]))
    for take in rest.values():
        take.frames.sort()
    few = {
        name: take
        for name, take in rest.items()
        if take.frames[-1][0] - take.frames[0][0] < _tracking.SPARSE * len(take.frames)
    }
    return found | few


def number(name: str) -> int:
    """The number of a frame in the name of its file, without ending; 0 where there is none."""
    match = NUMBERED.fullmatch(name)
    return int(match["frame"]) if match else 0


def head(path: Path) -> bytes:
    """What a file begins with; nothing where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""
