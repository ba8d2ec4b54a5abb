"""CMU Panoptic bodies in space: a folder of json files, one for each frame (body3DScene_00000168.json).

Panoptic Studio (Joo et al., ICCV 2015) writes ``bodies``, each with ``id`` and ``joints19``: x, y, z and a score of
every joint, in centimetres, y downwards; a score below 0 says that the joint was not found. ``fpsType`` tells the rate.
A folder is a recording; one that holds several takes gives a clip for each. A frame's file is also read alone.
People are followed by their id; a file that cannot be read costs its frame.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..motion import layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import Options, _detections, _frame_files, _frame_names, _tracking

suffixes = (".json",)
folder = True

WHAT = "CMU Panoptic json: bodies, each with joints19"
MARKS = re.compile(rb'"(univTime|fpsType)"|"bodies"\s*:\s*\[\s*\{\s*"id"|"joints19"')
RATE = re.compile(r"_(\d+)(?:_(\d+))?$")  # hd_29_97, vga_25
JOINTS, VALUES = 19, 4
BROKEN = "frame files that cannot be read, taken as frames with nobody in them"


def sniff(path: Path, head: bytes) -> bool:
    try:
        if path.is_dir():
            return bool(_takes(path))
    except OSError:
        return False
    return path.suffix.lower() == ".json" and (bool(MARKS.search(head)) or path.name.startswith("body3DScene"))


def takes(path: Path) -> dict[str, list[Path]]:
    """The files of each take in a folder."""
    return {name: [file for _, file in take.frames] for name, take in _takes(path).items()}


def read(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """A motion ``[T, M, 19, 3]`` in centimetres for each take of a folder, or that of one file."""
    if not path.is_dir():
        take = _frame_files.Take([(_frame_files.number(path.stem), path)])
        yield _motion(path, path.name, take, Counter({_frame_names.PHOTOGRAPHS: 1}))
        return
    found = _takes(path)
    if not found:
        raise InputError(path, "a folder without files such as body3DScene_00000168.json", WHAT)
    for name, take in found.items():
        source = f"{path.name}#{name}" if len(found) > 1 else path.name
        try:
            yield _motion(path, source, take, Counter()).with_(source=source)
        except InputError as error:
            yield InputError(source, error.found, error.expected, error.hint)


def _takes(path: Path) -> dict[str, _frame_files.Take]:
    return _frame_files.takes(path, ".json", lambda head: bool(MARKS.search(head)))


def _motion(path: Path, source: str, take: _frame_files.Take, notes: _detections.Notes) -> Motion:
    """The motion of one take."""
    people: list[tuple[int, Path, dict[str, Any]]] = []
    faults, rates = [], Counter[str]()
    once = dict(reversed(take.frames))
    notes[_frame_names.AGAIN] += len(take.frames) - len(once)
    for number, file in sorted(once.items()):
        try:
            data = _detections.document(file, WHAT)
            if not isinstance(data, dict) or "bodies" not in data:
                raise InputError(file, "JSON of another kind", WHAT)
            people += [(number, file, body) for _, body in _detections.some(file, data["bodies"], "bodies", notes)]
            rates[str(data.get("fpsType"))[:40]] += 1
        except InputError as error:
            faults.append(error)
    if 2 * len(faults) >= len(once):
        raise faults[0]
    notes[BROKEN] += len(faults)
    if not people:
        raise InputError(path, f"nobody in any of {len(once)} frames", "a person, at least once")
    rows, shapes = [body.get("joints19") for *_, body in people], {(JOINTS * VALUES,), (JOINTS, VALUES)}
    what = f"joints19 of {JOINTS} x {VALUES} numbers"
    table, kept = _detections.table([file for _, file, _ in people], rows, shapes, what, notes)
    points = _detections.gaps(table.reshape(-1, JOINTS, VALUES), notes)
    points[points[..., 3] < 0] = 0
    ids = [people[i][2].get("id") for i in kept]
    joints, seen, extra = _tracking.clip(
        path,
        list(once),
        [people[i][0] for i in kept],
        points,
        [one if type(one) is int and one >= 0 else None for one in ids],
        notes=notes,
    )
    fps = _rate(rates)
    return Motion(
        joints,
        layout.layout("panoptic19"),
        seen,
        fps=fps and fps / extra["frame_step"],
        up="-y",
        unit="cm",
        source=source,
        extra=extra,
        notes=notes,
    )


def _rate(said: Counter[str]) -> float | None:
    """Frames per second of what most files say (``hd_29_97``); None where it is nothing of the kind."""
    match = RATE.search(said.most_common(1)[0][0]) if said else None
    fps = float(f"{match[1][:6]}.{(match[2] or '0')[:6]}") if match else 0
    return fps if 0 < fps < 1000 else None
