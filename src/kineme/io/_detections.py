"""Numbers from detectors: tables with gaps, whole numbers, sizes, rates. One fault costs itself, and is counted.

``notes`` is a counter of what was mended (``Motion.notes``). What has no number where one belongs (NaN, null, an empty
text, infinity) is missing; what has another form than its fellows is left out as long as most of them are good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import InputError
from . import _text

Notes = Counter[str]
GAPS = "joints that are no number (NaN, null, infinite), taken as missing"
CELLS = "cells with something else than a number, taken as missing"
EMPTY = "people without a single joint that is a number, taken as absent"
FORM = "people whose joints are in another form than those of the others, left out"
NUMBERS = "frames without a number of their own, left out"
SIZES = "image sizes that cannot be used (not two whole numbers above 0), passed over"
TEXT = "image sizes given as text, read as numbers"
RATES = "frame rates that cannot be used, passed over"


def table(
    places: Sequence[object], rows: Sequence[Any], shapes: Collection[tuple[int, ...]], what: str, notes: Notes
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of numbers from outside as one array, all of the shape of most of them.

    Args:
        places: what a message calls each row.
        shapes: those that a row may have.
        what: what a row should be.

    Returns:
        Numbers float32 ``[N, *shape]``, NaN or infinite where there is none, and which of the rows these are ``[N]``.

    Raises:
        InputError: not more than half of the rows have one and the same of these shapes; it names a row that has not.
    """
    array = _array(rows)
    kept: np.ndarray = np.arange(len(rows))
    if array is None or array.shape[1:] not in shapes:
        single = [_array(row, repair=True) for row in rows]
        shape_of = [one.shape if one is not None and one.shape in shapes else None for one in single]
        counts = Counter(shape for shape in shape_of if shape is not None)
        most = max(counts, key=counts.__getitem__, default=())
        count = counts[most]
        if 2 * count <= len(rows):
            bad = next((i for i, shape in enumerate(shape_of) if shape is None), None)
            bad = next(i for i, shape in enumerate(shape_of) if shape != shape_of[0]) if bad is None else bad
            one = single[bad]
            found = "a row that is no table of numbers" if one is None else f"numbers of shape {list(one.shape)}"
            raise InputError(places[bad], found, f"{what}, the same in the whole file")
        kept = np.array([i for i, shape in enumerate(shape_of) if shape == most])
        array = np.stack([single[i] for i in kept])
        notes[FORM] += len(rows) - count
    with np.errstate(over="ignore"):
        return array.astype(np.float32), kept


def _array(rows: Any, repair: bool = False) -> np.ndarray | None:
    """An array of real numbers, or None; with ``repair`` NaN for whatever else stands in the place of a number."""
    array: np.ndarray | None
    try:
        array = np.array(rows)
    except (ValueError, OverflowError):  # rows of different lengths
        array = np.array(rows, object) if repair and isinstance(rows, list) and not any(map(_many, rows)) else None
    if array is None or array.dtype.kind in "fiu":
        return array
    if not repair or not array.ndim or array.dtype.kind not in "OUb" or any(map(_many, array.ravel().tolist())):
        return None
    return np.array([number(value) for value in array.ravel().tolist()]).reshape(array.shape)


def array(value: Any) -> np.ndarray | None:
    """Nested lists of numbers from outside as an array, NaN where something else stands; None for other things."""
    return _array(value, repair=True) if isinstance(value, list) else None


def _many(value: Any) -> bool:
    return isinstance(value, (list, dict))


def number(value: Any) -> float:
    """A number from outside; NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("inf")
    except ValueError:
        return float("nan")


def cells(rows: Sequence[Sequence[str]], notes: Notes) -> np.ndarray:
    """Numbers of a table of text ``[R, C]``, NaN for empty cells and for what is no finite number, which is counted."""
    with np.errstate(over="ignore"):
        values = np.array([[number(cell) if cell else np.nan for cell in row] for row in rows]).astype(np.float32)
    lost = [cell for row, bad in zip(rows, ~np.isfinite(values)) for cell, none in zip(row, bad) if none and cell]
    notes[CELLS] += sum(cell.strip().lower() not in ("", "nan") for cell in lost)
    return np.where(np.isfinite(values), values, np.float32("nan"))


def gaps(points: np.ndarray, notes: Notes) -> np.ndarray:
    """Detections ``[D, V, C + 1]``, all 0 (missing) where a coordinate or the confidence is not finite."""
    given = np.isfinite(points).all(-1)
    if given.all():
        return points
    nobody = ~given.any(1)
    notes[EMPTY] += int(nobody.sum())
    notes[GAPS] += int((~given[~nobody]).sum())
    return np.where(given[..., None], points, np.float32(0))


def stated(points: np.ndarray) -> np.ndarray:
    """The same detections ``[D, V, C + 1]``; where no confidence at all is stated, all joints but those at 0 count as
    seen.
    """
    if len(points) and not (points[..., -1] > 0).any():
        points = np.concatenate([points[..., :-1], points[..., :-1].any(-1, keepdims=True)], axis=-1)
    return points.astype(np.float32)


def whole(place: object, what: str, value: Any) -> int:
    """A frame or other number from outside: ``3``, ``3.0`` or ``"3"``.

    Raises:
        InputError: not a whole number of at most 18 digits, from 0.
    """
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= 18:
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if type(value) is not int or not 0 <= value < 10**18:
        found = str(value)[:40] if not isinstance(value, int) else "out of range"
        raise InputError(place, f"{what} {found}", "a whole number, from 0")
    return value


def numbering(places: Sequence[object], what: str, values: Sequence[Any], notes: Notes) -> list[int | None]:
    """Numbers of frames, None for one to be left out: without a number, or with that of an earlier one.

    Frames none of which has a number are counted from 0.

    Raises:
        InputError: not more than half of the frames have a number of their own; it names the first that has not.
    """
    if all(value is None for value in values):
        return list(range(len(values)))
    found: list[int | None] = []
    fault: InputError | None = None
    met: set[int] = set()
    for place, value in zip(places, values):
        one: int | None = None
        try:
            one = whole(place, what, value)
            if one in met:
                raise InputError(place, f"{what} {one} once more", "a number for each frame")
            met.add(one)
        except InputError as error:
            fault, one = fault or error, None
        found.append(one)
    if fault is not None:
        if 2 * len(met) <= len(found):
            raise fault
        notes[NUMBERS] += len(found) - len(met)
    return found


def size(width: Any, height: Any, notes: Notes) -> tuple[int, int] | None:
    """Size of an image from outside, ``1920``, ``1920.0`` or ``"1920"``; None where there is none that can be used."""
    if width is None and height is None:
        return None
    try:
        sides = whole("image", "width", width), whole("image", "height", height)
    except InputError:
        sides = 0, 0
    if not all(0 < side < 10**6 for side in sides):
        notes[SIZES] += 1
        return None
    notes[TEXT] += isinstance(width, str) or isinstance(height, str)
    return sides


def rate(value: Any, notes: Notes) -> float | None:
    """Frames per second from outside: a number, or a text such as ``29.97`` or ``30000/1001``; None where unknown (0,
    as video files without a rate give) or not to be used.
    """
    if isinstance(value, str) and value.count("/") == 1:
        try:
            value = float(Fraction(value.replace(" ", "")))
        except (ValueError, ZeroDivisionError, OverflowError):
            value = 0 if value.replace(" ", "") == "0/0" else "x"
    fps = number(value)
    if value is None or value == "" or fps == 0 or (isinstance(value, float) and fps != fps):
        return None
    if not 0 < fps < 1e6:
        notes[RATES] += 1
        return None
    return fps


def unit(points: np.ndarray) -> tuple[str, str]:
    """Unit of 2-D detections ``[D, V, 3]`` and the word for it: ``px``, or ``1`` for ``0..1`` or ``-1..1``.

    Shares of the image do not reach far beyond 1, while nobody is two pixels tall: the median tells them apart.
    """
    seen = points[points[..., 2] > 0][:, :2]
    if not len(seen) or np.median(np.abs(seen)) > 2:
        return "px", "px"
    return "1", "-1..1" if np.median(seen.min(1)) < 0 else "0..1"


def items(place: object, value: Any, what: str) -> list[dict[str, Any]]:
    """A list of objects from outside.

    Raises:
        InputError: something else.
    """
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(place, f"{what} that are no list of objects", f"{what}: [{{...}}, ...]")
    return value


def some(place: object, value: Any, what: str, notes: Notes) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a list from outside with their places in it; what is no object is left out.

    Raises:
        InputError: no list, or not more than half of its entries are objects.
    """
    known = [(k, item) for k, item in enumerate(value) if isinstance(item, dict)] if isinstance(value, list) else []
    if not isinstance(value, list) or (value and 2 * len(known) <= len(value)):
        raise InputError(place, f"{what} that are no list of objects", f"{what}: [{{...}}, ...]")
    notes[f"{what} that are no objects, left out"] += len(value) - len(known)
    return known


def document(path: Path, what: str) -> Any:
    """The content of a JSON file, a list or an object.

    Raises:
        InputError: not JSON, or nothing in it.
    """
    data = _text.document(path, what)
    if not isinstance(data, (dict, list)) or not data:
        raise InputError(path, "JSON of another kind" if data else "JSON with nothing in it", what)
    return data
