"""Toyota Smarthome poses (json): people found by LCR-Net, 13 joints, 3-D and 2-D.

Das et al., ICCV 2019. ``frames`` is a list of frames, each a list of people with ``pose3d`` (13 times x, then y, then
z) and ``pose2d`` (x, then y). The joints are LCR-Net's (Rogez et al., TPAMI 2019) in its order and come as ``penn13``,
which has the same ones; files of its 17 joints give a free layout. Poses in space are read; those in the image where
there are no others, or with the normalisation ``image``. Unit and up axis of the former, which the file does not tell,
are those that bodies of such a size and posture have, and are noted. Names such as ``Cook.Cut_p03_r01_v07_c02`` give
label, subject, repetition and camera. The videos have 20 frames per second.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import Options, _bodies, _detections, _tracking

suffixes = (".json",)
datasets = ("smarthome",)

WHAT = "Toyota Smarthome json: frames, each a list of people with pose3d or pose2d"
MARKS = re.compile(rb'"njts"|"pose[23]d"')
NAME = re.compile(r"(?P<label>[A-Za-z]+(?:\.[A-Za-z]+)?)_p(?P<subject>\d+)_r(?P<repetition>\d+)_v\d+_c(?P<camera>\d+)")
FPS = 20.0
JOINTS = [
    f"{side}_{joint}" for joint in ("ankle", "knee", "hip", "wrist", "elbow", "shoulder") for side in ("right", "left")
]  # in LCR-Net's order, then the head
MORE = ("head", "pelvis", "spine", "chest", "neck")
PARENTS = {  # of the 17
    "head": "neck",
    "neck": "chest",
    "chest": "spine",
    "spine": "pelvis",
    "ankle": "knee",
    "knee": "hip",
    "hip": "pelvis",
    "wrist": "elbow",
    "elbow": "shoulder",
    "shoulder": "chest",
}


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".json" or head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        return False
    return b'"frames"' in head and bool(MARKS.search(head))


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, M, 13, 3]``, or ``[T, M, 13, 2]`` of poses in the image."""
    data = _detections.document(path, WHAT)
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, list) or not frames:
        raise InputError(path, "no list of frames", WHAT)
    notes: _detections.Notes = Counter()
    people = [
        (k, f"{path}, frame {k}", person)
        for k, frame in enumerate(frames)
        for _, person in _people(f"{path}, frame {k}", frame, notes)
    ]
    keys = [key for key in ("pose3d", "pose2d") if any(person.get(key) for *_, person in people)]
    if not keys:
        raise InputError(path, f"nobody in any of {len(frames)} frames", "a person, at least once")
    key = keys[-1 if options.image else 0]
    found = [(k, place, person[key]) for k, place, person in people if person.get(key)]
    coords = 3 if key == "pose3d" else 2
    shapes = {(count * coords,) for count in (13, 17)}
    rows = [row for *_, row in found]
    table, kept = _detections.table(
        [place for _, place, _ in found], rows, shapes, f"{key} of 13 x {coords} numbers", notes
    )
    points = table.reshape(len(table), coords, -1).swapaxes(1, 2)
    points = np.concatenate([points, np.ones((*points.shape[:2], 1), np.float32)], axis=-1)
    layout, order = _layout(points.shape[1])
    points = _detections.gaps(points[:, order], notes)
    joints, seen, extra = _tracking.clip(path, np.arange(len(frames)), [found[i][0] for i in kept], points, notes=notes)
    up: str | None = "-y"
    if coords == 3:
        unit, up = _bodies.in_space(points, layout, options, notes)
    else:
        unit, extra["coordinates"] = _detections.unit(points)
    known = NAME.match(path.name)
    said = known.groupdict() if known else {}
    if known:
        extra |= {"dataset": datasets[0], "repetition": int(said["repetition"])}
    yield Motion(
        joints,
        layout,
        seen,
        fps=FPS,
        up=up,
        unit=unit,
        label=said.get("label"),
        subject=int(said["subject"]) if known else None,
        camera=int(said["camera"]) if known else None,
        source=path.name,
        extra=extra,
        notes=notes,
    )


def _people(place: str, frame: Any, notes: _detections.Notes) -> list[tuple[int, dict[str, Any]]]:
    """The people of a frame; a frame that is something else has nobody, and is counted."""
    try:
        return _detections.some(place, frame, "people", notes)
    except InputError:
        notes["frames that are no list of people, taken as frames with nobody in them"] += 1
        return []


def _layout(count: int) -> tuple[skeleton.Layout, list[int]]:
    """The layout of LCR-Net's joints, and where each of its joints stands in the file."""
    names = [*JOINTS, *MORE[: count - len(JOINTS)]]
    known = skeleton.reordered(names)
    if known is not None:
        return known
    parents = []
    for name in names:
        side, _, base = name.rpartition("_")
        parent = PARENTS.get(base, "")
        parents.append(names.index(f"{side}_{parent}" if f"{side}_{parent}" in names else parent) if parent else -1)
    return skeleton.free(names, parents), list(range(count))
