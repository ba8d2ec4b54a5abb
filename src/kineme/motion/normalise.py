"""Normalisation of motion: the published NTU RGB+D preprocessing, and a general form for any layout.

``none``
    Coordinates as they are.
``ntu``
    What HiCo, HaLP, CMD and their forerunners do to NTU RGB+D (``ntu25``, 3-D), and the same for any 3-D layout that
    has a spine and shoulders: every frame centred on the middle of the spine of person 0, then all frames turned so
    that its spine in the first frame points to +z, then so that its shoulders do to +x (left to right). Missing
    joints are zeros to the published arithmetic, and so they are here.
``general``
    3-D: origin in the root of person 0 in the first frame where it is seen (the way that the body travels stays),
    turned so that in that frame root to head is exactly +y and the left shoulder lies towards +x; the person looks
    along +z; sizes stay (:mod:`kineme.motion.size`). 2-D: the same origin, +y up, divided by the length of the torso,
    for pixels differ from video to video.
``image``
    2-D as a camera sees it, y downwards: 2-D coordinates stay as they are, 3-D ones in the frame of a sensor (Kinect:
    NTU RGB+D, PKU-MMD, N-UCLA; :mod:`kineme.motion.camera`) are projected through that sensor, at focal length 1.

Gaps are not filled: a joint with confidence 0 is 0 before and after, whatever moves around it, and under ``general``
no other joint depends on it. Whoever wants them filled does it before. What could not be done to a clip (shoulders
never seen, a spine without length) is left out, and the motion says so in its extra column ``normalise_note``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..utils import registry
from ..utils.errors import InputError
from . import camera, size
from .layout import Layout
from .motion import UNSURE, Motion

MODES = ("none", "general", "ntu", "image")
NOTE = "normalise_note"
SLOTS = 4  # bodies of a frame that the published selection looks at

UP = (("head",), ("left_ear", "right_ear"), ("neck",), ("chest",), ("left_shoulder", "right_shoulder"), ("spine",))
SIDE = ("shoulder", "hip")
FEET = ("ankle", "foot", "toe", "big_toe", "heel")
ON_THE_FLOOR = "projected as if a camera stood on the floor: the feet are as high as the origin, as in motion capture"
SPINE = (("spine",), ("upper_spine",), ("chest",))


class Axes(NamedTuple):
    """The joints that ``ntu`` is about; each place is the mean of its joints.

    Attributes:
        base, centre: the vector between them becomes +z; ``centre`` becomes the origin of every frame.
        left, right: the vector between them becomes +x.
    """

    base: tuple[int, ...]
    centre: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]


NTU = "ntu25"  # the layout that `ntu` was written for
NTU25 = Axes((0,), (1,), (4,), (8,))


# ------------------------------------------------------------------------------------------------ on motions


def default(layout: Layout, coords: int = 3, faithful: bool = False) -> str:
    """The name of the normalisation that suits a layout: ``general``; ``faithful`` the published one where there is one
    (``ntu`` for 3-D in the layout that it was written for).
    """
    return "ntu" if faithful and coords == 3 and layout.name == NTU else "general"


def in_slots(motion: Motion) -> bool:
    """Whether its persons are slots of each frame's list of bodies, as a format says of its data sets."""
    name = motion.extra.get("dataset")
    readers = (registry.load("io", format) for format in registry.names("io")) if name is not None else ()
    return any(getattr(reader, "in_slots", False) and name in reader.datasets for reader in readers)


def describe(
    mode: str, layout: Layout, coords: int = 3, *, scale: bool | None = None, per_frame: bool = False
) -> dict[str, Any]:
    """A normalisation in plain containers, for the card of a store; :func:`apply` takes it in place of a name.

    Returns:
        ``how``; ``options``, the defaults put in; ``joints``, the words of the joints that place and turn the body;
        ``notes``, what stands for a joint that the layout lacks. Two stores of different layouts have equal
        descriptions if the same places of the body were used. With ``unsure`` = ``drop`` beside these :func:`apply`
        leaves out joints without any confidence first.

    Raises:
        InputError: as :func:`apply`, as far as the layout tells.
    """
    _check(mode, layout, coords)
    options = {"scale": _scaled(scale, coords), "per_frame": per_frame} if mode == "general" else {}
    return {"how": mode, "options": options, **_used(mode, layout, coords, options.get("scale", False))}


def apply(
    motion: Motion, mode: str | Mapping[str, Any], *, scale: bool | None = None, per_frame: bool = False
) -> Motion:
    """The motion, normalised.

    Args:
        motion: any layout. Under ``ntu``, recordings by slots (NTU RGB+D; anything with more than two bodies) become
            two persons, the bodies of most energy, most energetic first (:func:`select_bodies`); other pairs stay.
        mode: one of ``none``, ``general``, ``ntu``, ``image``, or what :func:`describe` wrote into a card.
        scale: ``general`` only: divide by the length of the torso (root to the middle of the shoulders, median over
            the frames; where that is never seen, hip to shoulder of one side). By default in 2-D, not in 3-D.
        per_frame: ``general`` only: the root is the origin in every frame, so the body's travel is lost. Where the
            root is missing it is interpolated in time.

    Returns:
        As many frames as before, float32; ``up`` and ``unit`` as they are now. Under ``ntu`` frames without a body
        at the start or the end are replaced as published (:func:`ntu_preprocess`), confidence with them.

    Raises:
        InputError: an unknown name, ``ntu`` for 2-D motion or for a layout without spine or shoulders, ``image`` for
            3-D motion that does not lie before a sensor.
    """
    if isinstance(mode, Mapping):
        options = mode.get("options", {})
        scale, per_frame = options.get("scale"), options.get("per_frame", False)
        motion = motion.without_unsure() if mode.get("unsure") == "drop" else motion
        return apply(motion, str(mode.get("how")), scale=scale, per_frame=per_frame)
    where = motion.source or "motion"
    _check(mode, motion.layout, motion.coords, where)
    if mode == "none":
        return motion
    if mode == "ntu":
        return _ntu(motion)
    if mode == "image":
        return _image(motion, where)
    return _general(motion, _scaled(scale, motion.coords), per_frame)


# ------------------------------------------------------------------------------------------------ NTU RGB+D


def body_energy(slots: np.ndarray) -> np.ndarray:
    """How much each body moves: std(x) + std(y) + std(z) over its joints in all frames where it is (Dong et al. 2023).

    Args:
        slots: ``[S, T, V, 3]``; a body is absent from a frame if the sum of its coordinates there is 0.

    Returns:
        float64 ``[S]``; population standard deviations, 0 for a body that is never there.
    """
    energy = np.zeros(len(slots))
    joints = slots.shape[2]
    for i, body in enumerate(slots):
        rows = body.reshape(len(body), -1)  # one row for each frame: long rows are much faster to sum than threes
        rows = rows[rows.sum(1) != 0].astype(np.float64)
        if len(rows):
            rows -= np.tile(rows.mean(0).reshape(joints, 3).mean(0), joints)
            energy[i] = np.sqrt((rows * rows).mean(0).reshape(joints, 3).mean(0)).sum()
    return energy


def select_bodies(slots: np.ndarray, keep: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The bodies of most energy among the first four slots, most energetic first (Dong et al. 2023).

    Args:
        slots: float32 ``[S, T, V, 3]``, one entry for each place in the frames' list of bodies, absent = 0.
        keep: how many; where there are fewer, empty ones follow.

    Returns:
        The bodies ``[T, keep, V, 3]`` and their energy, float64 ``[keep]``.
    """
    order, energy = _by_energy(slots, keep)
    return _persons(slots.swapaxes(0, 1), order, keep), np.pad(energy[order], (0, keep - len(order)))


def ntu_preprocess(joints: np.ndarray, pad_to: int | None = None, axes: Axes = NTU25) -> np.ndarray:
    """Null frames, centring and two rotations as published for NTU RGB+D (Dong et al. 2023).

    a. A person who is absent from frame 0 has its empty frames taken out; what comes after a person's last frame is
       filled by repeating its frames from the first. Empty frames in between stay.
    b. The centre of person 0 is subtracted from every joint of the same frame.
    c. The smallest rotation that makes base -> centre of person 0 in frame 0 point to +z; then (d) the smallest one
       that makes left -> right, already turned, point to +x. The second may tilt the spine a little again.

    "Empty" is a sum of coordinates equal to 0, for persons, frames and joints; empty joints stay 0. A vector of no
    length leaves its rotation out. The smallest rotation is undefined for opposite directions (left out, as
    published) and changes quickly near them: whoever turns the back to the sensor in frame 0 may end up anywhere.

    Args:
        joints: float32 ``[T, M, V, 3]``.
        pad_to: length of the result, at least T. By default T: that is as far as any later crop looks.
        axes: the joints; those of ``ntu25`` by default.

    Returns:
        float32 ``[pad_to or T, M, V, 3]``. Rotations are computed in float64.
    """
    return _preprocess(np.asarray(joints, np.float32), pad_to, axes)[0]


def rotation_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Matrix ``[3, 3]``, float64, of the smallest rotation that turns one direction into another (Rodrigues).

    As published (Dong et al. 2023) it is the identity where the cross product is below 1e-6 in L1: for parallel,
    opposite and zero vectors.
    """
    (a, b, c), (d, e, f) = (map(float, vector) for vector in (source, target))
    x, y, z = b * f - c * e, c * d - a * f, a * e - b * d
    sine = math.sqrt(x * x + y * y + z * z)
    angle = math.atan2(sine, a * d + b * e + c * f)
    if abs(x) + abs(y) + abs(z) < 1e-6 or angle < 1e-6:
        return np.eye(3)
    x, y, z = x / sine, y / sine, z / sine
    s, c = math.sin(angle), math.cos(angle)
    v = 1 - c
    return np.array(
        [
            [c + v * x * x, v * x * y - s * z, v * x * z + s * y],
            [v * x * y + s * z, c + v * y * y, v * y * z - s * x],
            [v * x * z - s * y, v * y * z + s * x, c + v * z * z],
        ]
    )


def _by_energy(slots: np.ndarray, keep: int) -> tuple[np.ndarray, np.ndarray]:
    """Slots to keep, and the energy of all that were looked at; ties as published: reversed ascending argsort."""
    energy = body_energy(slots[:SLOTS])
    return energy.argsort(kind="stable")[::-1][:keep], energy


def _liveliest(joints: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two bodies of most energy, joints and confidence, as persons of ``[T, 2, V, ...]``."""
    order, _ = _by_energy(joints.swapaxes(0, 1), 2)
    return _persons(joints, order, 2), _persons(seen, order, 2)


def _persons(array: np.ndarray, order: np.ndarray, keep: int) -> np.ndarray:
    """``[T, S, ...]`` -> ``[T, keep, ...]``: these slots in this order, then empty ones."""
    chosen = np.zeros((len(array), keep, *array.shape[2:]), array.dtype)
    chosen[:, : len(order)] = array[:, order]
    return chosen


def _filled(there: np.ndarray, length: int) -> np.ndarray:
    """Step a for one person: source frame of each of ``length`` frames, from bool ``[T]``."""
    frames = np.arange(len(there))
    if there.any():
        frames = frames[: np.flatnonzero(there)[-1] + 1] if there[0] else frames[there]
    return frames[np.arange(length) % len(frames)]


def _preprocess(
    joints: np.ndarray, pad_to: int | None, axes: Axes
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """:func:`ntu_preprocess`; also where each frame came from (int64 ``[T', M]``), empty joints, what was left out."""
    length, persons = max(len(joints), pad_to or 0), joints.shape[1]
    there = joints.reshape(len(joints), persons, -1).sum(2) != 0
    frames = np.broadcast_to(np.arange(len(joints))[:, None], there.shape)
    if length > len(joints) or not (there[0] & there[-1] | ~there.any(0)).all():
        frames = np.stack([_filled(there[:, person], length) for person in range(persons)], 1)
        joints = joints[frames, np.arange(persons)]
    centre = size.place(joints[:, 0], axes.centre)
    empty = joints[..., 0] + joints[..., 1] + joints[..., 2] == 0
    joints = (joints.reshape(length, persons, -1) - np.tile(centre, joints.shape[2])[:, None]).reshape(joints.shape)
    if empty.any():
        joints[empty] = 0
    first, notes = joints[0, 0].astype(np.float64), []
    spine = size.place(first, axes.centre) - size.place(first, axes.base)
    upright = rotation_between(spine, np.array([0.0, 0, 1]))
    shoulders = upright @ (size.place(first, axes.right) - size.place(first, axes.left))
    turn = rotation_between(shoulders, np.array([1.0, 0, 0])) @ upright
    if not spine.any():
        notes.append("not turned upright: no spine in the first frame")
    if not shoulders.any():
        notes.append("not turned to the front: no shoulders in the first frame")
    turned = joints.reshape(-1, 3) @ np.ascontiguousarray(turn.T, np.float32)
    return turned.reshape(joints.shape), frames, empty, notes


def _ntu(motion: Motion) -> Motion:
    joints, seen = motion.joints, motion.confidence  # a motion's missing joints are 0
    if motion.persons > 2 or in_slots(motion):
        joints, seen = _liveliest(joints, seen)
    joints, frames, empty, notes = _preprocess(joints, None, _axes(motion.layout))
    seen = np.where(empty, np.float32(0), seen[frames, np.arange(joints.shape[1])])
    return motion.with_(joints=joints, confidence=seen, up="+z", extra=_noted(motion, notes))


# ------------------------------------------------------------------------------------------------ any layout


def _general(motion: Motion, scale: bool, per_frame: bool) -> Motion:
    layout, joints, seen, notes = motion.layout, motion.joints, motion.confidence > 0, []
    if motion.persons > 2 and in_slots(motion):  # most of the slots hold nobody
        joints, confidence = _liveliest(joints, motion.confidence)
        motion, seen = motion.with_(joints=joints, confidence=confidence), confidence > 0
    person = size.main_person(layout, seen)
    if person != 0:
        notes.append(f"placed by person {person}: person 0 is never seen")
    body, known = joints[:, person].astype(np.float64), seen[:, person]
    roots, rooted = size.track(body, known, layout.root)
    if not rooted.any():  # seen from the side a body shows one hip: better than none
        root = list(layout.root) if known[:, list(layout.root)].any() else list(range(len(layout)))
        roots, rooted = _middle(body[:, root], known[:, root])
        notes.append(
            "placed by one side of the root"
            if len(root) == len(layout.root)
            else "placed by the middle of the joints: the root is never seen"
        )
    first = int(rooted.argmax())
    if per_frame and rooted.any():
        times = np.arange(len(roots))
        roots = np.stack([np.interp(times, times[rooted], values) for values in roots[rooted].T], 1)
        moved = joints - roots[:, None, None].astype(np.float32)
    else:
        moved = joints - roots[first].astype(np.float32)
    if motion.coords == 3:
        matrix, up = _facing(motion, body, known, roots, rooted, notes)
    else:
        matrix, up = np.diag([1.0, -1.0 if motion.up == "-y" else 1.0]), "+y" if motion.up == "-y" else motion.up
    length = _torso(layout, body, known, notes) if scale else 1.0
    moved = moved @ (matrix.T / length).astype(np.float32)
    return motion.with_(joints=moved, up=up, unit="1" if scale else motion.unit, extra=_noted(motion, notes))


def _facing(
    motion: Motion, body: np.ndarray, known: np.ndarray, roots: np.ndarray, rooted: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, str | None]:
    """Rotation that makes the body's first complete frame upright and facing +z; the axis that is up afterwards.

    Without an upward vector in the body the axis that the recording calls up serves, where it names one.
    """
    top, left, right = _turning(motion.layout)
    tops, topped = size.track(body, known, top)
    lefts, lefted = size.track(body, known, left)
    rights, righted = size.track(body, known, right)
    topped, sided = topped & rooted, lefted & righted
    complete = topped & sided if topped.any() and sided.any() else topped | sided
    at = int((complete if complete.any() else topped | rooted).argmax())
    least = 1e-4 * max(np.abs(body[at] - roots[at])[known[at]].max(initial=0), 1e-30)
    upward, sideways = (tops - roots)[at] * topped[at], (lefts - rights)[at] * sided[at]
    if np.linalg.norm(upward) <= least:
        notes.append("not turned upright by the body: no length from root to head in any complete frame")
        upward = _direction(motion.up)
    if np.linalg.norm(sideways - upward * _share(sideways, upward)) <= least:
        notes.append("not turned to the front: no width of shoulders or hips in any complete frame")
        sideways = np.zeros(3)
    up = "+y" if top or motion.up else None
    if not upward.any():
        return _smallest(sideways, np.array([1.0, 0, 0])), up
    if not sideways.any():
        return _smallest(upward, np.array([0, 1.0, 0])), up
    y = _unit(upward)
    x = _unit(sideways - y * _share(sideways, y))
    return np.stack([x, y, np.cross(x, y)]), up


def _smallest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Smallest rotation from one direction to +x or +y; half a turn about z where they are opposite."""
    matrix = rotation_between(_unit(source), target)
    return matrix if (matrix @ source) @ target >= 0 else np.diag([-1.0, -1, 1])


def _torso(layout: Layout, body: np.ndarray, known: np.ndarray, notes: list[str]) -> float:
    """What a body is divided by: the length of its torso, else one from the size of the whole body."""
    torso = size.torso_length(layout, body, known)
    if torso:
        return torso
    whole = size.body_size(body, known)
    notes.append(
        "scaled by the size of the body: the torso is never seen" if whole else "not scaled: the body has no size"
    )
    return whole or 1.0


def _middle(body: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the joints that are seen in a frame ``[T, C]``, and where there are any ``[T]``."""
    count = known.sum(1)
    return (body * known[..., None]).sum(1) / np.maximum(count, 1)[:, None], count > 0


def _direction(up: str | None) -> np.ndarray:
    """Unit vector of an axis such as ``"-z"``; 0 for None."""
    return np.zeros(3) if up is None else np.eye(3)["xyz".index(up[1])] * (1 if up[0] == "+" else -1)


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def _share(vector: np.ndarray, along: np.ndarray) -> float:
    """How many times ``along`` is contained in ``vector``."""
    square = float(along @ along)
    return float(vector @ along) / square if square else 0.0


# ------------------------------------------------------------------------------------------------ layouts


def _turning(layout: Layout) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Joints at the upper end of the body, on its left and on its right."""
    pair = size.first(layout, [(f"left_{word}", f"right_{word}") for word in SIDE])
    return size.first(layout, UP), pair[:1], pair[1:]


def _axes(layout: Layout) -> Axes:
    """The joints of ``ntu`` in a layout; a place that it lacks is empty."""
    pair = size.first(layout, [("left_shoulder", "right_shoulder")])
    return Axes(layout.root, size.first(layout, SPINE), pair[:1], pair[1:])


def _check(mode: str, layout: Layout, coords: int, where: str = "normalise") -> None:
    if mode not in MODES:
        raise InputError(where, f"normalisation {mode!r}", f"one of {', '.join(MODES)}")
    if mode != "ntu":
        return
    mend = "Choose the normalisation `general`"
    if coords != 3:
        raise InputError(where, f"{coords}-D joints under normalisation `ntu`", "3-D joints", mend)
    axes = _axes(layout)
    if not all(axes) or axes.base == axes.centre:
        raise InputError(
            where,
            f"layout {layout.name} lacks a spine or shoulders; normalisation `ntu` turns by both",
            "a layout with a joint in the spine above the root, and two shoulders",
            mend,
        )


def _image(motion: Motion, where: str) -> Motion:
    """What the camera of the motion saw, y downwards, 0 where nothing was seen."""
    joints, confidence = motion.joints, motion.confidence
    if motion.coords == 2:
        return motion.with_(joints=joints * np.array([1, -1], np.float32), up="-y") if motion.up == "+y" else motion
    behind_it = (confidence > 0) & (joints[..., 2] <= 0)
    if motion.up not in ("+y", None) or (behind_it & (confidence > UNSURE)).any():
        behind = "up is " + str(motion.up) if motion.up not in ("+y", None) else "joints behind the camera (z <= 0)"
        raise InputError(
            where,
            f"3-D joints, {behind}",
            "joints in the frame of a sensor: y up, z away from it",
            "Motion capture has no camera of its own; train on it as it is (normalisation `none`)",
        )
    if behind_it.any():  # a guess of the sensor's
        confidence = np.where(behind_it, np.float32(0), confidence)
    notes = [ON_THE_FLOOR] if _on_the_floor(motion) else []
    projected = np.where(confidence[..., None] > 0, -camera.perspective(joints), 0).astype(np.float32)
    return motion.with_(joints=projected, confidence=confidence, up="-y", unit="1", extra=_noted(motion, notes))


def _on_the_floor(motion: Motion) -> bool:
    """Whether feet are as high as the origin: sensors look from above the floor, motion capture counts from there."""
    layout, known = motion.layout, motion.confidence > 0
    person = size.main_person(layout, known)
    feet = [
        i for i, word in enumerate(layout.canonical_names) if word.removeprefix("left_").removeprefix("right_") in FEET
    ]
    heights, seen = motion.joints[:, person, feet, 1], known[:, person, feet]
    torso = size.torso_length(layout, motion.joints[:, person].astype(np.float64), known[:, person])
    return bool(seen.any() and torso and np.median(heights[seen]) > -torso / 2)


def _scaled(scale: bool | None, coords: int) -> bool:
    return coords == 2 if scale is None else scale


def _used(mode: str, layout: Layout, coords: int, scale: bool) -> dict[str, Any]:
    """Words of the joints that a normalisation uses in this layout, and what stands for what."""
    joints: dict[str, tuple[int, ...]] = {}
    wanted: dict[str, tuple[str, ...]] = {}
    if mode == "ntu":
        joints, wanted = _axes(layout)._asdict(), {"centre": SPINE[0]}
    if mode == "general":
        joints["root"] = layout.root
    if mode == "general" and coords == 3:
        joints |= zip(("up", "left", "right"), _turning(layout))
        wanted |= {"up": UP[0], "left": ("left_shoulder",), "right": ("right_shoulder",)}
    if scale:
        joints["torso"], wanted["torso"] = size.first(layout, size.TORSO), size.TORSO[0]
    words = {role: _words(layout, index) for role, index in joints.items()}
    notes = [
        f"{role}: no {' and '.join(wanted[role])} in the layout, "
        + (f"{' and '.join(words[role])} instead" if words[role] else "left out")
        for role in wanted
        if words[role] != list(wanted[role])
    ]
    return {"joints": words, "notes": notes}


def _words(layout: Layout, joints: Sequence[int]) -> list[str]:
    words = [layout.canonical_names[joint] for joint in joints]
    return ["pelvis"] if sorted(words) == ["left_hip", "right_hip"] else words  # midway between the hips: the pelvis


def _noted(motion: Motion, notes: Sequence[str]) -> dict[str, Any]:
    """The motion's extra columns, with what was left out."""
    return {**motion.extra, NOTE: "; ".join(notes)} if notes else dict(motion.extra)
