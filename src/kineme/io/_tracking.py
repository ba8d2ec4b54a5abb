"""People of a video: what a detector finds frame by frame, checked and put into one array.

Detectors list the people of a frame in any order, miss some, and invent others; :mod:`kineme.io._following` says who
is who.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import InputError
from . import _text
from ._following import MAX_POINTS, arrange, follow

MAX_PEOPLE = 128  # in one frame
SPARSE = 100  # frames for each one that is described, at most: a number in a file allocates no more
BODY = {
    17: ("coco17", 17),
    18: ("openpose18", 18),
    25: ("body25", 25),  # keypoints -> layout, those that belong to it:
    26: ("coco17", 17),
    133: ("coco17", 17),
    136: ("coco17", 17),
}  # Halpe, COCO-WholeBody: COCO's 17 stand first


def table(places: Sequence[object], rows: Sequence[Any], shapes: Collection[tuple[int, ...]], what: str) -> np.ndarray:
    """Rows of numbers from outside as float32 ``[N, *shape]``, all of one of these shapes.

    Args:
        places: what a message calls each row.
        what: what a row should be.

    Raises:
        InputError: a row of another shape than its fellows, or that is not of finite real numbers; it names the row.
    """
    array = _array(rows)
    if array is None or array.shape[1:] not in shapes:
        single = [_array(row) for row in rows]
        fit = [one is not None and one.shape in shapes for one in single]
        shapes_seen = [one.shape if one is not None else None for one in single]
        unlike = (i for i, shape in enumerate(shapes_seen) if shape != shapes_seen[0])
        bad = fit.index(False) if False in fit else next(unlike, 0)
        one = single[bad]
        found = "a row that is no table of numbers" if one is None else f"numbers of shape {list(one.shape)}"
        raise InputError(places[bad], found, f"{what}, the same in the whole file")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        bad = int(np.argmin(np.isfinite(array.reshape(len(array), -1)).all(1)))
        raise InputError(places[bad], "a number that is not finite in single precision", what)
    return array


def _array(rows: Any) -> np.ndarray | None:
    """An array of real numbers, or None."""
    try:
        array = np.array(rows)
    except (ValueError, OverflowError):  # rows of different lengths
        return None
    return array if array.dtype.kind in "fiu" else None


def whole(place: object, what: str, value: Any) -> int:
    """A frame or other number from outside.

    Raises:
        InputError: not a whole number of at most 18 digits, from 0.
    """
    if type(value) is not int or not 0 <= value < 10**18:
        raise InputError(
            place,
            f"{what} {str(value)[:40] if not isinstance(value, int) else 'out of range'}",
            "a whole number, from 0",
        )
    return value


def size(width: Any, height: Any) -> tuple[int, int] | None:
    """Size of an image from outside; None unless both are whole numbers above 0."""
    return (width, height) if all(type(side) is int and 0 < side < 10**6 for side in (width, height)) else None


def unit(points: np.ndarray) -> tuple[str, str]:
    """Unit of 2-D detections ``[D, V, 3]`` and the word for it: ``px``, or ``1`` for ``0..1`` or ``-1..1``.

    Shares of the image do not reach far beyond 1, while nobody is two pixels tall: the median tells them apart.
    """
    seen = points[points[..., 2] > 0][:, :2]
    if not len(seen) or np.median(np.abs(seen)) > 2:
        return "px", "px"
    return "1", "-1..1" if np.median(seen.min(1)) < 0 else "0..1"


def stated(points: np.ndarray) -> np.ndarray:
    """The same detections ``[D, V, 3]``; where no confidence at all is stated, all joints but (0, 0) count as seen."""
    if len(points) and not (points[..., -1] > 0).any():
        points = np.concatenate([points[..., :-1], points[..., :-1].any(-1, keepdims=True)], axis=-1)
    return points.astype(np.float32)


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
    (``frame_step`` k). Confidence is held within 0 to 1; who has none above 0 is not there.

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
        notes.update({words: notes.get(words, 0) + count for words, count in counts.items()})


def items(place: object, value: Any, what: str) -> list[dict[str, Any]]:
    """A list of objects from outside.

    Raises:
        InputError: something else.
    """
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(place, f"{what} that are no list of objects", f"{what}: [{{...}}, ...]")
    return value


def document(path: Path, what: str) -> Any:
    """The content of a JSON file, a list or an object.

    Raises:
        InputError: not JSON, or nothing in it.
    """
    data = _text.document(path, what)
    if not isinstance(data, (dict, list)) or not data:
        raise InputError(path, "JSON of another kind" if data else "JSON with nothing in it", what)
    return data
