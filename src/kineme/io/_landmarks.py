"""Landmarks as they are kept in json and csv, all spellings made equal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout
from ..utils.errors import InputError
from . import _detections, _text

WHAT = "MediaPipe landmarks: per frame 33 of x, y, z, visibility"
NAMES = layout.layout("mediapipe33").joints
IMAGE = ("landmarks", "poselandmarks", "normalizedlandmarks", "imagelandmarks", "keypoints")
WORLD = ("worldlandmarks", "poseworldlandmarks", "landmarksworld", "keypoints3d")
KEYS = {"image": IMAGE, "world": WORLD}
PLAIN = ("landmarks", "keypoints")  # these may be either
FRAMES = ("frames", "results", "data")
ABOUT = ("metadata", "meta", "video", "info")  # what may hold rate and size
WIDTH, HEIGHT = (
    ("width", "imagewidth", "framewidth", "videowidth"),
    ("height", "imageheight", "frameheight", "videoheight"),
)
RATE = ("fps", "framerate", "framespersecond")
NUMBER = ("frame", "frameindex", "frameid", "frameidx", "framenumber", "framenum")
TIMES = {  # in seconds; None: as the steps say
    "timestampms": 1e-3, "timems": 1e-3, "timestampmillis": 1e-3, "timestampus": 1e-6, "timestampns": 1e-9,
    "seconds": 1.0, "timesec": 1.0, "times": 1.0, "timestamps": 1.0, "timestampsec": 1.0, "ts": None,
    "timestamp": None, "time": None,
}  # fmt: skip
VISIBLE = ("visibility", "score", "confidence", "likelihood", "vis", "v")
LANDMARKS = re.compile(
    rb'"(landmark[_-]?names|(pose[_-]?)?(world|normalized)?[_-]?landmarks(?:[_-]?world)?)"\s*:', re.IGNORECASE
)
BROWSER = re.compile(rb'"keypoints(3d)?"\s*:\s*[\[{]', re.IGNORECASE)
PARTS = ("x", "y", "z", "visibility")
SHAPES = {
    (33, 2),
    (33, 3),
    (33, 4),
    (33, 5),
    (66,),
    (99,),
    (132,),
    (165,),
}  # x y (z, visibility, presence), flat or not
AXES = ("x", "y", "z")
ODD = "rows of a table that cannot be read, left out"


@dataclass
class Found:
    """What a file holds: numbers of all frames, and for each kind of landmarks frames and places ``[D, 33, 4]``."""

    about: Mapping[str, Any]
    numbers: list[int]
    frame: dict[str, list[int]]
    points: dict[str, np.ndarray]
    times: list[Any]
    second: float | None = None  # what one step of the times is in seconds
    counted: bool = False  # frames have no number of their own
    stated: bool = True  # the file says of which kind the landmarks are
    usual: bool = True  # landmarks of no stated kind are usually those in the image
    notes: _detections.Notes = field(default_factory=Counter)


# ---------------------------------------------------------------------------------------------------------------- json


def plain(name: Any) -> str:
    """A name without case and what separates its words."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of these names (plain ones) that an object has."""
    known = {plain(key): value for key, value in entry.items()}
    return next((known[plain(name)] for name in names if known.get(plain(name)) is not None), None)


def _keys(entry: Mapping[str, Any]) -> str:
    return f"an object with {', '.join(map(str, entry))[:200] or 'nothing in it'}"


def from_json(path: Path) -> Found:
    """What the file says besides, the frames, and for each kind the frames and landmarks ``[D, 33, 4]`` of people."""
    data = _detections.document(path, WHAT)
    notes: _detections.Notes = Counter()
    about = data if isinstance(data, dict) else {}
    for key in ABOUT:
        inner = first(about, (key,))
        about = {**inner, **about} if isinstance(inner, dict) else about
    order = _order(path, first(about, ("landmark_names",)))
    fields = first(about, ("landmark_fields",))
    if fields is not None and [*map(plain, fields if isinstance(fields, list) else [])][:4] not in (
        [*AXES, "visibility"],
        [*AXES],
    ):
        raise InputError(path, f"landmark_fields {str(fields)[:60]}", "x, y, z, visibility")
    entries = first(about, FRAMES) if about else data
    if entries is None and any(first(about, keys) is not None for keys in KEYS.values()):
        entries = [about]  # one result alone
    if entries is None and about and all(str(key).isdecimal() for key in about):
        entries = about
    if isinstance(entries, dict):  # by their numbers
        entries = [{NUMBER[0]: key, **frame} for key, frame in entries.items() if isinstance(frame, dict)]
    if entries is None:
        raise InputError(path, f"JSON of another kind: {_keys(about)}", WHAT)
    known = [(k, _opened(entry)) for k, entry in _detections.some(path, entries, "frames", notes)]
    if not any(first(entry, keys) is not None for _, entry in known for keys in KEYS.values()):
        shown = f", each {_keys(known[0][1])}" if known else ""
        raise InputError(
            path, f"{len(known)} frames without landmarks{shown}", f"{WHAT}, under landmarks or world_landmarks"
        )
    places = [f"{path}, entry {k}" for k, _ in known]
    numbers = _detections.numbering(places, "frame", [first(entry, NUMBER) for _, entry in known], notes)
    if counted := all(first(entry, NUMBER) is None for _, entry in known):
        numbers = [k for k, _ in known]
    kept = [(number, entry) for number, (_, entry) in zip(numbers, known) if number is not None]
    time = next((name for name in TIMES if kept and first(kept[0][1], (name,)) is not None), None)
    frame: dict[str, list[int]] = {}
    points = {}
    for kind, keys in KEYS.items():
        rows, at = [], []
        faults = []
        for number, entry in kept:
            place = f"{path}, frame {number}"
            try:
                bodies = _bodies_of(place, first(entry, keys))
            except InputError as error:
                faults.append(error)
                continue
            rows += bodies
            at += [number] * len(bodies)
        if faults and 2 * len(faults) >= len(kept):
            raise faults[0]
        notes["frames whose landmarks cannot be read, taken as frames with nobody in them"] += len(faults)
        points[kind], chosen = _table([f"{path}, frame {number}" for number in at], rows, notes)
        points[kind] = points[kind][:, order]
        frame[kind] = [at[i] for i in chosen]
    return Found(
        about,
        [number for number, _ in kept],
        frame,
        points,
        [first(entry, (time,)) for _, entry in kept] if time else [],
        TIMES[time] if time else None,
        counted,
        bool(len(points["world"])) or not any(first(entry, PLAIN) is not None for _, entry in kept),
        notes=notes,
    )


def _opened(entry: dict[str, Any]) -> dict[str, Any]:
    """A frame; what an object in it holds (``result``, ``pose``) stands in the frame itself."""
    if any(first(entry, keys) is not None for keys in KEYS.values()):
        return entry
    inner = [value for value in entry.values() if isinstance(value, dict)]
    return next(
        ({**entry, **one} for one in inner if any(first(one, keys) is not None for keys in KEYS.values())), entry
    )


def _order(path: Path, names: Any) -> list[int]:
    """Where each of the 33 landmarks stands, by the names that the file gives."""
    wanted = [plain(name) for name in NAMES]
    given = wanted if names is None else [plain(name) for name in names] if isinstance(names, list) else []
    if sorted(given) != sorted(wanted):
        raise InputError(path, "other landmark_names", f"the 33 of MediaPipe Pose ({', '.join(NAMES[:3])}, ...)")
    return [given.index(name) for name in wanted]


def _table(places: Sequence[str], rows: list[Any], notes: _detections.Notes) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of people ``[D, 33, 4]``, NaN where a number is missing, and which of the rows they are."""
    if not rows:
        return np.zeros((0, 33, 4), np.float32), np.zeros(0, np.int64)
    table, kept = _detections.table(places, rows, SHAPES, WHAT, notes)
    table = table.reshape(len(table), 33, -1)[..., :4]
    gaps = np.full((len(table), 33, 4 - table.shape[2]), np.nan, np.float32)
    return np.concatenate([table, gaps], axis=2), kept


def _bodies_of(place: str, value: Any, inner: bool = False) -> list[Any]:
    """The people of a frame, each with lists of numbers; none, one, or a list of them."""
    if value is None or value == [] or value == {}:
        return []
    if isinstance(value, dict):
        named = {plain(key): point for key, point in value.items()}
        if len(named) == 1 and next(iter(named)) in ("landmark", *IMAGE, *WORLD):
            return _bodies_of(place, next(iter(named.values())), inner)
        by_name = [named.get(plain(name)) for name in NAMES]
        if sum(point is not None for point in by_name) * 2 < len(NAMES):
            raise InputError(place, f"landmarks in {_keys(value)}", f"{WHAT}, in a list or by name")
        return [[_point(point) for point in by_name]]
    if not isinstance(value, list):
        raise InputError(place, f"landmarks of type {type(value).__name__}", WHAT)
    one = next((item for item in value if item is not None), None)
    wrapped = isinstance(one, dict) and not _is_point(one)
    if not inner and (wrapped or (isinstance(one, list) and (not one or isinstance(one[0], (list, dict))))):
        return [body for item in value for body in _bodies_of(place, item, inner=True)]
    even = len({len(point) if isinstance(point, list) else 0 for point in value}) == 1
    return [value if even and not isinstance(one, dict) else [_point(point) for point in value]]


def _is_point(value: Mapping[str, Any]) -> bool:
    return {"x", "y"} <= {plain(key) for key in value}


def _point(value: Any) -> Any:
    """x, y, z, visibility of a landmark, NaN for what is missing."""
    if value is None:
        return [float("nan")] * 4
    if isinstance(value, dict):
        plain_ones = value if "x" in value and "visibility" in value else {plain(key): v for key, v in value.items()}
        seen = next((plain_ones[name] for name in VISIBLE if plain_ones.get(name) is not None), None)
        return [*(_detections.number(plain_ones.get(axis)) for axis in AXES), _detections.number(seen)]
    if isinstance(value, list) and 2 <= len(value) <= 5:
        return ([_detections.number(part) for part in value] + [float("nan")] * 2)[:4]
    return value


def size(about: Mapping[str, Any], notes: _detections.Notes) -> tuple[int, int] | None:
    both = first(about, ("imagesize", "framesize", "resolution"))
    width, height = both if isinstance(both, list) and len(both) == 2 else (first(about, WIDTH), first(about, HEIGHT))
    return _detections.size(width, height, notes)


# ----------------------------------------------------------------------------------------------------------------- csv


def from_csv(path: Path) -> Found:
    """The same from a table."""
    notes: _detections.Notes = Counter()
    data = _text.load(path, WHAT).rstrip(b" \r\n")  # a row may end with tabs
    header = data.split(b"\n", 1)[0]
    delimiter = max(",;\t", key=_text.unpack(header).count)
    spelled = [name.strip(' "\r') for name in _text.unpack(header).split(delimiter)]
    names = [plain(name) or f"column {k}" for k, name in enumerate(spelled)]
    columns = {}  # landmark and part -> column
    for joint in NAMES:
        for part in AXES:
            columns[joint, part] = plain(joint) + part
        seen = (plain(joint) + word for word in VISIBLE)
        columns[joint, PARTS[3]] = next((name for name in seen if name in names), "")
    missing = next((f"{j}_{axis}" for j in NAMES for axis in AXES[:2] if columns[j, axis] not in names), None)
    if missing or len(set(names)) < len(names):
        found = f"no column {missing}" if missing else "two columns of one name"
        raise InputError(path, found, "columns NAME_x and NAME_y for all 33 landmarks", "The first line names columns")
    number = next((name for name in NUMBER if name in names), None)
    time = next((name for name in TIMES if name in names), None)
    about = [name for name in (*WIDTH, *HEIGHT, "fps", "framerate") if name in names]
    wanted = [name for name in columns.values() if name in names]
    others = [name for name in (number, time, *about) if name]
    table, odd = _text.cells(path, data, names, delimiter, WHAT, wanted + others)
    notes[ODD] += len(odd)
    cells = {name: cell_numbers(table[name], delimiter) for name in wanted}
    none = np.full(len(table), np.nan)
    points = np.stack([np.stack([cells.get(columns[joint, part], none) for part in PARTS], 1) for joint in NAMES], 1)
    places = [f"{path}, row {k + 1}" for k in range(len(table))]
    numbers: Sequence[int | None] = np.setdiff1d(np.arange(len(table) + len(odd)), np.array(odd, np.int64) - 2).tolist()
    if number:  # else the rows are counted, those that cannot be read among them
        given = [_cell(cell) for cell in table[number].to_pylist()]
        numbers = _detections.numbering(places, "frame", given, notes)
    kept = np.array([k for k, one in enumerate(numbers) if one is not None], np.int64)
    with np.errstate(over="ignore"):
        points = points[kept].astype(np.float32)
    there = np.isfinite(points[..., :2]).all(-1).any(1)  # a row without anybody is no fault
    described = [int(numbers[k] or 0) for k in kept]
    return Found(
        {name: next((_value(cell) for cell in table[name].to_pylist() if cell), None) for name in about},
        described,
        {"image": [described[k] for k in np.flatnonzero(there)], "world": []},
        {"image": points[there], "world": np.zeros((0, 33, 4), np.float32)},
        [table[time][int(k)].as_py() for k in kept] if time else [],
        TIMES[time] if time else None,
        number is None,
        stated=False,
        usual=False,
        notes=notes,
    )


def cell_numbers(column: Any, delimiter: str = ",") -> np.ndarray:
    """A column of text as numbers, NaN for a cell that is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.utf8_trim_whitespace(column)
    if delimiter != ",":  # then a comma is one of decimals
        column = pc.replace_substring(column, ",", ".")
    number = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
    column = pc.if_else(pc.match_substring_regex(column, number), column, pa.scalar(None, pa.string()))
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)


def _value(text: str) -> Any:
    """A cell as a number where it is one."""
    value = _detections.number(text)
    return value if np.isfinite(value) else text


def _cell(text: str | None) -> Any:
    """A cell of frame numbers: ``3`` and ``3.0`` are numbers, an empty one is none."""
    if text is None or not text.strip():
        return None
    try:
        return int(text) if re.fullmatch(r"\s*\d{1,18}\s*", text) else float(text)
    except ValueError:
        return text
