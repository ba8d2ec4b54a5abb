"""MediaPipe Pose landmarks as json or csv: 33 landmarks per frame, in metres (world) or in the image.

MediaPipe (BlazePose; Bazarevsky et al., 2020) writes no files itself; this is how its results are kept:

* json: a list of frames, or an object with ``frames`` and perhaps ``fps``, ``width``, ``height``, ``landmark_names``.
  A frame has ``landmarks`` (``pose_landmarks``) and ``world_landmarks`` (``pose_world_landmarks``), and its number in
  ``frame``. Landmarks are 33 times ``[x, y, z, visibility]`` or ``{"x": ..., "y": ...}``, a list of such lists for
  several people, or empty where nobody was found;
* csv: a row for each frame, columns ``nose_x``, ``nose_y``, ``nose_z``, ``nose_visibility`` ... and perhaps ``frame``;
  empty cells where nobody was found. Other columns are passed over. A csv beside a json of the same name is the same
  recording once more, so ``prepare`` takes the json only.

World landmarks become a 3-D motion in metres, the middle of the hips at the origin of every frame, so a walk goes
nowhere. Files without them, or with ``image=True``, give a 2-D motion: in pixels where the file tells the
size of the image, else as shares of its width and height (unit ``1``). Columns ``landmarks`` (``world`` or ``image``)
and ``coordinates`` (``m``, ``px``, ``0..1``) say which. The z of image landmarks, which is no length, is passed over.
Confidence is the visibility.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import Options, _text, _tracking

suffixes = (".json", ".csv")

WHAT = "MediaPipe landmarks: per frame 33 of x, y, z, visibility"
KEYS = {"image": ("landmarks", "pose_landmarks"), "world": ("world_landmarks", "pose_world_landmarks")}
LANDMARKS = re.compile(rb'"(landmark_names|(pose_)?(world_)?landmarks)"\s*:')
SHAPES = {(33, 3), (33, 4), (33, 5)}  # x y z, visibility, presence
AXES = ("x", "y", "z")


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() == ".csv":
        return {b"nose_x", b"left_hip_y"} <= set(re.split(rb'[",;\s]+', head.split(b"\n", 1)[0]))
    return path.suffix.lower() == ".json" and bool(LANDMARKS.search(head))


def side(path: Path, head: bytes) -> bool:
    """A csv beside a json of the same name."""
    twin = path.with_suffix(".json")
    try:
        with open(twin, "rb") as file:
            return path.suffix.lower() == ".csv" and sniff(path, head) and sniff(twin, file.read(len(head) or 1))
    except OSError:
        return False


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion: ``[T, M, 33, 3]`` from world landmarks, ``[T, M, 33, 2]`` from those in the image."""
    wanted = (options.table or {}).get("landmarks", "image" if options.image else None)
    if wanted not in (None, *KEYS):
        raise InputError("landmarks", repr(wanted), "world or image")
    about, numbers, frame, found = _csv(path) if path.suffix.lower() == ".csv" else _json(path)
    kind = wanted or ("world" if len(found["world"]) else "image")
    if kind == "world" and not len(found["world"]) and len(found["image"]):
        raise InputError(path, "no world landmarks", "world_landmarks in every frame", "Take those in the image")
    points, by = found[kind], found["image"]
    if kind == "image":
        points = points[..., [0, 1, 3]]
    together = len(by) == len(points) and frame["image"] == frame[kind]
    joints, seen, extra = _tracking.clip(path, numbers, frame[kind], points, by=by if together else None)
    size = _tracking.size(about.get("width"), about.get("height")) if kind == "image" else None
    unit, coordinates = ("m", "m") if kind == "world" else _tracking.unit(points)
    if size and unit == "1":
        joints, unit, coordinates = joints * np.array(size, np.float32), "px", "px"
    fps = about.get("fps")
    if fps is not None and not (type(fps) in (int, float) and 0 < fps < np.inf):
        raise InputError(path, f"fps {str(fps)[:40]}", "frames per second")
    yield Motion(
        joints,
        layout.layout("mediapipe33"),
        seen,
        fps=fps / extra["frame_step"] if fps else None,
        up="-y",
        unit=unit,
        image_size=size,
        source=path.name,
        extra={**extra, "landmarks": kind, "coordinates": coordinates},
    )


Found = tuple[Mapping[str, Any], list[int], dict[str, list[int]], dict[str, np.ndarray]]


def _json(path: Path) -> Found:
    """What the file says besides, the frames, and for each kind the frames and landmarks ``[D, 33, 4]`` of people."""
    data = _tracking.document(path, WHAT)
    about = data if isinstance(data, dict) else {}
    names = about.get("landmark_names")
    if names is not None and not (isinstance(names, list) and tuple(names) == layout.layout("mediapipe33").joints):
        raise InputError(path, "other landmark_names", "the 33 of MediaPipe Pose, in its order")
    if about.get("landmark_fields") not in (None, ["x", "y", "z", "visibility"], ["x", "y", "z"]):
        raise InputError(path, f"landmark_fields {str(about['landmark_fields'])[:60]}", "x, y, z, visibility")
    if "frames" not in about and about:
        raise InputError(path, "JSON of another kind", WHAT)
    entries = _tracking.items(path, about["frames"] if about else data, "frames")
    if not any(key in entry for entry in entries for keys in KEYS.values() for key in keys):
        raise InputError(path, f"{len(entries)} frames without landmarks", WHAT)
    numbers = [_tracking.whole(f"{path}, entry {k}", "frame", entry.get("frame", k)) for k, entry in enumerate(entries)]
    if len(set(numbers)) < len(numbers):
        raise InputError(path, "a frame twice", "one entry for each frame")
    frame: dict[str, list[int]] = {kind: [] for kind in KEYS}
    found = {}
    for kind, keys in KEYS.items():
        rows, places = [], []
        for number, entry in zip(numbers, entries):
            bodies = _bodies(f"{path}, frame {number}", next((entry[key] for key in keys if key in entry), None))
            rows += bodies
            frame[kind] += [number] * len(bodies)
            places += [f"{path}, frame {number}"] * len(bodies)
        table = _tracking.table(places, rows, SHAPES, WHAT) if rows else np.zeros((0, 33, 4), np.float32)
        found[kind] = table[..., :4] if table.shape[2] > 3 else np.concatenate([table, np.ones_like(table[..., :1])], 2)
    return about, numbers, frame, found


def _bodies(place: str, value: Any) -> list[Any]:
    """The people of a frame, each with lists of numbers; none, one, or a list of them."""
    if value is None or value == []:
        return []
    if not isinstance(value, list):
        raise InputError(place, f"landmarks of type {type(value).__name__}", WHAT)
    first = value[0]
    several = isinstance(first, list) and (not first or isinstance(first[0], (list, dict)))
    return [_plain(place, body) for body in (value if several else [value]) if body != []]


def _plain(place: str, body: Any) -> Any:
    """The landmarks of a body, objects as lists."""
    if not (isinstance(body, list) and all(isinstance(point, dict) for point in body)):
        return body
    try:
        return [[point["x"], point["y"], point["z"], point.get("visibility", 1)] for point in body]
    except KeyError as error:
        raise InputError(place, f"a landmark without {error}", WHAT) from None


def _csv(path: Path) -> Found:
    """The same from a table: no words besides, and landmarks in the image only."""
    import pyarrow as pa
    from pyarrow import csv

    data = _text.load(path, WHAT).rstrip(b" \r\n")  # a row may end with tabs
    header = data.split(b"\n", 1)[0]
    delimiter = max(",;\t", key=_text.unpack(header).count)
    names = [name.strip(' "\r') for name in _text.unpack(header).split(delimiter)]
    joints = layout.layout("mediapipe33").joints
    wanted = [f"{joint}_{part}" for joint in joints for part in (*AXES, "visibility") if f"{joint}_{part}" in names]
    missing = next((f"{joint}_{axis}" for joint in joints for axis in AXES[:2] if f"{joint}_{axis}" not in names), None)
    if missing or len(set(names)) < len(names):
        found = f"no column {missing}" if missing else "two columns of one name"
        raise InputError(path, found, "columns NAME_x and NAME_y for all 33 landmarks", "The first line names columns")
    numbered = ["frame"] if "frame" in names else []
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(wanted, pa.float64()) | dict.fromkeys(numbered, pa.int64()),
        include_columns=wanted + numbered,
        null_values=[""],
        strings_can_be_null=True,
    )
    try:
        table = csv.read_csv(
            io.BytesIO(data),
            csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
            csv.ParseOptions(delimiter=delimiter),
            convert,
        )
    except (pa.ArrowException, ValueError) as error:
        raise InputError(path, f"not readable as CSV ({str(error)[:200]})".replace("\n", " "), WHAT) from None
    given = np.column_stack([table[name].to_numpy() for name in wanted])  # an empty cell is NaN here, as a word nan is
    empty: np.ndarray = np.column_stack([table[name].is_null().to_numpy() for name in wanted])
    if (empty.any(1) != empty.all(1)).any():
        bad = int(np.argmax(empty.any(1) != empty.all(1)))
        raise InputError(f"{path}, row {bad + 1}", "some cells are empty", "all landmarks of a frame, or none")
    there = ~np.any(empty, axis=1)
    rows = dict(zip(wanted, given[there].T))
    none, one = np.zeros(there.sum()), np.ones(there.sum())
    points = np.stack(
        [
            np.stack([rows.get(f"{joint}_{axis}", none) for axis in AXES] + [rows.get(f"{joint}_visibility", one)], 1)
            for joint in joints
        ],
        1,
    )
    if not np.isfinite(points).all() or np.abs(points).max(initial=0) > 1e30:
        raise InputError(path, "a number that is not finite in single precision", WHAT)
    numbers = table["frame"].to_pylist() if numbered else list(range(len(there)))
    numbers = [_tracking.whole(f"{path}, row {k + 1}", "frame", number) for k, number in enumerate(numbers)]
    if len(set(numbers)) < len(numbers):
        raise InputError(path, "a frame twice", "one row for each frame")
    frame = [numbers[k] for k in np.flatnonzero(there)]
    return (
        {},
        numbers,
        {"image": frame, "world": []},
        {"image": points.astype(np.float32), "world": np.zeros((0, 33, 4), np.float32)},
    )
