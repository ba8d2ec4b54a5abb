"""A long recording on one line: how much moves when, who is seen, and where else something like a part of it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...inference.windows import distinct
from ...motion.motion import Motion
from ...utils.errors import InputError
from .workspace import Workspace, span

SECONDS = 0.25  # of a step of the curve
MOST_STEPS, MOST_FOUND = 20_000, 500
LEAST = 0.5  # cosine below which nothing is found


def curve(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """How fast joints move on average, a number for each quarter of a second, and which people are seen.

    Returns:
        float32 ``[n]`` in the motion's unit a second (a frame, where no rate is known); uint8 ``[n, M]``.
    """
    step = max(1, round((motion.fps or 1 / SECONDS) * SECONDS), len(motion) // MOST_STEPS)
    seen = motion.confidence > 0
    both = seen[1:] & seen[:-1]
    moved = np.linalg.norm(np.diff(motion.joints.astype(np.float64), axis=0), axis=-1) * both
    speed = np.zeros(len(motion))
    speed[1:] = moved.sum((1, 2)) / np.maximum(both.sum((1, 2)), 1) * (motion.fps or 1)
    edges = np.arange(0, len(motion), step)
    counts = np.diff(np.append(edges, len(motion)))
    there = np.maximum.reduceat(seen.any(2).astype(np.uint8), edges)
    return (np.add.reduceat(speed, edges) / counts).astype(np.float32), there


def found(work: Workspace, row: int, start: float, end: float, minus: list[tuple[float, float]]) -> dict[str, Any]:
    """Windows of a recording that are like a part of it, best first, the part itself aside.

    Args:
        work: what is shown.
        row: the recording.
        start, end: seconds of the part.
        minus: seconds of parts that they are not to be like.

    Returns:
        ``hits`` with ``from``, ``to``, ``score``, and ``threshold``: in the middle of the widest gap between scores.

    Raises:
        InputError: a recording that the index has no windows of, no such part.
    """
    index, entry = work.searcher.index, work.entries[row]
    rows = np.flatnonzero(index.select(windows=True) & (index.column("row") == entry.row))
    rows = rows[(index.column("store")[rows] == entry.store) & ~index.column("whole")[rows]]
    if not len(rows):
        expected = "one that is longer than two windows"
        raise InputError(entry.id, "a recording that is not cut into windows", expected)
    rate = entry.fps or 1.0
    vector = work.vector(work.part(row, start, end))
    if minus:
        vector = vector - 0.5 * np.mean([work.vector(work.part(row, *each)) for each in minus], 0)
    scores = index.vectors(rows) @ (vector / max(float(np.linalg.norm(vector)), 1e-9))
    spans = np.stack([index.column("start")[rows], index.column("end")[rows]], 1)
    first, last = span(entry.end - entry.start, entry.fps, start, end)
    keep = (scores >= LEAST) & ~((spans[:, 0] < last) & (first < spans[:, 1]))
    spans, scores = spans[keep], scores[keep]
    best = distinct(spans, scores.tolist(), [0] * len(spans))[:MOST_FOUND]
    hits = [{"from": spans[i, 0] / rate, "to": spans[i, 1] / rate, "score": float(scores[i])} for i in best.tolist()]
    return {"hits": hits, "threshold": threshold(scores[best])}


def threshold(scores: np.ndarray) -> float:
    """The middle of the widest gap between scores in falling order; below all of them where there is no second one."""
    if len(scores) < 2:
        return LEAST
    gaps = scores[:-1] - scores[1:]
    place = int(gaps.argmax())
    return float((scores[place] + scores[place + 1]) / 2)
