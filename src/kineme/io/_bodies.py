"""What the places of joints tell about a body: the order of its keypoints, unit and up axis in space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion import size
from ..motion.layout import Layout
from ..motion.motion import Motion
from ..motion.units import UNITS
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _detections
from ._detections import Notes

ORDERS = {  # keypoints -> layouts that a detector may mean, the usual one first, and how many joints belong to it
    17: (("coco17", 17), ("h36m17", 17)),
    18: (("openpose18", 18), ("coco17", 17)),  # COCO's with a neck behind them
    25: (("body25", 25), ("body25b", 25), ("ntu25", 25)),
    26: (("halpe26", 26),),
    133: (("coco_wholebody133", 133),),
    136: (("halpe136", 136),),
}
FLAT = {  # the same of arrays that state no names, of poses in the image ...
    **ORDERS,
    13: (("penn13", 13),),
    15: (("jhmdb15", 15),),
    19: (("panoptic19", 19),),
    33: (("mediapipe33", 33),),
}
SPACE = {  # ... and in space; 75 and more: MediaPipe's with hands and a face behind them
    17: (("h36m17", 17), ("coco17", 17)),
    19: (("panoptic19", 19),),
    20: (("kinect20", 20),),
    23: (("mvnx23", 23),),
    24: (("smpl24", 24),),
    25: (("ntu25", 25), ("body25", 25), ("body25b", 25)),
    26: (("halpe26", 26),),
    32: (("azure32", 32),),
    **dict.fromkeys((33, 75, 543, 553), (("mediapipe33", 33),)),
    133: (("coco_wholebody133", 133),),
    136: (("halpe136", 136),),
}
PARTS = {"foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}  # of COCO-WholeBody's files
BODIES = 2000  # are enough to look at
BONES = 6  # of a body, at least, to be judged by
MIDDLES = (("chest", "left_shoulder", "right_shoulder"), ("pelvis", "left_hip", "right_hip"))  # between the other two
RIGHT, RATIO = 0.26, 1.3  # strain (see below) of an order that is the right one, at most, and of a wrong one against it
STRANGE = 0.32  # strain of bodies that have no known order


def keypoints(
    places: Sequence[object], rows: Sequence[Any], width: int, what: str, asked: Mapping[str, Any] | None, notes: Notes
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of detectors, ``width`` numbers for each keypoint, flat or not, as ``[N, V, width]``, and which of the rows
    these are ``[N]``; see :func:`kineme.io._detections.table`.
    """
    name = (asked or {}).get("keypoints")
    counts = ORDERS if name is None else range(len(skeleton.layout(name)), MAX_JOINTS)
    shapes = {shape for count in counts for shape in ((count * width,), (count, width))}
    known = " or ".join(map(str, ORDERS)) if name is None else f"at least {min(counts)}"
    table, kept = _detections.table(places, rows, shapes, f"{what} of {width} x {known} numbers", notes)
    return table.reshape(len(table), -1, width), kept


def joined(body: list[Any], entry: Mapping[str, Any]) -> list[Any]:
    """Flat keypoints of a person of COCO-WholeBody: of the body, then of feet, face and hands, 0 where none are."""
    row = list(body)
    for name, count in PARTS.items():
        part = entry.get(name)
        row += part if isinstance(part, list) and len(part) == 3 * count else [0] * (3 * count)
    return row


def named(names: Sequence[str], edges: Iterable[Sequence[int]] = ()) -> tuple[Layout, list[int]]:
    """The layout of joints of these names, and where each of its joints stands among them.

    Args:
        names: of the joints.
        edges: (parent, child) numbers, the bones of a free layout; one that makes no tree is left out.
    """
    known = skeleton.identify(names)
    if known is not None:
        return known, list(range(len(names)))
    parents = [-1] * len(names)
    for parent, child in edges:
        above = parent
        while above not in (-1, child):
            above = parents[above]
        if above == -1 and parents[child] == -1:
            parents[child] = parent
    return skeleton.reordered(names) or (skeleton.free(names, parents), list(range(len(names))))


def order(points: np.ndarray, asked: Mapping[str, Any] | None, notes: Notes) -> tuple[Layout, np.ndarray]:
    """What the keypoints ``[D, V, C + 1]`` of detectors are, and those that belong to it, ``[D, len(layout), C + 1]``.

    The number of keypoints tells, unless their places say that another order of as many was meant: bones are short,
    the neck is between the shoulders, and joints of another order are joined by long bones. ``keypoints`` among what
    the user asked for names the layout.

    Raises:
        InputError: a layout of more joints is asked for.
    """
    return _asked(points, asked) or _chosen(points, ORDERS[points.shape[1]], notes)


def by_number(
    where: object, points: np.ndarray, asked: Mapping[str, Any] | None, notes: Notes
) -> tuple[Layout, np.ndarray]:
    """The same of arrays that state no names, in the image or, ``[D, V, 4]``, in space.

    Raises:
        InputError: no layout, or one of more joints than are there, has as many joints.
    """
    known = SPACE if points.shape[2] == 4 else FLAT
    given = _asked(points, asked)
    if given is None and points.shape[1] not in known:
        raise InputError(
            where,
            f"{points.shape[1]} joints in {points.shape[2] - 1}-D",
            f"one of {', '.join(map(str, sorted(known)))} joints",
            "Name the layout: --read keypoints=LAYOUT",
        )
    return given or _chosen(points, known[points.shape[1]], notes)


def _asked(points: np.ndarray, asked: Mapping[str, Any] | None) -> tuple[Layout, np.ndarray] | None:
    """The layout that a user names, and its joints."""
    if (name := (asked or {}).get("keypoints")) is None:
        return None
    layout = skeleton.layout(name)
    if len(layout) > points.shape[1]:
        found = f"layout {name} of {len(layout)} joints"
        raise InputError("keypoints", found, f"one of at most {points.shape[1]} joints")
    return layout, points[:, : len(layout)]


def _chosen(points: np.ndarray, choices: Sequence[tuple[str, int]], notes: Notes) -> tuple[Layout, np.ndarray]:
    """Of several layouts the one that the places of the joints suit, the usual one unless another does far better."""
    usual, *others = [(skeleton.layout(name), points[:, :used]) for name, used in choices]
    strains = [_strain(*one) for one in (usual, *others)]
    people, count = int((points[..., -1] > 0).any(1).sum()), points.shape[1]
    best = int(np.nanargmin(strains)) if np.isfinite(strains).any() else 0
    if best and strains[best] < RIGHT and strains[0] > RATIO * strains[best]:
        layout, points = others[best - 1]
        notes[f"people whose {count} keypoints lie in the order of {layout.name}, not {usual[0].name}"] += people
        return layout, points
    if strains[0] > STRANGE:
        notes[f"people whose {count} keypoints lie in no known order, taken for that of {usual[0].name}"] += people
    return usual


def _strain(layout: Layout, points: np.ndarray) -> float:
    """How far bodies ``[D, V, C + 1]`` are from looking like this layout, in diagonals of their boxes: mean length of
    the bones, and mean distance of the joints that lie midway between two others from there. NaN where nothing tells.
    """
    points = points[:: -(-len(points) // BODIES) or 1]
    seen = points[..., -1] > 0
    places = np.where(seen[..., None], points[..., :-1], np.nan).astype(np.float64)
    ends = np.array(layout.bones)
    bones = np.linalg.norm(places[:, ends[:, 0]] - places[:, ends[:, 1]], axis=-1)
    known = np.isfinite(bones).sum(1) >= BONES
    spans = _spans(places[known])
    known[known] = spans > 0
    spans = spans[spans > 0]
    if not known.any():
        return float("nan")
    strain = np.nanmean(bones[known], axis=1) / spans
    middles = [found for names in MIDDLES if None not in (found := [layout.find(name) for name in names])]
    for middle, left, right in middles:
        away = np.linalg.norm(places[known, middle] - (places[known, left] + places[known, right]) / 2, axis=-1)
        strain += np.nan_to_num(away / spans) / len(middles)
    return float(np.median(strain))


def _spans(places: np.ndarray) -> np.ndarray:
    """Diagonals of the boxes around bodies ``[D, V, C]``, NaN where a joint is missing but somebody is there."""
    if not len(places):
        return np.zeros(0)
    return np.linalg.norm(np.nanmax(places, axis=1) - np.nanmin(places, axis=1), axis=1)


def in_space(points: np.ndarray, layout: Layout, options: Options, notes: Notes) -> tuple[str, str | None]:
    """Unit and up axis of bodies in space ``[D, V, 4]``: by their size, and by where their heads are above their feet.

    ``1`` and None where that is not plain. Notes tell it, unless the user says what it is (then the reading of files
    puts that in its place).
    """
    unit, up = _size_and_posture(points, layout)
    if options.unit is None:
        known = f"taken to be {unit}, by the size of the bodies" if unit != "1" else "not known"
        notes[f"recordings in space whose unit is {known}"] += 1
    if options.up is None:
        known = f"taken to be {up}, by heads and feet" if up else "not known"
        notes[f"recordings in space whose up axis is {known}"] += 1
    return unit, up


def _size_and_posture(points: np.ndarray, layout: Layout) -> tuple[str, str | None]:
    points = points[points[..., 3].any(1)]
    points = points[:: -(-len(points) // BODIES) or 1]
    if not len(points):
        return "1", None
    measure = size.measure(Motion(points[:, None, :, :3], layout, np.clip(points[:, None, :, 3], 0, 1)))
    (unit,) = size.decide([measure], [False]).how
    return unit if unit in UNITS else "1", measure.stands
