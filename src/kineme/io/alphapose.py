"""AlphaPose results (json): one recording per file, people of every image with x, y, score of their joints.

AlphaPose (Fang et al., TPAMI 2022) writes ``alphapose-results.json``: a list of ``image_id`` (a file name),
``keypoints`` (x, y and score of 17, 26 or 136 joints), ``score``, ``box`` and ``idx``; or, for other programs
(``--format open`` and ``cmu``), an object with the people of every image under its name, in the order of OpenPose.
Images in which nobody was found are not in it.

**Frames.** Names that differ in one number are frames (:mod:`kineme.io._frame_names`), of several videos if they are
those of several. Plain numbers (``17.jpg``), which AlphaPose gives to the frames of a video, and time stamps are one
recording however many images lack: stamps that are no multiple of a step are put where they are nearest. Other names
are photographs, each a clip of one frame. Setting ``images`` says it (``video``, ``photos``).

**People** are followed by ``idx``, if it is different for those of an image (it is the number of the class in some
versions, and nested in lists in others), else by position.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import Options, _bodies, _detections, _frame_names, _tracking

suffixes = (".json",)
settings = {"images": ("video", "photos"), "keypoints": skeleton.layouts}

WHAT = "AlphaPose json: a list of image_id and keypoints, or the people of every image by its name"
LEFT_OUT = "entries that cannot be read, left out"
NO_IDS = "recordings whose idx tells nobody apart, people followed by position"
STAMPS = "recordings whose images are named by irregular times, put where they are nearest"
PARTS = ("people", "bodies")  # of the formats for other programs
JOINTS = ("pose_keypoints_2d", "joints")
YEARS = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])")  # a day in digits


@dataclass
class Clip:
    """The images of a recording in order, the numbers of the frames, and what is known of it."""

    name: str
    images: list[str]
    numbers: list[int]
    fps: float | None = None
    is_photograph: bool = False
    irregular: bool = False


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".json":
        return False
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"[":
        named = re.search(rb'"image_id"\s*:\s*"', head) and b'"keypoints"' in head
        return bool(named) and (b'"idx"' in head or b'"box"' in head or "alphapose" in path.name.lower())
    return start == b"{" and bool(re.search(rb'"version"\s*:\s*"AlphaPose', head))


def read(path: Path, options: Options) -> Iterator[Motion]:
    """A motion ``[T, M, V, 2]`` in pixels for each recording, ``[1, M, V, 2]`` for each photograph."""
    notes: _detections.Notes = Counter()
    places, images, rows, ids = _people(path, _detections.document(path, WHAT), notes)
    points, kept = _bodies.keypoints(places, rows, 3, "keypoints", options.table, notes)
    points = _detections.stated(_detections.gaps(points, notes))
    layout, points = _bodies.order(points, options.table, notes)
    images, ids = [images[i] for i in kept], [ids[i] for i in kept]
    if not _apart(images, ids):
        notes[NO_IDS] += any(one is not None for one in ids)
        ids = [None] * len(ids)
    of: dict[str, list[int]] = defaultdict(list)
    for row, image in enumerate(images):
        of[image].append(row)
    unit, coordinates = _detections.unit(points)
    seen = {image for image, members in of.items() if (points[members, :, 2] > 0).any()}
    clips = _clips(list(of), (options.table or {}).get("images"), notes)
    clips = [clip for clip in clips if seen.intersection(clip.images)]
    if not clips:
        raise InputError(path, f"nobody is seen in any of {len(of)} images", "a person, at least once")
    for clip in clips:
        own = [row for image in clip.images for row in of[image]]
        joints, confidence, extra = _tracking.clip(
            f"{path}, {clip.name}" if clip.name else path,
            clip.numbers,
            [number for image, number in zip(clip.images, clip.numbers) for _ in of[image]],
            points[own],
            [ids[row] for row in own],
            notes=notes,
        )
        extra |= {"image": clip.name} if clip.is_photograph else {"video": clip.name or None}
        notes[STAMPS] += clip.irregular
        if clip.is_photograph and (options.table or {}).get("images") != "photos":
            notes[_frame_names.PHOTOGRAPHS] += 1
        yield Motion(
            joints,
            layout,
            confidence,
            fps=clip.fps and clip.fps / extra["frame_step"],
            up="-y",
            unit=unit,
            source=f"{path.name}#{clip.name}" if len(clips) > 1 else path.name,
            extra={**extra, "coordinates": coordinates},
            notes=notes,
        )
        notes = Counter()


def _people(
    path: Path, data: Any, notes: _detections.Notes
) -> tuple[list[str], list[str], list[Any], list[float | None]]:
    """Of every person: a name for messages, the image, the keypoints, and ``idx``.

    Raises:
        InputError: JSON of another kind, nobody, or not more than half of the entries can be read.
    """
    found: list[tuple[str, str, Any, float | None]] = []
    if isinstance(data, list):
        count = len(data)
        for k, entry in enumerate(data):
            image = entry.get("image_id") if isinstance(entry, dict) else None
            if type(image) in (str, int):
                found.append((f"{path}, entry {k}", str(image), entry.get("keypoints"), _number(entry.get("idx"))))
    else:
        count = 0
        for image, entry in data.items():
            inside = next((entry[key] for key in PARTS if key in entry), None) if isinstance(entry, dict) else None
            count += len(inside) if isinstance(inside, list) and inside else 1
            for person in inside if isinstance(inside, list) else ():
                if isinstance(person, dict):
                    row = next((person[key] for key in JOINTS if key in person), None)
                    found.append((f"{path}, image {image[:80]}", image, row, _number(person.get("idx"))))
        count -= sum(isinstance(entry, dict) and [] in (entry.get(key) for key in PARTS) for entry in data.values())
    if not found and count == 0:
        raise InputError(path, f"nobody in any of {len(data)} images", "a person, at least once")
    if 2 * len(found) <= count:
        raise InputError(path, f"{count - len(found)} of {count} entries without image_id and keypoints", WHAT)
    notes[LEFT_OUT] += count - len(found)
    places, images, rows, ids = map(list, zip(*found))
    return places, images, rows, ids


def _number(value: Any) -> float | None:
    """A number, in however many lists by itself; None for everything else."""
    for _ in range(4):
        if not isinstance(value, list) or len(value) != 1:
            break
        value = value[0]
    number = _detections.number(value)
    return number if np.isfinite(number) else None


def _apart(images: Sequence[str], ids: Sequence[float | None]) -> bool:
    """Whether ids tell the people of an image apart, in most images that have several people with one."""
    of: dict[str, list[float]] = defaultdict(list)
    for image, one in zip(images, ids):
        if one is not None:
            of[image].append(one)
    several = [found for found in of.values() if len(found) > 1]
    if not several:
        alone = sum(len(found) for found in of.values())
        return bool(of) and 2 * alone > len(ids)
    return 2 * sum(len(set(found)) == len(found) for found in several) > len(several)


def _clips(names: list[str], wanted: str | None, notes: _detections.Notes) -> list[Clip]:
    """The recordings and photographs among images, in their order."""
    alone = [Clip(name, [name], [0], is_photograph=True) for name in names]
    if wanted == "photos":
        return alone
    videos, rest = _frame_names.videos(names)
    if rest and (one := _numbered(names) or _stamped(names)):
        return [one]
    clips = [Clip(v.name, [names[i] for i in v.members], v.numbers, v.fps) for v in videos]
    notes[_frame_names.AGAIN] += sum(len(video.again) for video in videos)
    if len(clips) == 1 and not rest:
        clips[0].name = ""
    if wanted == "video" and rest:
        ordered = sorted((names[i] for i in rest), key=_frame_names.natural)
        return [*clips, Clip("", ordered, list(range(len(ordered))))]
    return clips + [alone[i] for i in rest]


def _numbered(names: Sequence[str]) -> Clip | None:
    """Names that are a number without zeros in front and nothing else, as AlphaPose calls the frames of a video."""
    stems = [name.rpartition(".")[0] or name for name in names]
    if not all(stem.isdecimal() and len(stem) < 8 and str(int(stem)) == stem for stem in stems):
        return None
    numbers = {name: int(stem) for name, stem in zip(names, stems)}
    ordered = sorted(names, key=numbers.__getitem__)
    span = numbers[ordered[-1]] - numbers[ordered[0]]
    if len(set(numbers.values())) < len(names) or span >= _tracking.SPARSE * len(names):
        return None
    return Clip("", ordered, [numbers[name] for name in ordered])


def _stamped(names: Sequence[str]) -> Clip | None:
    """Names that are alike but for times, in order; None for others."""
    stems = [re.sub(r"\.[A-Za-z]\w*$", "", name) for name in names]
    words = [re.split(r"\d+", stem) for stem in stems]
    if len(names) < 3 or any(word != words[0] for word in words):
        return None
    digits = [re.findall(r"\d+", stem) for stem in stems]
    if not any(_is_time(text) for text in digits[0]):
        return None
    keys = {name: [int(text) for text in row] for name, row in zip(names, digits)}
    ordered = sorted(names, key=keys.__getitem__)
    varying = [c for c in range(len(digits[0])) if len({row[c] for row in digits}) > 1]
    at = [_seconds([digits[names.index(name)][c] for c in varying]) for name in ordered]
    steps = np.diff(at)
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    numbers = list(range(len(ordered)))
    if step and (steps > 0).all() and at[-1] - at[0] < _tracking.SPARSE * step * len(at) / 2:
        ahead = np.maximum(np.rint(steps / step), 1)  # each step by itself: a rounded one adds up to nothing
        numbers = [0, *np.cumsum(ahead).astype(int).tolist()]
    return Clip("", ordered, numbers, irregular=True)


def _is_time(digits: str) -> bool:
    """Seconds since 1970 (or thousandths, millionths, billionths of them), or a date in digits."""
    low, high = _frame_names.SECONDS
    epoch = len(digits) in (10, 13, 16, 19) and low <= int(digits[:10]) < high
    return epoch or (len(digits) in (8, 12, 14, 17) and bool(YEARS.match(digits)))


def _seconds(parts: Sequence[str]) -> float:
    """A rising number for a time in several numbers; those behind seconds since 1970 are decimals."""
    if len(parts) == 2 and len(parts[0]) == 10:
        return float(f"{parts[0]}.{parts[1]}")
    total = 0.0
    for part in parts:
        total = total * 10 ** len(part) + int(part)
    return total
