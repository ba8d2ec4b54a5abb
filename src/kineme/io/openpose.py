"""OpenPose keypoints: a folder of json files, one for each frame (or Kinetics-Skeleton: one for each clip).

OpenPose (Cao et al., TPAMI 2019) writes ``TAKE_000000000012_keypoints.json`` for frame 12: ``people``, each with
``pose_keypoints_2d`` (x, y, confidence for every joint; 0, 0, 0 where it was not found). The number of joints says the
layout: 25 ``body25``, 18 ``openpose18``; tools that write the same files for other detectors have COCO's 17,
Halpe's 26 or 136, or COCO-WholeBody's 133. A folder is a recording; one that holds several takes gives a clip
for each, and takes that cannot be read are reported behind the others. A frame's file is also read alone.

The number may stand anywhere in the name, or be a time stamp (:mod:`kineme.io._frame_names`). Of 25, 18 and 17
keypoints the places of the joints tell which of the known orders they come in (``body25b``, for one), and
setting ``keypoints`` names it. A file that cannot be read costs its frame, a joint that is NaN itself.

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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from ..utils.files import write_json
from . import Options, _bodies, _detections, _frame_names, _tracking
from ._frame_files import Take, by_name, head

suffixes = (".json",)
settings = {"keypoints": layout.layouts}
folder = True

WHAT = "OpenPose json: people, each with pose_keypoints_2d"
NAME = re.compile(r"(?P<take>.*?)[_. -]*(?P<frame>\d{1,18})_keypoints\.json", re.IGNORECASE)
ENDING = "_keypoints.json"
LAYOUTS = ("body25", "body25b", "openpose18", "coco17", "halpe26", "halpe136", "coco_wholebody133")  # to be written
PEOPLE = re.compile(rb'"people"\s*:')
FLAT = ("pose_keypoints_2d", "pose_keypoints")  # the second before version 1.2
BROKEN = "frame files that cannot be read, taken as frames with nobody in them"


def sniff(path: Path, head: bytes) -> bool:
    try:
        if path.is_dir():
            return bool(_takes(path))
    except OSError:
        return False
    if path.suffix.lower() != ".json":
        return False
    kinetics = b'"frame_index"' in head and b'"skeleton"' in head
    return kinetics or path.name.lower().endswith(ENDING) or bool(PEOPLE.search(head))


def side(path: Path, head: bytes) -> bool:
    """The list of labels that belongs to Kinetics-Skeleton; every clip has its own label as well."""
    return path.suffix.lower() == ".json" and b'"has_skeleton"' in head


def takes(path: Path) -> dict[str, list[Path]]:
    """The files of each take in a folder."""
    return {name: [file for _, file in take.frames] for name, take in _takes(path).items()}


def read(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """A motion ``[T, M, V, 2 or 3]`` for each take of a folder, M = most people at a time; or that of one file."""
    if not path.is_dir():
        data = _detections.document(path, WHAT)
        known = NAME.fullmatch(path.name)
        if isinstance(data, dict) and "people" not in data and "data" in data:
            yield _kinetics(path, data, options)
        else:
            notes = Counter({_frame_names.PHOTOGRAPHS: 1})
            yield _motion(path, path.name, Take([(int(known["frame"]) if known else 0, path)]), options, notes)
        return
    takes = _takes(path)
    if not takes:
        raise InputError(path, "a folder without files such as take_000000000000_keypoints.json", WHAT)
    for name, take in takes.items():
        source = f"{path.name}#{name}" if len(takes) > 1 else path.name
        try:
            motion = _motion(path, source, take, options, Counter())
        except InputError as error:
            file = "" if str(error.where) == str(path) else f"{Path(str(error.where)).name}: "
            yield InputError(source, file + error.found, error.expected, error.hint)
        else:
            yield motion.with_(extra={"recording": name, **motion.extra}) if name else motion


def _takes(path: Path) -> dict[str, Take]:
    """The takes in a folder: files whose names differ in the number of the frame, in its order."""
    with os.scandir(path) as entries:
        files = sorted(entry.name for entry in entries if entry.name[-5:].lower() == ".json" and entry.name[0] != ".")
    named = [name for name in files if name.lower().endswith(ENDING)]
    takes = by_name(path, named, [name[: -len(ENDING)] for name in named])
    others = [name for name in files if not name.lower().endswith(ENDING) and any(map(str.isdigit, name))]
    others = [name for name in others if PEOPLE.search(head(path / name))]  # by other tools: by what they begin with
    for name, take in by_name(path, others, [name[:-5] for name in others]).items():
        takes.setdefault(name, take)
    return takes


def _motion(path: Path, source: str, take: Take, options: Options, notes: _detections.Notes) -> Motion:
    """The motion of one take."""
    persons = []  # frame number, file, what is said
    faults = []
    once = dict(reversed(take.frames))
    notes[_frame_names.AGAIN] += len(take.frames) - len(once)
    for number, file in sorted(once.items()):
        try:
            data = _detections.document(file, WHAT)
            if not isinstance(data, dict) or "people" not in data:
                shown = f", with {', '.join(data)[:200]}" if isinstance(data, dict) else ""
                raise InputError(file, f"JSON of another kind{shown}", WHAT)
            people = _detections.some(file, data["people"], "people", notes)
        except InputError as error:
            faults.append(error)
        else:
            persons += [(number, file, person) for _, person in people]
    if 2 * len(faults) >= len(once):
        raise faults[0]
    notes[BROKEN] += len(faults)
    spatial = any(person.get("pose_keypoints_3d") for *_, person in persons)
    keys, width = (("pose_keypoints_3d",), 4) if spatial else (FLAT, 3)
    found = [
        (number, file, person, row)
        for number, file, person in persons
        if (row := next((person[key] for key in keys if key in person), None)) not in (None, [])
    ]
    if not found:
        raise InputError(path, f"nobody in any of {len(once)} frames", "a person, at least once")
    files, rows = [file for _, file, *_ in found], [row for *_, row in found]
    points, kept = _bodies.keypoints(files, rows, width, keys[0], options.table, notes)
    found = [found[i] for i in kept]
    points = _detections.gaps(points, notes)
    joints, points = _bodies.order(points, options.table, notes)
    ids = [_id(person) for _, _, person, _ in found]
    place, seen, extra = _tracking.clip(path, list(once), [number for number, *_ in found], points, ids, notes=notes)
    if spatial:
        unit, up = _bodies.in_space(points, joints, options, notes)
    else:
        up = "-y"
        unit, extra["coordinates"] = _detections.unit(points)
    fps = take.fps and take.fps / extra["frame_step"]
    return Motion(place, joints, seen, fps=fps, up=up, unit=unit, source=source, extra=extra, notes=notes)


def _id(person: Mapping[str, Any]) -> int | None:
    """Who a person is, if OpenPose tracked them: ``person_id`` is [7] or 7, and [-1] where it did not."""
    given = person.get("person_id")
    given = given[0] if isinstance(given, list) and len(given) == 1 else given
    return given if type(given) is int and given >= 0 else None


def _kinetics(path: Path, data: Mapping[str, Any], options: Options) -> Motion:
    """A clip of Kinetics-Skeleton."""
    notes: _detections.Notes = Counter()
    frames = _detections.some(path, data["data"], "frames", notes)
    places = [f"{path}, entry {k}" for k, _ in frames]
    numbers = _detections.numbering(places, "frame_index", [frame.get("frame_index") for _, frame in frames], notes)
    found = [
        (place, number, person)
        for place, number, (_, frame) in zip(places, numbers, frames)
        if number is not None and frame.get("skeleton")
        for _, person in _detections.some(place, frame["skeleton"], "people", notes)
    ]
    if not found:
        raise InputError(path, f"nobody in any of {len(frames)} frames", "a person, at least once")
    rows = [
        [*pose, *score] if isinstance(pose, list) and isinstance(score, list) and len(score) == 18 else None
        for pose, score in ((person.get("pose"), person.get("score")) for *_, person in found)
    ]
    what = "pose: 18 x 2 numbers, score: 18 numbers"
    table, kept = _detections.table([place for place, *_ in found], rows, {(54,)}, what, notes)
    points = np.concatenate([table[:, :36].reshape(-1, 18, 2), table[:, 36:, None]], axis=-1)
    points = _detections.stated(_detections.gaps(points, notes))
    joints, points = _bodies.order(points, options.table, notes)
    known = [number for number in numbers if number is not None]
    place, seen, extra = _tracking.clip(path, known, [found[i][1] for i in kept], points)
    unit, extra["coordinates"] = _detections.unit(points)
    label, index = data.get("label"), data.get("label_index")
    if not isinstance(label, (str, type(None))):
        raise InputError(path, f"label {str(label)[:40]!r}", "text")
    extra["label_index"] = index if type(index) is int and abs(index) < 10**9 else None
    return Motion(place, joints, seen, up="-y", unit=unit, label=label, source=path.name, extra=extra, notes=notes)


def fits(motion: Motion) -> Motion:
    """The motion in a layout of OpenPose."""
    return motion if motion.layout.name in LAYOUTS else motion.to_layout("body25")


def write(folder: str | Path, motions: Iterable[Motion]) -> Path:
    """A folder ``NAME`` per clip with ``NAME_000000000000_keypoints.json``, ...: 2-D or 3-D, people with their number.

    Missing joints are 0, as OpenPose has them.

    Raises:
        InputError: a layout that OpenPose does not have (:func:`fits` makes one).
    """
    for clip in motions:
        if clip.layout.name not in LAYOUTS:
            raise InputError(clip.source, f"layout {clip.layout.name}", f"one of {', '.join(LAYOUTS)}")
        name = clip.source.replace("/", "_")
        values = np.concatenate([clip.joints, clip.confidence[..., None]], -1).astype(np.float64)
        here, key = np.any(clip.confidence, axis=2), f"pose_keypoints_{clip.coords}d"
        for frame in range(len(clip)):
            people = [
                {"person_id": [person], key: [float(f"{value:.9g}") for value in values[frame, person].ravel()]}
                for person in np.flatnonzero(here[frame]).tolist()
            ]
            file = Path(folder) / name / f"{name}_{frame:012d}_keypoints.json"
            write_json(file, {"version": 1.3, "people": people})
    return Path(folder)
