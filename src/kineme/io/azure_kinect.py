"""Azure Kinect bodies (.json of its offline processor): frames of bodies of 32 joints, in millimetres.

``frames`` hold ``bodies``, each with ``body_id`` and ``joint_positions`` ``[32, 3]`` in the frame of the depth camera
(x to the right, y down, z away from it), and ``timestamp_usec``, from which the rate follows. People are followed by
their ids (:mod:`kineme.io._following`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..motion import layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import Options, _detections, _tracking

suffixes = (".json",)

WHAT = "JSON with frames, each with bodies of body_id and joint_positions [32, 3]"


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".json":
        return False
    return b"K4ABT_JOINT" in head or (b'"joint_positions"' in head and b'"bodies"' in head)


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, M, 32, 3]``."""
    data = _detections.document(path, WHAT)
    if not isinstance(data, dict) or "frames" not in data:
        raise InputError(path, "JSON of another kind", WHAT)
    notes: _detections.Notes = Counter()
    frames = _detections.some(path, data["frames"], "frames", notes)
    if not frames:
        raise InputError(path, "no frames", WHAT)
    places, rows, at, ids = [], [], [], []
    for k, frame in frames:
        for j, body in _detections.some(f"{path}, frame {k}", frame.get("bodies", []), "bodies", notes):
            places.append(f"{path}, frame {k}, body {j}")
            rows.append(body.get("joint_positions"))
            ids.append(body.get("body_id"))
            at.append(k)
    if not rows:
        raise InputError(path, f"nobody in any of {len(frames)} frames", "a body, at least once")
    table, kept = _detections.table(places, rows, {(32, 3)}, "joint_positions [32, 3]", notes)
    points = _detections.gaps(np.concatenate([table, np.ones((*table.shape[:2], 1), np.float32)], -1), notes)
    points[~points[..., :3].any(-1), 3] = 0
    names = [ids[k] if isinstance(ids[k], (int, str)) else None for k in kept]
    numbers = [k for k, _ in frames]
    joints, seen, extra = _tracking.clip(path, numbers, [at[k] for k in kept], points, names, notes=notes)
    times = np.array([_detections.number(frame.get("timestamp_usec")) for _, frame in frames])
    steps = np.diff(times) / np.diff(numbers) if len(times) > 1 else np.zeros(0)
    middle = float(np.median(steps)) if len(steps) and np.isfinite(steps).all() else 0.0
    yield Motion(
        joints,
        layout.layout("azure32"),
        seen,
        fps=float(f"{1e6 / middle / extra['frame_step']:.6g}") if 1e3 <= middle <= 1e7 else None,
        up="-y",
        unit="mm",
        source=path.name,
        extra=extra,
        notes=notes,
    )
