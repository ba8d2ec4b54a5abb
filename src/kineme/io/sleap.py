"""SLEAP analysis tables (csv): a row for each animal or person of each frame, x, y and score of every node.

Pereira et al., Nature Methods 2022. Columns ``track``, ``frame_idx``, ``instance.score``, then ``NODE.x``, ``NODE.y``
and ``NODE.score``; an empty cell is a node that was not found. Instances are followed by their track, else by
position. The nodes are joints: of a known layout if they are called so, in any order; else a free layout. The file
tells no skeleton and no frame rate. HDF5 files and ``.slp`` projects are not read: SLEAP exports csv as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..motion.motion import Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _bodies, _detections, _text, _tracking

suffixes = (".csv", ".h5", ".slp")

WHAT = "a SLEAP analysis table: track, frame_idx, instance.score, and x, y and score of every node"
HDF5 = b"\x89HDF\r\n\x1a\n"
ROWS = "rows that cannot be read, left out"


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() in (".h5", ".slp"):
        return head.startswith(HDF5) and (path.suffix.lower() == ".slp" or "analysis" in path.name.lower())
    first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    return path.suffix.lower() == ".csv" and b"frame_idx" in first and b".x" in first and b".y" in first


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, M, V, 2]`` in pixels."""
    if path.suffix.lower() != ".csv":
        raise InputError(path, "an HDF5 file", WHAT, "SLEAP exports the same as csv: File, Export Analysis CSV")
    head, *rows = _text.table(path, WHAT)
    head = [cell.strip() for cell in head]
    columns = {name: at for at, name in reversed(list(enumerate(head)))}
    nodes = [name[:-2] for name in head if name.endswith(".x") and f"{name[:-2]}.y" in columns]
    nodes = list(dict.fromkeys(nodes))
    if "frame_idx" not in columns or not 0 < len(nodes) <= MAX_JOINTS:
        raise InputError(path, f"columns {', '.join(head)[:200]}", WHAT)
    if not rows:
        raise InputError(path, "no rows", WHAT)
    notes: _detections.Notes = Counter()
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
    placed: np.ndarray = np.all(np.isfinite(points[..., :2]), axis=-1)
    points[..., 2] = np.where(np.isfinite(points[..., 2]), points[..., 2], 0)
    points = np.where(placed[..., None], points, np.float32(0))
    layout, order = _bodies.named(nodes)
    joints, seen, extra = _tracking.clip(path, frames, frames, points[:, order], tracks, notes=notes)
    yield Motion(
        joints,
        layout,
        seen,
        up="-y",
        unit="px",
        source=path.name,
        extra={**extra, "coordinates": "px"},
        notes=notes,
    )
