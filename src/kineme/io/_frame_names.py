"""Which images are frames of one video, by their names: names that differ in one number only.

The number may stand anywhere (``0001_rgb.png``, ``frame1_left.jpg``), be padded with zeros or not, be a time stamp
(``1305031102.175304``), and a code that is another one for every image may stand beside it
(``clip_mp4-0001_jpg.rf.<code>.jpg``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")
CODE = re.compile(
    r"rf[._-][0-9A-Za-z]{8,}|(?<![0-9A-Za-z])(?=[0-9]*[a-fA-F])(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}(?![0-9A-Za-z])"
)
FRAME = ("frame", "frm", "fr", "f", "img", "image", "im")  # what stands before the number of a frame
OTHER = (
    "cam",
    "camera",
    "c",
    "view",
    "v",
    "take",
    "clip",
    "video",
    "vid",
    "scene",
    "shot",
    "person",
    "subject",
    "track",
)
PHOTOGRAPHS = "images taken as photographs, each a clip of one frame"
AGAIN = "images with the number of another frame, left out"
SPARSE = 20  # numbers for each image from which on images are no video
REGULAR = 8  # images whose numbers, though sparse, ascend regularly: times
SECONDS = (9 * 10**8, 5 * 10**9)  # a time since 1970, in seconds


@dataclass(frozen=True)
class Video:
    """A video: its name, which of the names are its frames, in order, their numbers, the rate, if they tell it, and
    which have the number of an earlier one.
    """

    name: str
    members: list[int]
    numbers: list[int]
    fps: float | None = None
    again: tuple[int, ...] = ()


def videos(names: Sequence[str], sparse: int = SPARSE) -> tuple[list[Video], list[int]]:
    """The videos among names of images (with folders), and the names that belong to none.

    Args:
        sparse: numbers for each image from which on images are no video.

    Examples:
        >>> videos(["a/2_left.jpg", "a/10_left.jpg", "a/1_left.jpg", "anna.jpg"])
        ([Video(name='a/left', members=[2, 0, 1], numbers=[1, 2, 10], fps=None, again=())], [3])
    """
    parts = [_parts(name) for name in names]
    found: list[Video] = []
    alone = []
    for members in _groups((folder, *re.split(r"\d+", stem)) for folder, stem, _ in parts):
        found += _videos(members, parts, sparse) if len(members) > 1 else []
        alone += members if len(members) == 1 else []
    plain = [(parts[i][0], CODE.sub("", parts[i][1]), parts[i][2]) for i in alone]  # without what differs by chance
    for places in _groups((folder, *re.split(r"\d+", stem)) for folder, stem, _ in plain):
        if len(places) > 1 and all(plain[i][1] != parts[alone[i]][1] for i in places):
            found += [
                replace(video, members=[alone[i] for i in video.members], again=tuple(alone[i] for i in video.again))
                for video in _videos(places, plain, sparse)
            ]
    taken = {i for video in found for i in (*video.members, *video.again)}
    return sorted(found, key=lambda video: min(video.members)), [i for i in range(len(names)) if i not in taken]


def natural(name: str) -> tuple[list[str], list[int]]:
    """What puts names into the order that people expect: text as text, numbers as numbers."""
    words = re.split(r"(\d+)", name)
    return words[::2], [int(word) for word in words[1::2]]


def folder(name: str) -> str:
    """The folder of a name, as text; empty for none."""
    return _parts(name)[0]


def _parts(name: str) -> tuple[str, str, str]:
    """Folder, name without ending, ending."""
    where = PurePosixPath(name.replace("\\", "/"))
    above = "" if str(where.parent) == "." else str(where.parent)
    ending = where.suffix if ENDING.fullmatch(where.suffix) else ""
    return above, where.name.removesuffix(ending), ending.lower()


def _groups(keys: Iterable[object]) -> list[list[int]]:
    groups = defaultdict(list)
    for i, key in enumerate(keys):
        groups[key].append(i)
    return list(groups.values())


def _videos(members: list[int], parts: Sequence[tuple[str, str, str]], sparse: int) -> list[Video]:
    """The videos among names that are alike but for their numbers."""
    words = [re.split(r"(\d+)", parts[i][1]) for i in members]
    digits = [word[1::2] for word in words]
    count = len(digits[0])
    if not count:
        return []
    values = [[int(text) for text in row] for row in digits]
    varying = [c for c in range(count) if len({row[c] for row in values}) > 1] or [count - 1]
    before = varying[0] - 1
    if before >= 0 and words[0][2 * varying[0]] == "." and SECONDS[0] <= values[0][before] < SECONDS[1]:
        varying = [before, *varying]  # all within one second
    if len(varying) > 1 and (clock := _clock(members, words, digits, values, varying, parts[members[0]][0])):
        return [clock]
    column = max(varying, key=lambda c: _is_frame(words[0][2 * c], [row[c] for row in digits], c))
    found = []
    for rows in _groups((*row[:column], *row[column + 1 :]) for row in values):
        split = [rows]
        if len({values[r][column] for r in rows}) < len(rows):  # two endings side by side: two videos
            split = [[rows[k] for k in group] for group in _groups(parts[members[r]][2] for r in rows)]
        for group in split:
            first = {values[r][column]: r for r in reversed(group)}
            at = sorted(first)
            timed = _numbers(at, len(digits[group[0]][column]), sparse) if len(at) > 1 else None
            if timed is None:
                continue
            word = words[group[0]]
            name = _name(parts[members[0]][0], "".join(word[: 2 * column + 1]), "".join(word[2 * column + 2 :]))
            again = tuple(members[r] for r in group if first[values[r][column]] != r)
            found.append(Video(name, [members[first[value]] for value in at], *timed, again))
    return found


def _is_frame(before: str, texts: list[str], place: int) -> tuple[bool, bool, bool, int]:
    """How much a number of names looks like that of a frame: by the word before it, zeros in front, and its place."""
    word = re.split(r"[^a-z]", before.lower().rstrip("_. -"))[-1]
    return word in FRAME, word not in OTHER, any(text[0] == "0" and len(text) > 1 for text in texts), place


def _name(above: str, before: str, behind: str) -> str:
    """What remains of a name without the number."""
    rest = "_".join(part for part in (before.rstrip("_. -"), behind.strip("_. -")) if part)
    return "/".join(part for part in (above, rest) if part)


def _numbers(values: list[int], digits: int, sparse: int) -> tuple[list[int], float | None] | None:
    """Numbers of frames and the rate for ascending numbers in names; None if they are none of a video's."""
    scale = next((k for k in (0, 3, 6, 9) if SECONDS[0] <= values[0] // 10**k < SECONDS[1]), None)
    if scale is not None and digits == 10 + scale and values[-1] - values[0] >= len(values):
        timed = times([value - values[0] for value in values], 10**scale)
        if timed is not None:
            return timed
    steps = np.diff(np.array(values, object))
    common = int(np.gcd.reduce(steps)) if len(values) > 3 else 1  # every k-th frame
    span = values[-1] - values[0]
    if span < sparse * len(values) or (common > 1 and span // common < 2 * len(values)):
        return values, None
    return times([value - values[0] for value in values], None)


def times(values: Sequence[float], second: float | None) -> tuple[list[int], float | None] | None:
    """Numbers of frames, and the rate, for ascending times from 0; None unless most frames follow each other regularly.

    Args:
        second: how long a second is in their unit, None if that is not known.
    """
    if len(values) < (3 if second else REGULAR):
        return None
    at = np.array(values, np.float64)
    steps = np.diff(at)
    middle = float(np.median(steps))
    near = (steps >= middle / 2) & (steps <= 2 * middle)
    if not middle or steps.max() >= SPARSE * middle or near.mean() < 0.8:
        return None
    ahead = np.rint(steps / middle).astype(np.int64)  # each step by itself: a rounded one adds up to nothing
    numbers = np.concatenate([[0], np.cumsum(ahead)]) if ahead.min() > 0 else np.arange(len(values))
    fps = second * float(numbers[-1] / at[-1]) if second else None
    return numbers.tolist(), fps if fps and 0.1 <= fps <= 1000 else None


def _clock(
    members: list[int],
    words: list[list[str]],
    digits: list[list[str]],
    values: list[list[int]],
    varying: list[int],
    above: str,
) -> Video | None:
    """Names with a time in several numbers: seconds and their decimals, before them perhaps minutes and hours."""
    last = varying[-1]
    first = varying[0]
    widths = {len(row[last]) for row in digits}
    if varying != list(range(first, last + 1)) or last - first > 3 or len(widths) > 1:
        return None
    width = widths.pop()
    decimals = width in (3, 6, 9) or (width > 2 and words[0][2 * last] == ".")
    if not decimals and not (width == 2 and all(row[last] < 60 for row in values)):
        return None
    parts = list(range(first, last if decimals else last + 1))
    if any(row[c] >= 60 for row in values for c in parts[1:]):
        return None
    if len(parts) == 1 and decimals and words[0][2 * last] != ".":
        seconds = SECONDS[0] <= values[0][first] < SECONDS[1] or all(len(row[first]) == 2 for row in digits)
        if not seconds:
            return None
    second = 10**width if decimals else 1
    stamps = []
    for row in values:
        time = 0
        for c in parts:
            time = 60 * time + row[c]
        stamps.append(time * second + (row[last] if decimals else 0))
    order = sorted(range(len(members)), key=stamps.__getitem__)
    timed = times([stamps[i] - stamps[order[0]] for i in order], second)
    if timed is None or len(set(stamps)) < len(stamps):
        return None
    name = _name(above, "".join(words[0][: 2 * first + 1]), "".join(words[0][2 * last + 2 :]))
    return Video(name, [members[i] for i in order], *timed)
