"""OpenPose keypoints: a folder of json files, one for each frame (or Kinetics-Skeleton: one for each clip).

OpenPose (Cao et al., TPAMI 2019) writes ``TAKE_000000000012_keypoints.json`` for frame 12: ``people``, each with
``pose_keypoints_2d`` (x, y, confidence for every joint; 0, 0, 0 where it was not found). The number of joints says the
layout: 25 ``body25``, 18 ``openpose18``; tools that write the same files for other detectors have COCO's 17, alone or
at the head of Halpe's 26 or COCO-WholeBody's 133. A folder is a recording; one that holds several takes gives a clip
for each, and takes that cannot be read are reported behind the others. A frame's file is also read alone.

* People are followed by ``person_id`` where everybody has one, else by position (:mod:`kineme.io._tracking`). Frames
  without a file have nobody.
* Coordinates stay as they are. Column ``coordinates``: ``px``, or ``0..1`` or ``-1..1`` where they were divided by an
  image size that the files do not tell (unit ``1``): then a body is as wide and as tall as its share of the image.
* ``pose_keypoints_3d`` (x, y, z, confidence), where there are any, go before 2-D; their unit is that of the
  calibration, which is not told either.
* Kinetics-Skeleton (Yan et al., AAAI 2018) is OpenPose's result in one file, with the label: ``data``, a list of
  ``frame_index`` and ``skeleton``, each of these with ``pose`` (36 numbers, 0..1) and ``score`` (18).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import Options, _tracking

suffixes = (".json",)
folder = True

WHAT = "OpenPose json: people, each with pose_keypoints_2d"
NAME = re.compile(r"(?P<take>.*?)[_. -]*(?P<frame>\d{1,18})_keypoints\.json", re.IGNORECASE)
NUMBERED = re.compile(r"(?P<take>.*?)[_. -]*(?P<frame>\d{1,18})\.json", re.IGNORECASE)  # by other tools
PEOPLE = re.compile(rb'"people"\s*:')
FLAT = ("pose_keypoints_2d", "pose_keypoints")  # the second before version 1.2
Frames = list[tuple[int, Path]]


def sniff(path: Path, head: bytes) -> bool:
    try:
        if path.is_dir():
            return bool(_takes(path))
    except OSError:
        return False
    if path.suffix.lower() != ".json":
        return False
    kinetics = b'"frame_index"' in head and b'"skeleton"' in head
    return kinetics or bool(NAME.fullmatch(path.name) or PEOPLE.search(head))


def side(path: Path, head: bytes) -> bool:
    """The list of labels that belongs to Kinetics-Skeleton; every clip has its own label as well."""
    return path.suffix.lower() == ".json" and b'"has_skeleton"' in head


def takes(path: Path) -> dict[str, list[Path]]:
    """The files of each take in a folder."""
    return {take: [file for _, file in frames] for take, frames in _takes(path).items()}


def read(path: Path, options: Options) -> Iterator[Motion]:
    """A motion ``[T, M, V, 2 or 3]`` for each take of a folder, M = most people at a time; or that of one file."""
    if not path.is_dir():
        data = _tracking.document(path, WHAT)
        known = NAME.fullmatch(path.name)
        if isinstance(data, dict) and "people" not in data and "data" in data:
            yield _kinetics(path, data)
        else:
            yield _motion(path, path.name, [(int(known["frame"]) if known else 0, path)], [data])
        return
    takes = _takes(path)
    if not takes:
        raise InputError(path, "a folder without files such as take_000000000000_keypoints.json", WHAT)
    faults = []
    for take, frames in takes.items():
        source = f"{path.name}#{take}" if len(takes) > 1 else path.name
        try:
            motion = _motion(path, source, frames, [_tracking.document(file, WHAT) for _, file in frames])
        except InputError as error:
            faults.append(error)
        else:
            yield motion.with_(extra={"recording": take, **motion.extra}) if take else motion
    for fault in faults[:1]:
        also = f" ({len(faults) - 1} more takes of this folder are at fault)" if len(faults) > 1 else ""
        raise InputError(fault.where, fault.found + also, fault.expected, fault.hint)


def _takes(path: Path) -> dict[str, Frames]:
    """The frames of each take in a folder, by number."""
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if entry.name[-5:].lower() == ".json" and entry.name[0] != ".")
    named = {name: match for name in names if (match := NAME.fullmatch(name))}
    known = {match["take"] for match in named.values()}
    for name in names:  # files of other names: by what they begin with
        match = None if name in named else NUMBERED.fullmatch(name)
        if match and match["take"] not in known and PEOPLE.search(_head(path / name)):
            named[name] = match
    takes = defaultdict(list)
    for name, match in named.items():
        takes[match["take"]].append((int(match["frame"]), path / name))
    return {take: sorted(frames) for take, frames in takes.items()}


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1024)
    except OSError:
        return b""


def _motion(path: Path, source: str, frames: Frames, content: Sequence[Any]) -> Motion:
    """The motion of one take."""
    if len({number for number, _ in frames}) < len(frames):
        raise InputError(path, "two files of one frame", "a number for each frame")
    persons = []  # frame number, file, what is said
    for (number, file), data in zip(frames, content):
        if not isinstance(data, dict) or "people" not in data:
            raise InputError(file, "JSON of another kind", WHAT)
        persons += [(number, file, person) for person in _tracking.items(file, data["people"], "people")]
    spatial = any(person.get("pose_keypoints_3d") for *_, person in persons)
    keys, width = (("pose_keypoints_3d",), 4) if spatial else (FLAT, 3)
    found = [
        (number, file, person, row)
        for number, file, person in persons
        if (row := next((person[key] for key in keys if key in person), None)) not in (None, [])
    ]
    if not found:
        raise InputError(path, f"nobody in any of {len(frames)} frames", "a person, at least once")
    shapes = {(count * width,) for count in _tracking.BODY}
    counts = " or ".join(f"{width} x {count}" for count in _tracking.BODY)
    rows = _tracking.table(
        [file for _, file, *_ in found], [row for *_, row in found], shapes, f"{keys[0]} of {counts} numbers"
    )
    name, joints = _tracking.BODY[rows.shape[1] // width]
    points = rows.reshape(len(rows), -1, width)[:, :joints]
    place, seen, extra = _tracking.clip(
        path,
        [number for number, _ in frames],
        [number for number, *_ in found],
        points,
        [_id(person) for _, _, person, _ in found],
    )
    unit, coordinates = ("1", None) if spatial else _tracking.unit(points)
    return Motion(
        place,
        layout.layout(name),
        seen,
        up=None if spatial else "-y",
        unit=unit,
        source=source,
        extra=extra if spatial else extra | {"coordinates": coordinates},
    )


def _id(person: Mapping[str, Any]) -> int | None:
    """Who a person is, if OpenPose tracked them: ``person_id`` is [7] or 7, and [-1] where it did not."""
    given = person.get("person_id")
    given = given[0] if isinstance(given, list) and len(given) == 1 else given
    return given if type(given) is int and given >= 0 else None


def _kinetics(path: Path, data: Mapping[str, Any]) -> Motion:
    """A clip of Kinetics-Skeleton."""
    frames = _tracking.items(path, data["data"], "data")
    numbers, found = [], []
    for k, frame in enumerate(frames):
        place = f"{path}, entry {k}"
        numbers.append(_tracking.whole(place, "frame_index", frame.get("frame_index")))
        found += [(place, numbers[-1], person) for person in _tracking.items(place, frame.get("skeleton"), "skeleton")]
    if len(set(numbers)) < len(numbers):
        raise InputError(path, "a frame_index twice", "one entry for each frame")
    if not found:
        raise InputError(path, f"nobody in any of {len(frames)} frames", "a person, at least once")
    places = [place for place, *_ in found]
    poses = _tracking.table(places, [person.get("pose") for *_, person in found], {(36,)}, "pose: 18 x 2 numbers")
    scores = _tracking.table(places, [person.get("score") for *_, person in found], {(18,)}, "score: 18 numbers")
    points = _tracking.stated(np.concatenate([poses.reshape(-1, 18, 2), scores[..., None]], axis=-1))
    joints, seen, extra = _tracking.clip(path, numbers, [number for _, number, _ in found], points)
    unit, extra["coordinates"] = _tracking.unit(points)
    label, index = data.get("label"), data.get("label_index")
    if not isinstance(label, (str, type(None))):
        raise InputError(path, f"label {str(label)[:40]!r}", "text")
    extra["label_index"] = index if type(index) is int and abs(index) < 10**9 else None
    return Motion(
        joints, layout.layout("openpose18"), seen, up="-y", unit=unit, label=label, source=path.name, extra=extra
    )
