"""YOLO-pose results: a folder of label files, one for each frame (``save_txt``), or json (``to_json``).

Ultralytics writes ``VIDEO_12.txt`` for frame 12: a line for each person with its class, the box (x, y, width, height),
x, y (and confidence) of every joint, then perhaps the confidence of the box and the number of the track
(``save_conf``, ``track``), all as shares of the image. A folder is a recording; one that holds several gives a clip for
each. A frame's file is also read alone. Frames without a file have nobody; a file that cannot be read costs its frame.

The json of a frame is a list of people, each with ``keypoints`` of ``x``, ``y`` and ``visible`` in pixels, ``box`` and
perhaps ``track_id``; a list of such lists is a recording.

The number of joints tells the layout (17 ``coco17``), setting ``keypoints`` names another. People are followed by the
number of their track, else by position. Coordinates of the label files are ``0..1`` of an image whose size they do not
tell.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _bodies, _detections, _frame_files, _frame_names, _text, _tracking

suffixes = (".txt", ".json")
settings = {"keypoints": skeleton.layouts}
folder = True

WHAT = "YOLO-pose results: class, box, and x, y, confidence of every joint on a line for each person"
LINE = re.compile(rb"\d{1,4}( (0(\.\d+)?|1(\.0*)?|\d\.\d+e-\d+)){4}( [-+.e\d]+){20,}")
BOX = 5  # class, and the box
BROKEN = "frame files that cannot be read, taken as frames with nobody in them"
Person = tuple[int, str, Any, Any]  # frame, place, row of x, y and confidence, track


def sniff(path: Path, head: bytes) -> bool:
    try:
        if path.is_dir():
            return bool(_takes(path))
    except OSError:
        return False
    if path.suffix.lower() == ".txt":
        return _is_line(head)
    return path.suffix.lower() == ".json" and b'"keypoints"' in head and bool(re.search(rb'"visible"\s*:', head))


def takes(path: Path) -> dict[str, list[Path]]:
    """The files of each take in a folder."""
    return {name: [file for _, file in take.frames] for name, take in _takes(path).items()}


def read(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """A motion ``[T, M, V, 2]`` for each take of a folder, M = most people at a time; or that of one file."""
    if not path.is_dir():
        notes: _detections.Notes = Counter()
        if path.suffix.lower() == ".json":
            numbers, people = _from_json(path, notes)
        else:
            notes[_frame_names.PHOTOGRAPHS] += 1
            numbers = [_frame_files.number(path.stem)]
            people = _lines(path, numbers[0], _asked(options), notes)
        yield _motion(path, path.name, numbers, people, None, options, notes)
        return
    found = _takes(path)
    if not found:
        raise InputError(path, "a folder without label files of poses", WHAT)
    for name, take in found.items():
        source = f"{path.name}#{name}" if len(found) > 1 else path.name
        try:
            motion = _take(path, source, take, options)
        except InputError as error:
            yield InputError(source, error.found, error.expected, error.hint)
        else:
            yield motion.with_(extra={"recording": name, **motion.extra}) if name else motion


def _takes(path: Path) -> dict[str, _frame_files.Take]:
    return _frame_files.takes(path, ".txt", _is_line)


def _is_line(head: bytes) -> bool:
    """Whether a file begins with a line of a pose, as far as it is there."""
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].strip()
    return bool(LINE.match(first.rpartition(b" ")[0] if len(first) > _frame_files.HEAD - 40 else first))


def _asked(options: Options) -> int | None:
    name = (options.table or {}).get("keypoints")
    return None if name is None else len(skeleton.layout(name))


def _take(path: Path, source: str, take: _frame_files.Take, options: Options) -> Motion:
    """The motion of the label files of one recording."""
    notes: _detections.Notes = Counter()
    once = dict(reversed(take.frames))
    notes[_frame_names.AGAIN] += len(take.frames) - len(once)
    people: list[Person] = []
    faults = []
    for number, file in sorted(once.items()):
        try:
            people += _lines(file, number, _asked(options), notes)
        except InputError as error:
            faults.append(error)
    if 2 * len(faults) >= len(once):
        raise faults[0]
    notes[BROKEN] += len(faults)
    return _motion(path, source, list(once), people, take.fps, options, notes)


def _lines(file: Path, number: int, asked: int | None, notes: _detections.Notes) -> list[Person]:
    """The people of a label file."""
    found: list[Person] = []
    lines = [line for line in _text.load(file, WHAT).splitlines() if line.strip()]
    faults = []
    for k, line in enumerate(lines):
        place = f"{file}, line {k + 1}"
        try:
            row, track = _person(place, line, asked)
        except InputError as error:
            faults.append(error)
        else:
            found.append((number, place, row, track))
    if faults and 2 * len(faults) >= len(lines):
        raise faults[0]
    notes["lines that are no pose, left out"] += len(faults)
    return found


def _person(place: str, line: bytes, asked: int | None) -> tuple[list[float], int | None]:
    """x, y and confidence of the joints, and the track, of one line."""
    values = [_detections.number(word.decode("latin-1")) for word in line.split()[: 3 * MAX_JOINTS + BOX + 3]]
    counts = [count for count in _bodies.ORDERS if count != 18] if asked is None else [asked]
    for width in (3, 2):
        for count in counts:
            more = len(values) - BOX - width * count
            if 0 <= more <= 2:
                row = values[BOX : BOX + width * count]
                if width == 2:
                    row = [value for k in range(count) for value in (row[2 * k], row[2 * k + 1], 1.0)]
                    row = [value if any(row[k // 3 * 3 : k // 3 * 3 + 2]) else 0.0 for k, value in enumerate(row)]
                last = values[-1] if more else 0.0
                return row, int(last) if last >= 1 and float(last).is_integer() and last < 2**31 else None
    known = " or ".join(map(str, counts))
    raise InputError(place, f"{len(values)} numbers", f"class, box and {known} joints of 2 or 3 numbers")


def _from_json(path: Path, notes: _detections.Notes) -> tuple[list[int], list[Person]]:
    """The frames and people of a json file."""
    data = _detections.document(path, WHAT)
    frames = data if isinstance(data, list) and all(isinstance(frame, (list, str)) for frame in data) else [data]
    if len(frames) == 1:
        notes[_frame_names.PHOTOGRAPHS] += 1
    people: list[Person] = []
    faults = []
    for k, frame in enumerate(frames):
        place = f"{path}, frame {k}"
        try:
            inside = json.loads(frame) if isinstance(frame, str) else frame  # as to_json gives it
        except (ValueError, RecursionError):
            inside = None
        try:
            for _, person in _detections.some(place, inside, "people", notes):
                people.append((k, place, _keypoints(person.get("keypoints")), person.get("track_id")))
        except InputError as error:
            faults.append(error)
    if 2 * len(faults) >= len(frames):
        raise faults[0]
    notes["frames that are no list of people, taken as frames with nobody in them"] += len(faults)
    return list(range(len(frames))), people


def _keypoints(said: Any) -> Any:
    """Rows of x, y and confidence of lists of each."""
    if not isinstance(said, dict):
        return None
    x, y, seen = said.get("x"), said.get("y"), said.get("visible")
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        return None
    seen = seen if isinstance(seen, list) and len(seen) == len(x) else [1.0] * len(x)
    return [list(point) for point in zip(x, y, seen)]


def _motion(
    path: Path,
    source: str,
    numbers: Sequence[int],
    people: list[Person],
    fps: float | None,
    options: Options,
    notes: _detections.Notes,
) -> Motion:
    if not people:
        raise InputError(path, f"nobody in any of {len(numbers)} frames", "a person, at least once")
    places = [place for _, place, *_ in people]
    points, kept = _bodies.keypoints(places, [row for *_, row, _ in people], 3, "keypoints", options.table, notes)
    points = _detections.stated(_detections.gaps(points, notes))
    points[~points[..., :2].any(-1)] = 0
    layout, points = _bodies.order(points, options.table, notes)
    ids = [people[i][3] for i in kept]
    joints, seen, extra = _tracking.clip(
        path,
        np.asarray(numbers),
        [people[i][0] for i in kept],
        points,
        [one if type(one) is int else None for one in ids],
        notes=notes,
    )
    unit, extra["coordinates"] = _detections.unit(points)
    fps = fps and fps / extra["frame_step"]
    return Motion(joints, layout, seen, fps=fps, up="-y", unit=unit, source=source, extra=extra, notes=notes)
