"""SLEAP (analysis csv and h5, projects slp): x, y and score of every node of each animal or person in a frame.

Pereira et al., Nature Methods 2022. The csv has columns ``track``, ``frame_idx``, ``instance.score``, then ``NODE.x``,
``NODE.y`` and ``NODE.score``; an empty cell is a node that was not found. The h5 holds the same as arrays by track. A
project gives a motion for each of its videos; what a person has placed stands for the prediction that it corrects, and
a node that a person has placed is certain. Instances are followed by their track, else by position.

The nodes are joints: of a known layout if they are called so, in any order; else a free layout, with the bones of the
skeleton where the file has one (the csv has none). The files tell no frame rate.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..motion.motion import Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _bodies, _detections, _hdf5, _text, _tracking
from ._following import MAX_POINTS

suffixes = (".csv", ".h5", ".slp")

ANALYSIS = {"tracks", "node_names"}  # at the top of its h5
PROJECT = "a SLEAP project: frames, instances, points and pred_points"
CENTRED = 1.1  # format in which the middle of a pixel is at whole numbers; before, its corner was
EDGES = 4 * MAX_JOINTS  # that are looked at
USER, PREDICTED = 0, 1  # types of instances
BONE = 1  # type of an edge; others say which nodes are left and right of each other
INCOMPLETE = "instances whose points are not those of the skeleton, left out"
WHAT = "a SLEAP analysis table: track, frame_idx, instance.score, and x, y and score of every node"
ROWS = "rows that cannot be read, left out"


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() == ".slp":
        return head.startswith(_hdf5.SIGNATURE)
    if path.suffix.lower() == ".h5":
        if not head.startswith(_hdf5.SIGNATURE):
            return False
        inside = _hdf5.names(path)
        return inside >= ANALYSIS or "analysis" in path.name.lower() or not inside  # then reading says what is wrong
    first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    return path.suffix.lower() == ".csv" and b"frame_idx" in first and b".x" in first and b".y" in first


class Found(NamedTuple):
    """The instances of a video.

    Attributes:
        source: what the motion is called.
        nodes: their names.
        edges: (parent, child) numbers of nodes.
        frames: number of the frame of each instance ``[D]``.
        tracks: of each, None where it has none.
        points: float32 ``[D, V, 3]``, x, y and score; 0 where a node was not found.
    """

    source: str
    nodes: list[str]
    edges: list[tuple[int, int]]
    frames: Sequence[int]
    tracks: list[str | None]
    points: np.ndarray


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, M, V, 2]`` in pixels, of a project one for each video."""
    notes: _detections.Notes = Counter()
    kind = {".h5": _analysis, ".slp": _project}.get(path.suffix.lower(), _table)
    for found in kind(path, notes):
        if not 0 < len(found.nodes) <= MAX_JOINTS:
            raise InputError(path, f"{len(found.nodes)} nodes", f"1 to {MAX_JOINTS}")
        layout, order = _bodies.named(found.nodes, found.edges)
        where = f"{path}, {found.source}" if found.source != path.name else path
        points = found.points[:, order]
        joints, seen, extra = _tracking.clip(where, found.frames, found.frames, points, found.tracks, notes=notes)
        yield Motion(
            joints,
            layout,
            seen,
            up="-y",
            unit="px",
            source=found.source,
            extra={**extra, "coordinates": "px"},
            notes=notes,
        )
        notes.clear()  # the motion has its own


def _table(path: Path, notes: _detections.Notes) -> Iterator[Found]:
    head, *rows = _text.table(path, WHAT)
    head = [cell.strip() for cell in head]
    columns = {name: at for at, name in reversed(list(enumerate(head)))}
    nodes = [name[:-2] for name in head if name.endswith(".x") and f"{name[:-2]}.y" in columns]
    nodes = list(dict.fromkeys(nodes))
    if "frame_idx" not in columns or not 0 < len(nodes) <= MAX_JOINTS:
        raise InputError(path, f"columns {', '.join(head)[:200]}", WHAT)
    if not rows:
        raise InputError(path, "no rows", WHAT)
    wanted = [columns.get(f"{node}.{what}") for node in nodes for what in ("x", "y", "score")]
    frames, tracks, values = [], [], []
    fault: InputError | None = None
    for k, row in enumerate(rows):
        place = f"{path}, row {k + 1}"
        try:
            if len(row) < len(head):
                raise InputError(place, f"{len(row)} cells", f"{len(head)}, as the head has")
            frames.append(_detections.whole(place, "frame_idx", row[columns["frame_idx"]].strip().removesuffix(".0")))
        except InputError as error:
            fault = fault or error
            continue
        track = row[columns["track"]].strip() if "track" in columns else ""
        tracks.append(track or None)
        values.append(["1" if at is None else row[at] for at in wanted])
    if fault is not None and 2 * len(values) <= len(rows):
        raise fault
    notes[ROWS] += len(rows) - len(values)
    points = _detections.cells(values, notes).reshape(len(values), len(nodes), 3)
    yield Found(path.name, nodes, [], frames, tracks, _placed(points))


def _placed(points: np.ndarray) -> np.ndarray:
    """x, y and score ``[D, V, 3]``, all 0 where there is no place, score 0 where there is none."""
    with np.errstate(over="ignore"):
        points = points.astype(np.float32)
    placed: np.ndarray = np.all(np.isfinite(points[..., :2]), axis=-1)
    points[..., 2] = np.where(np.isfinite(points[..., 2]), points[..., 2], 0)
    return np.where(placed[..., None], points, np.float32(0))


def _analysis(path: Path, notes: _detections.Notes) -> Iterator[Found]:
    """Arrays by track: ``tracks`` [track, xy, node, frame], ``point_scores`` [track, node, frame], or turned round."""
    with _hdf5.opened(path, WHAT) as file:
        nodes, names = file.texts("node_names"), file.texts("track_names") if "track_names" in file else []
        places = np.atleast_1d(file.array("tracks", "f"))
        scores = file.array("point_scores", "f") if "point_scores" in file else None
        pairs = file.array("edge_inds", "iu") if "edge_inds" in file else np.zeros((0, 2), np.int64)
    edges = _edges(pairs[:EDGES].tolist() if pairs.ndim == 2 and pairs.shape[1] == 2 else [], len(nodes))
    usual = (len(names) or places.shape[0], 2, len(nodes))
    if places.ndim == 4 and places.shape[:3] != usual and places.shape[:0:-1] == usual:
        places, scores = places.T, None if scores is None else scores.T
    if places.ndim != 4 or places.shape[1:3] != (2, len(nodes)) or 0 in places.shape:
        raise InputError(path, f"tracks of shape {places.shape} for {len(nodes)} nodes", WHAT)
    scores = np.ones(places[:, 0].shape) if scores is None else scores
    if scores.shape != places[:, 0].shape:
        raise InputError(path, f"point_scores of shape {scores.shape}", f"{places[:, 0].shape}, as tracks have them")
    points = np.concatenate([places, scores[:, None]], 1).transpose(3, 0, 2, 1)  # [T, tracks, V, 3]
    frame, track = np.nonzero(np.isfinite(points[..., :2]).all(-1).any(-1))
    known = len(names) == points.shape[1] and all(names)
    tracks = [names[k] if known else None for k in track.tolist()]
    yield Found(path.name, nodes, edges, frame.tolist(), tracks, _placed(points[frame, track]))


def _project(path: Path, notes: _detections.Notes) -> Iterator[Found]:
    """Tables of frames, of the instances in them, and of the points of these, by a person and predicted."""
    with _hdf5.opened(path, PROJECT) as file:
        about = _json(path, str(file.attribute("metadata", "json")))
        legacy = float(np.asarray(file.attribute("metadata", "format_id") or 1.0)) < CENTRED
        frames, instances = file.array("frames", "V"), file.array("instances", "V")
        points = [file.array(name, "V") for name in ("points", "pred_points")]
        tracks = [_json(path, text) for text in (file.texts("tracks_json") if "tracks_json" in file else [])]
    nodes, edges = _skeleton(path, about)

    def whole(table: np.ndarray, column: str) -> np.ndarray:
        return _column(path, table, column, "iu").astype(np.int64)

    by, begin, end = (whole(instances, name) for name in ("instance_type", "point_id_start", "point_id_end"))
    corrected = whole(instances, "from_predicted")[by == USER]
    count = np.where(by == USER, len(points[USER]), len(points[PREDICTED]))
    fits = (begin >= 0) & (end <= count) & (end - begin == len(nodes)) & np.isin(by, (USER, PREDICTED))
    fits &= whole(instances, "skeleton") == 0
    notes[INCOMPLETE] += int((~fits).sum())
    used = fits & ~((by == PREDICTED) & np.isin(whole(instances, "instance_id"), corrected))
    order = np.argsort(whole(frames, "frame_id"), kind="stable")
    known, wanted = whole(frames, "frame_id")[order], whole(instances, "frame_id")
    at = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    kept = np.flatnonzero(used & (known[at] == wanted)) if len(known) else np.zeros(0, np.int64)
    if not len(kept) or len(kept) * len(nodes) > MAX_POINTS:
        found = f"{len(kept)} of {len(instances)} instances of {len(nodes)} nodes can be used"
        raise InputError(path, found, f"{PROJECT}, at most {MAX_POINTS} places")
    values = np.empty((len(kept), len(nodes), 3))
    for kind, table in enumerate(points):
        mine = by[kept] == kind
        rows = begin[kept][mine][:, None] + np.arange(len(nodes))
        score = _column(path, table, "score", "fiu") if kind == PREDICTED else np.ones(len(table))
        columns = [*(_column(path, table, name, "fiu") - 0.5 * legacy for name in "xy"), score]
        shown = _column(path, table, "visible", "biu") != 0
        values[mine] = np.where(shown[rows, None], np.stack(columns, 1)[rows], np.nan)
    track, row = whole(instances, "track")[kept].tolist(), order[at[kept]]
    names = [str(words[-1]) if isinstance(words, list) and words else None for words in tracks]
    named = [names[t] if 0 <= t < len(names) else None for t in track]
    video, number = whole(frames, "video")[row], whole(frames, "frame_idx")[row]
    if number.min() < 0:
        raise InputError(path, f"frame {number.min()}", "whole numbers, from 0")
    for each in np.unique(video).tolist():
        mine = np.flatnonzero(video == each)
        source = path.name if (video == each).all() else f"{path.name}#{each}"
        yield Found(
            source, nodes, edges, number[mine].tolist(), [named[k] for k in mine.tolist()], _placed(values[mine])
        )


def _column(path: Path, table: np.ndarray, name: str, kinds: str) -> np.ndarray:
    """A column of a table, one number in each row."""
    column = table[name] if name in (table.dtype.names or ()) else None
    if column is None or column.ndim != 1 or column.dtype.kind not in kinds:
        raise InputError(path, f"a table without a column {name!r} of numbers", PROJECT)
    return column


def _skeleton(path: Path, about: Any) -> tuple[list[str], list[tuple[int, int]]]:
    """Names of the nodes of the first skeleton, in its order, and its edges."""
    try:
        words, first = [str(node["name"]) for node in about["nodes"]], about["skeletons"][0]
        ids = [node["id"] for node in first["nodes"]]
        nodes, place = [words[number] for number in ids], {number: k for k, number in enumerate(ids)}
    except (TypeError, KeyError, IndexError):
        raise InputError(path, "metadata without a skeleton", PROJECT) from None
    pairs = []
    links = first.get("links")
    for link in links[:EDGES] if isinstance(links, list) else []:
        with contextlib.suppress(TypeError, KeyError, IndexError, AttributeError):
            kind = link["type"]
            number = kind["py/reduce"][1]["py/tuple"][0] if "py/reduce" in kind else kind["py/id"]
            if number == BONE:
                pairs.append((place[link["source"]], place[link["target"]]))
    return nodes, _edges(pairs, len(nodes))


def _edges(pairs: Sequence[Sequence[int]], count: int) -> list[tuple[int, int]]:
    """Those whose nodes are there."""
    return [(one, other) for one, other in pairs if 0 <= one < count and 0 <= other < count]


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(path, "metadata that are no JSON", PROJECT) from None
