"""A body to be drawn: motion set upright on a floor, in metres, and the rounded solids around its bones.

Points are ``[T, M, P, 3]`` in metres: y up, the floor at 0. Any layout will do that has shoulders, elbows, wrists,
hips, knees and ankles; what else the made body has (hands, toes, the top of the head) is added where a layout lacks it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ...motion import size
from ...motion.joint_map import JointMap, joint_map
from ...motion.layout import PARTS, Layout
from ...motion.motion import Motion
from ...utils.errors import InputError
from .body import body

SLOTS = ("skin", "hair", "shirt", "sleeve", "forearm", "trousers", "shin", "shoe")  # what has a colour of its own
SIDES = ("left", "right")
NEEDED = tuple(f"{side}_{name}" for side in SIDES for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
POINTS = ("pelvis", "neck", "head", "crown", *NEEDED, *(f"{side}_{name}" for side in SIDES for name in ("hand", "toe")))
INDEX = {name: i for i, name in enumerate(POINTS)}
FINGERS = ("hand_tip", "hand", "index_knuckle")  # the first that a layout has; the toes likewise
TOES = ("foot_index", "big_toe", "foot")
TORSO = 0.5  # metres from pelvis to neck of the body that the radii below suit
SOLE = 0.04  # metres from the lowest joint to the floor
SETTLE = 10  # frames by which the direction is told that people face


class Solid(NamedTuple):
    """A rounded solid between two points; radii in metres.

    ``wide`` are the points whose distance in the picture widens either end (the torso is as wide as the shoulders and
    the hips look), and ``cap`` the height of the ends as a share of their width.
    """

    first: str
    second: str
    radii: tuple[float, float]
    slot: str
    wide: tuple[str, ...] = ()
    cap: float = 1.0


SOLIDS = (
    Solid("pelvis", "neck", (0.108, 0.10), "shirt", ("hip", "shoulder"), 0.45),
    Solid("left_shoulder", "right_shoulder", (0.072, 0.072), "shirt"),
    Solid("left_hip", "right_hip", (0.122, 0.122), "trousers", (), 0.85),
    Solid("neck", "head", (0.052, 0.05), "skin"),
    Solid("head", "crown", (0.098, 0.098), "skin"),
    *(
        Solid(f"{side}_{first}", f"{side}_{second}", radii, slot)
        for side in SIDES
        for first, second, radii, slot in (
            ("hip", "knee", (0.092, 0.062), "trousers"),
            ("knee", "ankle", (0.06, 0.043), "shin"),
            ("ankle", "toe", (0.046, 0.036), "shoe"),
            ("shoulder", "elbow", (0.062, 0.047), "sleeve"),
            ("elbow", "wrist", (0.045, 0.035), "forearm"),
            ("wrist", "hand", (0.04, 0.03), "skin"),
        )
    ),
)
HEAD = 4  # the solid that wears the hair


class Figure(NamedTuple):
    """What is drawn, and what a detector may find in it.

    Attributes:
        joints: float32 ``[T, M, V, 3]`` of the motion's layout; gaps are filled in time.
        known: bool ``[M, V]``; False: never seen in the clip.
        points: float32 ``[T, M, P, 3]``, :data:`POINTS`.
        present: bool ``[T, M]``; persons are drawn in the frames in which something of them is seen.
        scale: float ``[M]``, size of the body beside the one that the radii suit.
    """

    joints: np.ndarray
    known: np.ndarray
    points: np.ndarray
    present: np.ndarray
    scale: np.ndarray


def figure(motion: Motion, sizes: Mapping[str, float] | None = None) -> Figure:
    """Set a motion upright on the floor, the first person facing +z, two people side by side along x.

    Args:
        motion: in 3-D.
        sizes: body part (``trunk``, ``left_arm``, ...; ``kineme.motion.layout.PARTS``) -> factor of its bones.

    Raises:
        InputError: 2-D, joints of a limb that the layout lacks or that are never seen, no axis that is up.
    """
    where = motion.source or "motion"
    if motion.coords != 3:
        raise InputError(where, "2-D motion", "joints in space (3-D)", "Pictures are drawn of bodies, not of pictures")
    weights = _weights(motion.layout)
    up = motion.up or size.measure(motion).stands
    if up is None:
        raise InputError(where, "no axis that is up", "a motion that says it", "Prepare it with --up +y")
    motion = size.turned(size.fit(motion.with_(up=up), {"how": "metres"}), "+y")
    seen = motion.confidence > 0
    joints, known = _filled(motion.joints.astype(np.float64), seen), np.asarray(seen.any(0))
    present = np.asarray(seen.any(2))
    if sizes:
        joints = _resized(joints, motion.layout, sizes)
    made = np.einsum("pv,tmvc->tmpc", weights, joints)
    told = ((weights > 0) <= known[:, None]).all(2) & weights.any(1)  # [M, P]: all that a point is made of is known
    made[:, ~told] = np.nan
    points = _completed(made, motion.layout)
    lacking = np.isnan(points).any((0, 2, 3)) & present.any(0)  # persons of whom too much is never seen
    if lacking.any() or not present.any():
        raise InputError(where, "a person of whom a limb is never seen", f"all of {', '.join(NEEDED)}")
    points, joints = _placed(points, joints, present)
    torso = np.linalg.norm(points[:, :, INDEX["neck"]] - points[:, :, INDEX["pelvis"]], axis=-1)
    scale = np.clip(np.median(torso, 0) / TORSO, 0.3, 1.5)
    return Figure(joints.astype(np.float32), known, points.astype(np.float32), present, np.nan_to_num(scale, nan=1.0))


def mapped(made: Figure, mapping: JointMap) -> Figure:
    """The figure with the joints of another layout."""
    weights = mapping.weights
    known = ((weights > 0) <= made.known[:, None]).all(2) & weights.any(1)
    return made._replace(joints=np.einsum("uv,tmvc->tmuc", weights, made.joints), known=np.asarray(known))


def require_limbs(layout: Layout) -> None:
    """Refuse a layout that no body can be drawn of.

    Raises:
        InputError: names the joints that it lacks.
    """
    _weights(layout)


@functools.lru_cache(maxsize=64)
def _weights(layout: Layout) -> np.ndarray:
    """How the points of :func:`body` are made of a layout's joints, float32 ``[P', V]``."""
    made = joint_map(layout, body())
    missing = [name for name in NEEDED if name in made.missing]
    if missing:
        raise InputError(
            f"layout {layout.name}",
            f"no {', '.join(missing)}",
            "a layout with shoulders, elbows, wrists, hips, knees and ankles",
            "Map it first: kineme prepare --map",
        )
    return np.asarray(made.weights)


def _filled(joints: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Gaps of ``[T, M, V, 3]`` led straight from where a joint was seen to where it is seen again."""
    clock = np.arange(len(joints))
    for person, joint in np.argwhere(seen.any(0) & ~seen.all(0)):
        there = seen[:, person, joint]
        for axis in range(3):
            track = joints[:, person, joint, axis]
            track[~there] = np.interp(clock[~there], clock[there], track[there])
    return joints


def _resized(joints: np.ndarray, layout: Layout, sizes: Mapping[str, float]) -> np.ndarray:
    """Bones of other lengths: every joint keeps its direction from its parent; travel grows as the legs do."""
    factor = np.ones(len(layout))
    for part in PARTS:
        factor[list(layout.parts[part])] = sizes.get(part, 1.0)
    legs = np.mean([sizes.get(part, 1.0) for part in PARTS if part.endswith("leg")])
    made = joints * legs
    order = sorted(range(len(layout)), key=lambda joint: _depth(layout, joint))
    for joint in order:
        if (parent := layout.parents[joint]) >= 0:
            made[:, :, joint] = made[:, :, parent] + factor[joint] * (joints[:, :, joint] - joints[:, :, parent])
    return made


def _depth(layout: Layout, joint: int) -> int:
    depth = 0
    while (joint := layout.parents[joint]) >= 0:
        depth += 1
    return depth


def _completed(made: np.ndarray, layout: Layout) -> np.ndarray:
    """The points to draw ``[T, M, P, 3]`` out of those of the made body; NaN where nothing tells."""
    names = body().joints

    def of(*wanted: str) -> np.ndarray:
        """The first of these points that is known, person by person."""
        found = np.full(made[:, :, 0].shape, np.nan)
        for name in wanted:
            found = np.where(np.isnan(found), made[:, :, names.index(name)], found)
        return found

    def either(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(first), second, first)

    found = {name: of(name) for name in NEEDED}
    hips, shoulders = ((found[f"left_{name}"] + found[f"right_{name}"]) / 2 for name in ("hip", "shoulder"))
    found["pelvis"] = hips
    found["neck"] = shoulders
    trunk = _unit(shoulders - hips)
    forward = _unit(np.cross(found["left_hip"] - found["right_hip"], trunk))
    long = np.linalg.norm(shoulders - hips, axis=-1, keepdims=True)
    ears = (of("left_ear") + of("right_ear")) / 2
    head = either(either(of("head"), ears), of("nose") - 0.12 * long * forward)
    head = either(head, shoulders + 0.5 * long * trunk)
    rise = _unit(head - shoulders)
    found["head"] = shoulders + np.maximum(np.linalg.norm(head - shoulders, axis=-1, keepdims=True), 0.42 * long) * rise
    found["crown"] = found["head"] + 0.11 * long * rise
    for side in SIDES:
        elbow, wrist, ankle = (found[f"{side}_{name}"] for name in ("elbow", "wrist", "ankle"))
        found[f"{side}_hand"] = either(of(*(f"{side}_{name}" for name in FINGERS)), wrist + 0.4 * (wrist - elbow))
        ahead = forward * np.array((1.0, 0.2, 1.0))
        low = ankle - 0.1 * long * np.array((0.0, 1.0, 0.0))
        found[f"{side}_toe"] = either(of(*(f"{side}_{name}" for name in TOES)), low + 0.3 * long * ahead)
    return np.stack([found[name] for name in POINTS], 2)


def _placed(points: np.ndarray, joints: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turned about the vertical, shifted to the middle, feet on the floor."""
    there = np.flatnonzero(present.any(0))
    first = there[0]
    begin = np.flatnonzero(present[:, first])[:SETTLE]
    if len(there) > 1:
        pelvis = points[:, :, INDEX["pelvis"]]
        across = (pelvis[:, there[1]] - pelvis[:, first])[present[:, there[1]] & present[:, first]].sum(0)
        left = across if np.any(across) else np.array((1.0, 0.0, 0.0))
    else:
        left = (points[begin, first, INDEX["left_hip"]] - points[begin, first, INDEX["right_hip"]]).sum(0)
        left = left + (
            points[begin, first, INDEX["left_shoulder"]] - points[begin, first, INDEX["right_shoulder"]]
        ).sum(0)
    angle = np.arctan2(left[2], left[0])
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    points, joints = points @ turn.T, joints @ turn.T
    body = points[:, there][present[:, there]]  # [n, P, 3]
    low, high = body.min(1), body.max(1)
    floor = np.percentile(low[:, 1], 3) - SOLE
    shift = np.array([(low[:, 0].min() + high[:, 0].max()) / 2, floor, (low[:, 2].min() + high[:, 2].max()) / 2])
    return points - shift, joints - shift


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
