"""People of a video: what a detector finds frame by frame, checked and put into one array.

Detectors list the people of a frame in any order, miss some, and invent others; :mod:`kineme.io._following` says who
is who.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..motion.motion import UNSURE
from ..utils.errors import InputError
from ._following import MAX_POINTS, arrange, follow

MAX_PEOPLE = 128  # in one frame
SPARSE = 100  # frames for each one that is described, at most: a number in a file allocates no more


def clip(
    where: object,
    numbers: Sequence[int] | np.ndarray,
    frame: Sequence[int] | np.ndarray,
    points: np.ndarray,
    ids: Sequence[Any] | None = None,
    by: np.ndarray | None = None,
    notes: dict[str, int] | None = None,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Detections as one clip.

    Frames that are not described are there with nobody in them; where only every k-th one is, the others are left out
    (``frame_step`` k). Confidence is held within 0 to 1; who has none above 0 is not there. A joint of somebody who is
    there that has a place but no confidence is :data:`~kineme.motion.motion.UNSURE`; one at the origin is missing.

    Args:
        where: what a message calls the clip.
        numbers: of all frames that are described, in any order.
        frame: the frame number of each detection ``[D]``.
        points: coordinates and confidence ``[D, V, C + 1]``, finite.
        ids: who each detection is, None if unknown (:func:`kineme.io._following.follow`). Where nobody has one, who is
            always alone is one person, however he jumps.
        by: what to follow people by, if not ``points``.
        notes: what is told about the motion; how often somebody had no id is added.

    Returns:
        joints float32 ``[T, M, V, C]``, confidence ``[T, M, V]``, and columns: ``first_frame``, ``frame_step``, and
        ``followed`` (``id``, ``position``, or ``id and position``).

    Raises:
        InputError: no frame, nobody, numbers too far apart, too many people.
    """
    known = np.unique(np.asarray(numbers, np.int64))
    if not len(known):
        raise InputError(where, "no frame", "at least one")
    first, step = int(known[0]), int(np.gcd.reduce(np.diff(known))) or 1
    frames = (int(known[-1]) - first) // step + 1
    if frames > SPARSE * len(known):
        raise InputError(
            where,
            f"{len(known)} frames with numbers from {first} to {known[-1]}",
            f"frames of one recording: at least one in {SPARSE}",
        )
    confidence = np.clip(points[..., -1], 0, 1)
    there = np.flatnonzero(confidence.any(1))
    if not len(there):
        raise InputError(where, f"nobody is seen in any of {len(known)} frames", "a person, at least once")
    placed = points[..., :-1].any(-1) & (confidence == 0)
    confidence = np.where(placed, np.float32(UNSURE), confidence)
    at = (np.asarray(frame, np.int64)[there] - first) // step
    order = np.argsort(at, kind="stable")
    there, at = there[order], at[order]
    if np.bincount(at).max() > MAX_PEOPLE:
        raise InputError(where, f"{np.bincount(at).max()} people in one frame", f"at most {MAX_PEOPLE}")
    near = (points if by is None or not (by[there, :, -1] > 0).any(1).all() else by)[there]
    names = None if ids is None else [ids[i] for i in there.tolist()]
    track, how, counts = follow(at, near[..., :-1], near[..., -1] > 0, names)
    if how == "position" and len(np.unique(at)) == len(at):
        track = np.zeros(len(at), np.int64)
    tell(notes, counts)
    slot = arrange(where, at, track, confidence[there].sum(1), frames, MAX_POINTS // (frames * points.shape[1]))
    shape = (frames, int(slot.max()) + 1, points.shape[1])
    joints, seen = np.zeros((*shape, points.shape[2] - 1), np.float32), np.zeros(shape, np.float32)
    joints[at, slot], seen[at, slot] = points[there, :, :-1], confidence[there]
    return joints, seen, {"first_frame": first, "frame_step": step, "followed": how}


def tell(notes: dict[str, int] | None, counts: Mapping[str, int]) -> None:
    """Add counts to notes, if there are any to add to."""
    if notes is not None:
        for words, count in counts.items():
            notes[words] = notes.get(words, 0) + count
