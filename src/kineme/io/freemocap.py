"""FreeMoCap (its csv and Parquet files): the body's points in millimetres, in every frame.

Three forms, told by their columns. Tidy: a row for each keypoint in each frame (``frame``, ``keypoint``, ``x``, ``y``,
``z``, perhaps ``model``, ``trajectory``, ``timestamp``), as ``*_by_frame`` and the files of version 2 have it. Wide,
with a row for each frame: ``body_nose_x`` ..., perhaps with hands, face and centres of mass behind the body
(``*_by_trajectory.csv``), or ``nose_x`` ... in a file called ``*_3d_xyz.csv``. Of all these the body is taken: the 33
points of MediaPipe where they are there, else the points that there are. Of the trajectories of a tidy file
``3d_xyz`` is read, ``rigid_3d_xyz`` where that one is missing. An empty point was not reconstructed, and is missing.
The rate follows from the time stamps, if there are any; the up axis from the posture of the body. A tidy file that
says nothing of FreeMoCap may be in any unit, which the size of the body tells.

FreeMoCap writes one recording many times over. ``prepare`` takes the first of these that is there: by frame, by
trajectory, the body as csv, the body as npy, the skeleton as npy (both read as format ``npy``); the others, hands,
faces, centres of mass and errors of reprojection are passed over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _bodies, _detections, _landmarks, _tables, _text, _tracking
from ._following import MAX_POINTS

if TYPE_CHECKING:
    import pyarrow as pa

suffixes = (".csv", ".parquet")

WHAT = "FreeMoCap's points: frame, keypoint, x, y, z, or columns body_nose_x, body_nose_y, body_nose_z, ..."
TIDY = {"frame", "keypoint", "x", "y", "z"}
AXES = ("x", "y", "z")
BODY = "body_"
NAMES = skeleton.layout("mediapipe33").joints
THEIRS = re.compile(r"_by_(frame|trajectory)$|_3d_xyz$|skeleton_3d$|mediapipeskel_3d", re.IGNORECASE)
TRAJECTORIES = ("3d_xyz", "rigid_3d_xyz")
OTHERS = re.compile(  # what stands beside a recording
    r"[a-z0-9]+_(right_hand|left_hand|face)_(rigid_)?3d_xyz|[a-z0-9]+_(\w+_)?(total_body|segment)_center_of_mass(_xyz)?|"
    r"[a-z0-9]+_(\w+_)?reprojection_?error|[a-z0-9]+_2ddata_numcams_\w+|(segment|totalbody)com_frame_\w+",
    re.IGNORECASE,
)
TRACKER = re.compile(r"(?P<tracker>[a-z0-9]+)_(body_(rigid_)?3d_xyz|skeleton_3d|3ddata_\w+_spatialxyz)", re.IGNORECASE)
FORMS = (  # of one recording, the one that is taken first
    *("{folder}_by_frame.csv", "freemocap_data_by_frame.csv", "freemocap_data_by_frame.parquet"),
    *("{folder}_by_trajectory.csv", "{tracker}_body_3d_xyz.csv", "{tracker}_body_3d_xyz.npy"),
    *("{tracker}_skeleton_3d.npy", "{tracker}_body_rigid_3d_xyz.csv", "{tracker}_body_rigid_3d_xyz.npy"),
    "{tracker}_3dData_numFrames_numTrackedPoints_spatialXYZ.npy",
)
INSIDE = ("output_data", "raw_data")  # folders within that of a recording
ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
TWICE = "points told twice in one frame, the last one taken"


class Found(NamedTuple):
    """Names of points, numbers of frames ``[T]``, places float64 ``[T, V, 3]``, and frames per second, if known."""

    names: list[str]
    frames: np.ndarray
    points: np.ndarray
    fps: float | None


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() == ".parquet":
        return head[:4] == b"PAR1" and path.stem.lower().endswith("_by_frame")
    if path.suffix.lower() != ".csv":
        return False
    names = {
        name.strip(' "\r') for name in _text.unpack(head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]).split(",")
    }
    wide = {f"{BODY}{NAMES[0]}_x", f"{BODY}{NAMES[-1]}_x"} <= names
    return names >= TIDY or wide or (bool(TRACKER.fullmatch(path.stem)) and f"{NAMES[0]}_x" in names)


def side(path: Path, head: bytes) -> bool:
    """What else FreeMoCap writes of a recording, and the recording once more."""
    if path.suffix.lower() not in (".npy", *suffixes):
        return False
    return bool(OTHERS.fullmatch(path.stem)) or _better(path) is not None


def _better(path: Path) -> Path | None:
    """Another file of the same recording that goes first."""
    places = [path.parent]
    while places[-1].name in INSIDE and places[-1].parent != places[-1]:
        places.append(places[-1].parent)
    known = TRACKER.fullmatch(path.stem)
    tracker = known["tracker"] if known else ""
    forms = [form.format(folder=places[-1].name, tracker=tracker) for form in FORMS]
    if path.name not in forms:
        return None
    # by folders first: what stands in raw_data is behind all that stands above it
    mine = forms.index(path.name)
    others = [place / form for place in places for form in forms[: mine if place == path.parent else len(forms)]]
    return next((each for each in others if each.is_file()), None)


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, V, 3]``."""
    notes: _detections.Notes = Counter()
    table, odd = _tables.load(path, WHAT)
    notes[_landmarks.ODD] += len(odd)
    found = _tidy(path, table, notes) if set(table.column_names) >= TIDY else _wide(path, table, odd)
    if set(NAMES) <= set(found.names):
        layout, order = skeleton.layout("mediapipe33"), [found.names.index(name) for name in NAMES]
    else:
        layout, order = _bodies.named(found.names)
    with np.errstate(over="ignore"):
        points = found.points[:, order].astype(np.float32)
    points = np.concatenate([points, np.ones_like(points[..., :1])], -1)
    there: np.ndarray = np.any(np.all(np.isfinite(points), -1), 1)
    people = _detections.gaps(points[there], notes)
    joints, seen, extra = _tracking.clip(path, found.frames, found.frames[there], people, notes=notes)
    unit = "mm" if "model" in table.column_names or THEIRS.search(path.stem) or _is_wide(table) else None
    told = _bodies.in_space(people, layout, Options(unit=options.unit or unit, up=options.up), notes)
    yield Motion(
        joints,
        layout,
        seen,
        fps=found.fps / extra["frame_step"] if found.fps else None,
        up=told[1],
        unit=unit or told[0],
        source=path.name,
        extra=extra,
        notes=notes,
    )


def _is_wide(table: pa.Table) -> bool:
    return any(name.startswith(BODY) for name in table.column_names)


def _wide(path: Path, table: pa.Table, odd: list[int]) -> Found:
    """A row for each frame; rows that could not be read are frames too."""
    columns = [name for name in table.column_names if name.startswith(BODY)] or table.column_names
    names = [
        name[:-2] for name in columns if name.endswith("_x") and {f"{name[:-1]}y", f"{name[:-1]}z"} <= set(columns)
    ]
    _bounded(path, names, len(table), table)
    points = np.stack([np.stack([_tables.numbers(table[f"{name}_{axis}"]) for axis in AXES], 1) for name in names], 1)
    frames = np.setdiff1d(np.arange(len(table) + len(odd)), np.array(odd, np.int64))
    return Found(
        [name.removeprefix(BODY) for name in names], frames, points, _rate(table, frames, np.arange(len(table)))
    )


def _tidy(path: Path, table: pa.Table, notes: _detections.Notes) -> Found:
    """A row for each point of each frame."""
    kept = np.ones(len(table), bool)
    if "model" in table.column_names:  # tracker and part of the body
        kept &= np.array([bool(re.search(r"(^|[._])body$", model)) for model in _texts(table, "model")], bool)
    if "trajectory" in table.column_names:
        kinds = _texts(table, "trajectory")
        wanted = next((kind for kind in TRAJECTORIES if (kinds[kept] == kind).any()), TRAJECTORIES[0])
        kept &= kinds == wanted
    numbers = _tables.numbers(table["frame"])
    whole = np.isfinite(numbers) & (numbers >= 0) & (numbers < 1 << 40)
    whole[whole] = numbers[whole] % 1 == 0
    notes[_detections.NUMBERS] += int((kept & ~whole).sum())
    rows = np.flatnonzero(kept & whole)
    frames, first, at = np.unique(numbers[rows].astype(np.int64), return_index=True, return_inverse=True)
    keys, begins, which = np.unique(_texts(table, "keypoint")[rows], return_index=True, return_inverse=True)
    rank = np.empty(len(keys), np.int64)  # points in the order in which they come
    rank[np.argsort(begins)] = np.arange(len(keys))
    names = [str(key).removeprefix(BODY) for key in keys[np.argsort(begins)]]
    _bounded(path, names, len(frames), table)
    points = np.full((len(frames), len(names), 3), np.nan)
    points[at, rank[which]] = np.stack([_tables.numbers(table[axis]) for axis in AXES], 1)[rows]
    notes[TWICE] += len(rows) - len(np.unique(at * len(names) + which))
    return Found(names, frames, points, _rate(table, frames, rows[first]))


def _bounded(path: Path, names: list[str], frames: int, table: pa.Table) -> None:
    if not 0 < len(names) <= MAX_JOINTS or len(set(names)) < len(names):
        raise InputError(path, f"{len(names)} points of a body in columns {', '.join(table.column_names)[:100]}", WHAT)
    if not 0 < frames <= MAX_POINTS // len(names):
        raise InputError(path, f"{frames} frames of {len(names)} points", f"1 to {MAX_POINTS} places in all")


def _texts(table: pa.Table, name: str) -> np.ndarray:
    import pyarrow as pa

    try:
        encoded = table[name].cast(pa.string()).combine_chunks().dictionary_encode()
    except pa.ArrowException:
        return np.full(len(table), "")
    words = np.array([str(word).strip() for word in encoded.dictionary.to_pylist()] + [""])
    return words[encoded.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)]


def _rate(table: pa.Table, frames: np.ndarray, rows: np.ndarray) -> float | None:
    """Frames per second by the time stamps of these rows: seconds, parts of them, or dates."""
    if "timestamp" not in table.column_names:
        return None
    times = _tables.numbers(table["timestamp"])[rows]
    if not np.isfinite(times).any():
        try:
            cells = (str(table["timestamp"][int(k)].as_py() or "NaT") for k in rows)
            dates = np.array([ZONE.sub("", cell)[:26] for cell in cells], "datetime64[us]")
        except ValueError:
            return None
        times = np.where(np.isnat(dates), np.nan, (dates - dates[0]) / np.timedelta64(1, "s"))
    good = np.isfinite(times)
    steps = np.diff(times[good]) / np.diff(frames[good])
    if not len(steps) or not (steps > 0).all():
        return None
    step = float(np.median(steps))
    second = next((k for k in (1.0, 1e-3, 1e-6, 1e-9) if 1e-3 <= step * k < 1.0), None)
    return float(f"{1 / (step * second):.6g}") if second else None
