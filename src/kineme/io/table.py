"""A table with named columns (.csv, .tsv, .parquet): JOINT_x, JOINT_y (, JOINT_z, JOINT_confidence) of every joint.

A row is a frame, or a person in a frame. Case and separators do not count, and the coordinate may stand in front
(``x_nose``). Further columns, each of which may be missing: ``frame`` (a number), a time (``time``, ``timestamp_ms``,
...) or ``fps``; ``person`` (who it is); ``unit``, ``up``, ``width``, ``height``, ``label``, ``subject``, ``camera``,
the same in all rows. Others are passed over. A cell that is empty or no number is a missing joint.

The joints are those of a built-in layout where their names are, in whatever order, else a free layout with a tree by
their names. Where columns do not say it, unit and up axis of joints in space are those that bodies of such a size and
posture have, and are noted. The 33 landmarks of MediaPipe in a csv are the format ``mediapipe``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..motion import layout as skeleton
from ..motion import units
from ..motion.motion import UPS, Motion
from ..utils.errors import InputError
from ..utils.files import atomic
from . import MAX_JOINTS, Options, _bodies, _detections, _landmarks, _tables, _text, _tracking
from ._following import MAX_POINTS

if TYPE_CHECKING:
    import pyarrow as pa

suffixes = (".csv", ".tsv", ".parquet")

WHAT = "a table with columns JOINT_x and JOINT_y (, JOINT_z) of every joint"
AXES = ("x", "y", "z")
PERSON = ("person", "person_id", "track_id", "body", "body_id", "object_id")
BEHIND = re.compile(r"(?P<joint>.*\S)[\s_.:/-]+(?P<part>[A-Za-z]+)")
BEFORE = re.compile(r"(?P<part>[xyzXYZ])[\s_.:/-]+(?P<joint>\S.*)")
SEEN = {word for word in _landmarks.VISIBLE if len(word) > 1}


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() == ".parquet":
        return head[:4] == b"PAR1"
    if path.suffix.lower() not in suffixes:
        return False
    line = _text.unpack(head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0])
    found = _columns([cell.strip(' "\r') for cell in re.split("[,;\t]", line)])
    return sum({"x", "y"} <= axes.keys() for axes in found.values()) >= 2


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, M, V, 2 or 3]``."""
    notes: _detections.Notes = Counter()
    table, odd = _tables.load(path, WHAT)
    notes[_landmarks.ODD] += len(odd)
    columns = _columns(table.column_names)
    joints = [joint for joint, axes in columns.items() if {"x", "y"} <= axes.keys()]
    if not 0 < len(joints) <= MAX_JOINTS:
        shown = ", ".join(table.column_names)[:100]
        raise InputError(path, f"{len(joints)} joints in columns {shown}", f"{WHAT}, 1 to {MAX_JOINTS} joints")
    if not 0 < len(table) <= MAX_POINTS // len(joints):
        raise InputError(
            path, f"{len(table)} rows of {len(joints)} joints", f"at least one, and at most {MAX_POINTS} joints"
        )
    space = all("z" in columns[joint] for joint in joints)
    parts = AXES[: 3 if space else 2]
    ones = np.ones(len(table))
    points = np.stack(
        [
            np.stack(
                [
                    *(_tables.numbers(table[columns[joint][axis]]) for axis in parts),
                    *_seen(table, columns[joint], ones),
                ],
                1,
            )
            for joint in joints
        ],
        1,
    )
    if not np.isfinite(points[..., -1]).any():
        points[..., -1] = 1.0
    with np.errstate(over="ignore"):
        points = points.astype(np.float32)
    layout, order = skeleton.identify(joints), None
    if layout is None and (known := skeleton.reordered(joints)) is not None:
        layout, order = known
    points = points if order is None else points[:, order]
    layout = layout or skeleton.free(joints, skeleton.tree(joints))
    there = np.flatnonzero(np.isfinite(points).all(-1).any(1))
    about = _About(path, table, notes)
    numbers = about.numbers(set(odd))
    kept = [k for k in there.tolist() if numbers[k] is not None]
    described = [number for number in numbers if number is not None]
    people = _detections.gaps(points[kept], notes)
    frames = [int(numbers[k] or 0) for k in kept]
    ids = about.column(PERSON)
    names = None if ids is None else [ids[k] for k in kept]
    placed, seen, extra = _tracking.clip(path, described, frames, people, names, notes=notes)
    unit, up = about.unit(), about.up(space)
    if space and (unit is None or up is None):
        told = _bodies.in_space(people, layout, Options(unit=options.unit or unit, up=options.up or up), notes)
        unit, up = unit or told[0], up or told[1]
    elif not space:
        unit, up = unit or _detections.unit(people)[0], up or "-y"
    fps = about.rate(numbers)
    yield Motion(
        placed,
        layout,
        seen,
        fps=fps / extra["frame_step"] if fps else None,
        up=up,
        unit=unit or "1",
        image_size=_detections.size(about.one("width"), about.one("height"), notes) if not space else None,
        label=about.text("label"),
        subject=about.name("subject"),
        camera=about.name("camera"),
        source=path.name,
        extra=extra,
        notes=notes,
    )


def _columns(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Joint -> part (``x``, ``y``, ``z`` or ``confidence``) -> the name of the column, in the order of the columns."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        for form in (BEHIND, BEFORE):
            match = form.fullmatch(name.strip())
            part = match["part"].lower() if match else ""
            part = "confidence" if part in SEEN else part
            if match and part in (*AXES, "confidence"):
                found.setdefault(match["joint"], {}).setdefault(part, name)
                break
    return found


def _seen(table: pa.Table, columns: dict[str, str], ones: np.ndarray) -> list[np.ndarray]:
    return [_tables.numbers(table[columns["confidence"]]) if "confidence" in columns else ones]


class _About:
    """What the columns beside the joints say."""

    def __init__(self, path: Path, table: pa.Table, notes: _detections.Notes):
        self.path, self.table, self.notes = path, table, notes
        self.known = {_landmarks.plain(name): name for name in table.column_names}

    def column(self, names: Sequence[str]) -> list[Any] | None:
        name = next((self.known[each] for each in map(_landmarks.plain, names) if each in self.known), None)
        return None if name is None else self.table[name].to_pylist()

    def one(self, *names: str) -> Any:
        """The value that a column has in its first row that is not empty."""
        return next((value for value in self.column(names) or () if value not in (None, "")), None)

    def text(self, name: str) -> str | None:
        value = self.one(name)
        return None if value is None else str(value)

    def name(self, name: str) -> int | str | None:
        value = self.one(name)
        if isinstance(value, str) and re.fullmatch(r"0|-?[1-9]\d{0,15}", value):
            return int(value)
        return value if isinstance(value, (int, str)) and not isinstance(value, bool) else self.text(name)

    def unit(self) -> str | None:
        said = self.text("unit") or self.text("units")
        found = units.find(said) if said is not None else None
        if said is not None and found is None:
            raise InputError(self.path, f"unit {said[:40]!r}", units.SAID)
        return found

    def up(self, space: bool) -> str | None:
        said = self.text("up")
        if said is not None and said not in (UPS if space else UPS[:4]):
            raise InputError(self.path, f"up {said[:40]!r}", f"one of {' '.join(UPS)}")
        return said

    def numbers(self, odd: set[int]) -> Sequence[int | None]:
        """The frame of each row; without a column of numbers they are counted, or go by who is in a frame."""
        rows = len(self.table)
        given = self.column(_landmarks.NUMBER)
        if given is None:
            counted = [k for k in range(rows + len(odd)) if k not in odd][:rows]
            return counted
        places = [f"{self.path}, row {k + 1}" for k in range(rows)]
        values = [_whole(value) for value in given]
        if self.column(PERSON) is None:
            return _detections.numbering(places, "frame", values, self.notes)
        found: list[int | None] = []
        for place, value in zip(places, values):
            try:
                found.append(_detections.whole(place, "frame", value))
            except InputError:
                found.append(None)
        if 2 * found.count(None) >= rows:
            raise InputError(places[found.index(None)], f"frame {str(given[found.index(None)])[:40]}", "a whole number")
        self.notes[_detections.NUMBERS] += found.count(None)
        return found

    def rate(self, numbers: Sequence[int | None]) -> float | None:
        """Frames per second, as is said or as times tell."""
        if (said := _detections.rate(self.one("fps", *_landmarks.RATE), self.notes)) is not None:
            return said
        name = next((each for each in _landmarks.TIMES if each in self.known), None)
        if name is None:
            return None
        times = _tables.numbers(self.table[self.known[name]])
        frames = np.array([np.nan if number is None else number for number in numbers], np.float64)
        good = np.isfinite(times) & np.isfinite(frames)
        steps, passed = np.diff(frames[good]), np.diff(times[good])
        steps, passed = steps[steps > 0], passed[steps > 0]
        if not len(steps) or not (passed > 0).all():
            return None
        middle = float(np.median(passed / steps))
        second = _landmarks.TIMES[name] or next((k for k in (1.0, 1e-3, 1e-6, 1e-9) if 1e-3 <= middle * k < 1.0), None)
        rate = 1 / (middle * second) if second else 0.0
        return float(f"{rate:.6g}") if 0.1 <= rate <= 1000 else None


def _whole(value: Any) -> Any:
    """A cell of frame numbers; an empty one is none."""
    if isinstance(value, str):
        return None if not value.strip() else int(value) if value.strip().isdecimal() else _detections.number(value)
    return value


def write(folder: str | Path, motions: Iterable[Motion]) -> Path:
    """One ``NAME.csv`` per clip: a row for every person in every frame, all digits, empty cells for what is missing.

    Columns ``frame``, ``person``; ``unit``, ``up``, ``label``, ``subject``, ``camera``, ``width``, ``height``, ``fps``
    where they are known; then x, y (, z) and confidence of each joint. Reading gives the same joints back, without the
    persons that are never seen.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for clip in motions:
        with atomic(folder / f"{clip.source.replace('/', '_')}.csv") as path:
            path.write_text("\n".join(_lines(clip)) + "\n", encoding="utf-8")
    return folder


def _lines(clip: Motion) -> Iterator[str]:
    width, height = clip.image_size or (None, None)
    about = {
        "unit": clip.unit if clip.unit != "1" else None, "up": clip.up, "label": clip.label, "subject": clip.subject,
        "camera": clip.camera, "width": width, "height": height, "fps": None if clip.fps is None else f"{clip.fps:.9g}",
    }  # fmt: skip
    about = {key: value for key, value in about.items() if value is not None}
    named = [re.sub(r'[,;\t"\s]', "_", joint) for joint in clip.layout.joints]
    parts = (*AXES[: clip.coords], "confidence")
    yield ",".join(["frame", "person", *about, *(f"{joint}_{part}" for joint in named for part in parts)])
    said = [re.sub(r'[,;\t"\n\r]', "_", str(value)) for value in about.values()]
    for frame in range(len(clip)):
        for person in range(clip.persons):
            cells = [str(frame), str(person), *said]
            for point, seen in zip(clip.joints[frame, person].tolist(), clip.confidence[frame, person].tolist()):
                cells += [f"{value:.9g}" for value in (*point, seen)] if seen > 0 else [""] * (len(point) + 1)
            yield ",".join(cells)
