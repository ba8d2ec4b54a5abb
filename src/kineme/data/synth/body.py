"""The made body: proportions of made people, forward kinematics, and a root that is solved from the stance foot.

All curves are arrays ``[n, T]`` (motion, frame), all points ``[3, n, T]`` in metres: x to the body's left, y up,
z forward at heading 0. Angles are degrees in the channels. Every step is element by element, so a motion has the
same bits whatever it is computed together with.

Channels (:data:`CHANNELS`) are written for a main and an off side; the main side is the preferred hand. Signs of the
sideways ones (yaw, tilt, side, twist, look, cock) suit a right main side and are turned over for a left one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...motion.layout import Layout

TRUNK = ("yaw", "lean", "tilt", "bend", "side", "twist", "nod", "look", "cock", "hop", "drive")
ARM = ("x", "y", "z", "lift", "wrist")
LEG = ("thigh", "spread", "toe", "knee", "foot")
CHANNELS = TRUNK + tuple(f"{side}_{name}" for side in "mo" for name in ARM + LEG)
INDEX = {name: i for i, name in enumerate(CHANNELS)}
SIDEWAYS = ("yaw", "tilt", "side", "twist", "look", "cock")
CONTACT = 0.004  # metres over which the weight passes from one contact point of the feet to another

# Segment lengths as shares of body height (rounded from Winter, Biomechanics and Motor Control of Human Movement) and
# the group whose size varies together; then by how much it varies.
SEGMENTS = {
    "thigh": (0.245, "legs"),
    "shin": (0.246, "legs"),
    "ankle": (0.039, "feet"),
    "forefoot": (0.112, "feet"),
    "heel": (0.036, "feet"),
    "hip": (0.052, "hips"),
    "loin": (0.170, "trunk"),
    "thorax": (0.118, "trunk"),
    "neck": (0.042, "trunk"),
    "skull": (0.075, "head"),
    "shoulder": (0.112, "shoulders"),
    "upper_arm": (0.172, "arms"),
    "forearm": (0.148, "arms"),
    "hand": (0.105, "hands"),
}
SPREAD = {
    "legs": 0.045,
    "feet": 0.05,
    "hips": 0.09,
    "trunk": 0.05,
    "head": 0.04,
    "shoulders": 0.07,
    "arms": 0.05,
    "hands": 0.06,
}

# Points fixed in the frame of a segment, and the tree of all points. Names are canonical (motion/layout.py).
FACE = {  # from the neck, lengths of the skull: left, up, forward; joints with a left share come on both sides
    "head": (0.0, 1.2, 0.05),
    "head_top": (0.0, 2.05, 0.0),
    "nose": (0.0, 1.02, 0.95),
    "mouth": (0.19, 0.66, 0.8),
    "eye_inner": (0.13, 1.3, 0.82),
    "eye": (0.24, 1.3, 0.78),
    "eye_outer": (0.36, 1.3, 0.7),
    "ear": (0.6, 1.15, 0.05),
}
PALM = {  # in the hand, lengths of the hand: ahead, towards the thumb
    "hand": (0.45, 0.0),
    "hand_tip": (1.0, 0.0),
    "thumb": (0.55, 0.4),
    "thumb_knuckle": (0.3, 0.3),
    "index_knuckle": (0.52, 0.2),
    "pinky_knuckle": (0.45, -0.22),
}
SOLE = {  # in the foot: outward in widths, up in ankle heights, back in heel lengths, ahead in forefoot lengths
    "heel": (0.0, -1.0, -1.0, 0.0),
    "foot": (0.0, -0.6, 0.0, 0.62),
    "big_toe": (-0.2, -1.0, 0.0, 1.0),
    "small_toe": (0.6, -1.0, 0.0, 0.8),
    "foot_index": (0.0, -1.0, 0.0, 1.0),
}
PADS = ("heel", "foot_index")  # what the body stands on
MIDDLE = {  # joint -> its parent
    "pelvis": "",
    "spine": "pelvis",
    "chest": "spine",
    "neck": "chest",
    "head": "neck",
    "head_top": "head",
    "nose": "head",
}
BESIDE = {  # the same of either side
    "mouth": "head",
    "eye_inner": "head",
    "eye": "head",
    "eye_outer": "head",
    "ear": "head",
    "shoulder": "chest",
    "elbow": "shoulder",
    "wrist": "elbow",
    "hand": "wrist",
    "hand_tip": "hand",
    "thumb": "wrist",
    "thumb_knuckle": "wrist",
    "index_knuckle": "wrist",
    "pinky_knuckle": "wrist",
    "hip": "pelvis",
    "knee": "hip",
    "ankle": "knee",
    "heel": "ankle",
    "foot": "ankle",
    "big_toe": "ankle",
    "small_toe": "ankle",
    "foot_index": "ankle",
}


# Points of a face and of hands, in the same lengths. There are many of them and few ask for them: each is made of four
# points of the head, or of three of the hand (:func:`further`). Those of a side stand for the left one.
FACE_FURTHER = {
    "nose_bridge1": (0.0, 1.34, 0.8),
    "nose_bridge2": (0.0, 1.23, 0.86),
    "nose_bridge3": (0.0, 1.12, 0.92),
    "nose_tip": (0.0, 1.02, 0.96),
    "nose_base": (0.0, 0.9, 0.88),
    "nostril1": (0.14, 0.94, 0.8),
    "nostril2": (0.07, 0.91, 0.86),
    "chin": (0.0, 0.3, 0.8),
    **{
        f"jaw{k + 1}": (0.6 * float(np.cos(a)), 1.15 - 0.85 * float(np.sin(a)), 0.05 + 0.75 * float(np.sin(a)) ** 2)
        for k, a in enumerate(np.linspace(0, np.pi / 2, 9)[:8])
    },
    **{f"brow{k + 1}": (0.46 - 0.09 * k, 1.5 + 0.02 * k * (4 - k), 0.7 + 0.03 * k) for k in range(5)},
    "eyelid1": (0.29, 1.35, 0.77),
    "eyelid2": (0.19, 1.35, 0.81),
    "eyelid3": (0.19, 1.25, 0.81),
    "eyelid4": (0.29, 1.25, 0.77),
    "lip_top": (0.0, 0.74, 0.88),
    "lip_top_inner": (0.0, 0.68, 0.87),
    "lip_bottom_inner": (0.0, 0.63, 0.87),
    "lip_bottom": (0.0, 0.54, 0.86),
    "lip1": (0.12, 0.71, 0.84),
    "lip2": (0.06, 0.74, 0.87),
    "lip3": (0.12, 0.6, 0.83),
    "lip4": (0.06, 0.56, 0.85),
    "lip5": (0.15, 0.66, 0.82),
    "lip6": (0.07, 0.68, 0.86),
    "lip7": (0.07, 0.63, 0.86),
}
PALM_FURTHER = {
    "hand_root": (0.02, 0.0),
    "thumb1": (0.12, 0.15),
    "thumb3": (0.43, 0.36),
    **{f"forefinger{k}": (0.52 + 0.14 * (k - 1), 0.2 + 0.01 * (k - 1)) for k in (2, 3, 4)},
    **{f"middle_finger{k}": (0.54 + 0.15 * (k - 1), 0.05 - 0.017 * (k - 1)) for k in (1, 2, 3)},
    **{f"ring_finger{k}": (0.51 + 0.14 * (k - 1), -0.09 - 0.01 * (k - 1)) for k in (1, 2, 3, 4)},
    **{f"pinky_finger{k}": (0.45 + 0.11 * (k - 1), -0.22 - 0.01 * (k - 1)) for k in (2, 3, 4)},
}


TRUNK_FURTHER = {  # between two points of the middle, or the middle and a side: shares of them
    "lumbar_l5": {"pelvis": 0.7, "spine": 0.3},
    "lumbar_l3": {"pelvis": 0.4, "spine": 0.6},
    "spine2": {"spine": 0.75, "chest": 0.25},
    "upper_spine": {"spine": 0.5, "chest": 0.5},
    "left_clavicle": {"chest": 0.85, "left_shoulder": 0.15},
    "right_clavicle": {"chest": 0.85, "right_shoulder": 0.15},
}


def further(name: str) -> dict[str, float] | None:
    """A point of a face, a hand or the trunk, by its canonical name, as weights of points of :func:`body` that move
    with it; None for other names.

    Examples:
        >>> further("left_hand_root")
        {'left_wrist': 0.98, 'left_hand_tip': 0.02, 'left_thumb': 0.0}
    """
    if name in TRUNK_FURTHER:
        return TRUNK_FURTHER[name]
    side, _, base = name.partition("_") if name.startswith(("left_", "right_")) else ("", "", name)
    if side and base in PALM_FURTHER:
        ahead, aside = PALM_FURTHER[base]
        thumb = aside / PALM["thumb"][1]
        tip = ahead - thumb * PALM["thumb"][0]
        return {f"{side}_wrist": 1 - tip - thumb, f"{side}_hand_tip": tip, f"{side}_thumb": thumb}
    if base not in FACE_FURTHER or (FACE_FURTHER[base][0] > 0) != bool(side):
        return None
    left, up, forward = FACE_FURTHER[base]
    across = (-left if side == "right" else left) / (2 * FACE["ear"][0])
    nose = forward / FACE["nose"][2]
    top = (up - nose * FACE["nose"][1]) / FACE["head_top"][1]
    return {"left_ear": across, "right_ear": -across, "nose": nose, "head_top": top, "neck": 1 - nose - top}


@functools.cache
def body() -> Layout:
    """The layout of the points of the made body; with :func:`further` every built-in layout can be made from it."""
    tree = dict(MIDDLE)
    for side in ("left", "right"):
        for joint, parent in BESIDE.items():
            tree[f"{side}_{joint}"] = parent if parent in MIDDLE else f"{side}_{parent}"
    return Layout("synth", tuple(tree), tuple(list(tree).index(parent) if parent else -1 for parent in tree.values()))


class Person(NamedTuple):
    """A made subject: lengths of the segments in metres and habits that colour everything they do."""

    lengths: Mapping[str, float]
    left_handed: bool
    tempo: float
    habits: np.ndarray  # [16] standard normal, posture and resting ways; see synth_actions.idle


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a subject: height 1.45 to 1.98 m, groups of segments varying together, hand, tempo, posture."""
    height = float(np.clip(rng.normal(1.70, 0.10), 1.45, 1.98))
    size = {group: float(np.exp(spread * np.clip(rng.normal(), -2.2, 2.2))) for group, spread in SPREAD.items()}
    lengths = {name: height * share * size[group] for name, (share, group) in SEGMENTS.items()}
    tempo = float(np.exp(0.12 * np.clip(rng.normal(), -1.5, 1.5)))
    return Person(lengths, bool(rng.random() < 0.2), tempo, rng.standard_normal(16, np.float32))


def turn(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(cos, sin) of degrees."""
    angle = np.float32(np.pi / 180) * angle
    return np.cos(angle), np.sin(angle)


def frame(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Ry(yaw) Rx(pitch) Rz(roll) of degrees [n, T] -> [3, 3, n, T]: a turn, a lean forward, a tilt to the right."""
    (cy, sy), (cx, sx), (cz, sz) = turn(yaw), turn(pitch), turn(roll)
    return np.stack(
        [
            np.stack([cy * cz + sy * sx * sz, sy * sx * cz - cy * sz, sy * cx]),
            np.stack([cx * sz, cx * cz, -sx]),
            np.stack([cy * sx * sz - sy * cz, sy * sz + cy * sx * cz, cy * cx]),
        ]
    )


def carry(rotation: np.ndarray, vector: Any) -> np.ndarray:
    """Rotate a vector, three broadcastable arrays or one [3, n, T], by [3, 3, n, T] -> [3, n, T]."""
    return rotation[:, 0] * vector[0] + rotation[:, 1] * vector[1] + rotation[:, 2] * vector[2]


def chain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Matmul of rotations [3, 3, n, T]."""
    return np.stack([carry(first, second[:, column]) for column in range(3)], 1)


def ease(share: np.ndarray) -> np.ndarray:
    """Minimum-jerk step from 0 to 1 (Flash and Hogan 1985), flat outside [0, 1]."""
    share = np.clip(share, 0, 1)
    return share * share * share * (10 - share * (15 - 6 * share))


def sides(curves: np.ndarray, left_handed: np.ndarray) -> dict[str, np.ndarray]:
    """Main and off side become left and right: [K, n, T], [n, 1] bool -> channel name -> [n, T]."""
    sign = np.where(left_handed, -1, 1).astype(np.float32)
    found = {name: curves[INDEX[name]] * sign if name in SIDEWAYS else curves[INDEX[name]] for name in TRUNK}
    for name in ARM + LEG:
        main, off = curves[INDEX[f"m_{name}"]], curves[INDEX[f"o_{name}"]]
        found[f"left_{name}"] = np.where(left_handed, main, off)
        found[f"right_{name}"] = np.where(left_handed, off, main)
    return found


class Pose(NamedTuple):
    """Solved bodies before their arms: points [3, n, T] by name, and the upright frame that hands are given in."""

    points: dict[str, np.ndarray]
    upright: np.ndarray
    channels: dict[str, np.ndarray]
    lengths: dict[str, np.ndarray]


def stand(
    channels: dict[str, np.ndarray], lengths: dict[str, np.ndarray], heading: np.ndarray, valid: np.ndarray, fps: float
) -> Pose:
    """Trunk, head and legs by forward kinematics; the root follows from the feet.

    The pelvis stands as high as the lower foot asks for, and moves so that the foot that carries the weight stays
    where it is. While ``hop`` lifts the body off the floor it keeps the mean walking speed, plus ``drive`` (m/s).

    Args:
        channels: from :func:`sides`.
        lengths: segment -> [n, 1] metres.
        heading: [n, 1] degrees; where the body faces at first.
        valid: [n, T] bool, frames that belong to the clip.
        fps: frames per second.
    """
    c, size = channels, lengths
    yaw = heading + c["yaw"]
    pelvis = frame(yaw, c["lean"], c["tilt"])
    half = frame(0.5 * c["twist"], 0.5 * c["bend"], 0.5 * c["side"])
    loin = chain(pelvis, half)
    chest = chain(loin, half)
    nod = c["nod"] - 0.6 * (c["lean"] + c["bend"])  # the eyes stay near the horizon
    head = chain(chest, frame(c["look"], nod, c["cock"]))
    points = {"pelvis": np.zeros_like(pelvis[0])}
    points["spine"] = points["pelvis"] + size["loin"] * pelvis[:, 1]
    points["chest"] = points["spine"] + size["thorax"] * loin[:, 1]
    points["neck"] = points["chest"] + size["neck"] * chest[:, 1]
    for name, (left, up, forward) in FACE.items():
        for side, sign in (("", 0),) if left == 0 else (("left_", 1), ("right_", -1)):
            place = carry(head, [size["skull"] * value for value in (sign * left, up, forward)])
            points[side + name] = points["neck"] + place
    for side, sign in (("left", 1), ("right", -1)):
        points.update(_leg(c, size, pelvis, yaw, side, sign))
        (cos, sin), width = turn(22 * ease((c[f"{side}_y"] + 0.2) / 1.2)), size["shoulder"]  # rises with the hand
        points[f"{side}_shoulder"] = points["chest"] + carry(chest, [sign * width * cos, width * sin, 0])
    travel = _root(points, c, yaw, valid, fps)
    upright = frame(yaw + c["twist"], 0 * yaw, 0 * yaw)
    return Pose({name: place + travel for name, place in points.items()}, upright, c, size)


def _leg(
    c: Mapping[str, Any], size: Mapping[str, Any], pelvis: np.ndarray, yaw: Any, side: str, sign: float
) -> dict[str, np.ndarray]:
    """One leg; its angles are measured against the vertical, so a foot that is meant to be flat is flat.

    ``spread`` is that of the straight leg; however the leg bends, the foot keeps its distance from the middle.
    """
    thigh, spread, toe, knee, foot = (c[f"{side}_{name}"] for name in LEG)
    knee = np.maximum(knee, 0)  # never backwards
    (cos_turn, sin_turn), (cos_toe, sin_toe) = turn(yaw + sign * toe), turn(toe)
    (cos_thigh, sin_thigh), (cos_shin, sin_shin) = turn(thigh), turn(thigh - knee)
    straight = size["thigh"] + size["shin"]
    down = size["thigh"] * cos_thigh + size["shin"] * cos_shin
    ahead = size["thigh"] * sin_thigh + size["shin"] * sin_shin
    sin_out = turn(spread)[1] * straight - sin_toe * ahead
    sin_out = np.clip(sin_out / (np.maximum(down, 0.4 * straight) * np.maximum(cos_toe, 0.5)), -0.45, 0.65)
    cos_out = np.sqrt(1 - sin_out * sin_out)

    def turned(left: Any, up: Any, forward: Any) -> np.ndarray:
        return np.stack([left * cos_turn + forward * sin_turn, up, forward * cos_turn - left * sin_turn])

    hip = carry(pelvis, [sign * size["hip"], 0, 0])
    knee = hip + size["thigh"] * turned(sign * sin_out * cos_thigh, -cos_out * cos_thigh, sin_thigh)
    ankle = knee + size["shin"] * turned(sign * sin_out * cos_shin, -cos_out * cos_shin, sin_shin)
    points = {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle}
    cos, sin = turn(foot)
    for name, (out, up, back, front) in SOLE.items():
        forward, rise = size["heel"] * back + size["forefoot"] * front, size["ankle"] * up
        width = sign * out * 0.6 * size["forefoot"]
        points[f"{side}_{name}"] = ankle + turned(width, rise * cos + forward * sin, forward * cos - rise * sin)
    return points


def _root(
    points: Mapping[str, np.ndarray], c: Mapping[str, Any], yaw: Any, valid: np.ndarray, fps: float
) -> np.ndarray:
    """Pelvis position [3, n, T] from the contact points of both feet, which are given relative to the pelvis."""
    pads = np.stack([points[f"{side}_{pad}"] for side in ("left", "right") for pad in PADS])  # [4, 3, n, T]
    height = pads[:, 1]
    lowest = height.min(0)
    weight = np.exp((lowest - height) / CONTACT)
    total = weight[0] + weight[1] + weight[2] + weight[3]
    weight = weight / total
    root = np.empty_like(pads[0])
    root[1] = np.maximum(c["hop"], 0) - lowest + CONTACT * np.log(total)
    step = 0 * pads[0, :, :, :-1]
    for pad, share in zip(pads, weight):
        step = step - 0.5 * (share[:, 1:] + share[:, :-1]) * (pad[:, :, 1:] - pad[:, :, :-1])
    cos, sin = turn(yaw[:, 1:])
    ground = ((c["hop"][:, 1:] <= 0) & valid[:, 1:]).astype(np.float32)
    pace = ((step[0] * sin + step[2] * cos) * ground).sum(1, keepdims=True)
    flight = pace / np.maximum(ground.sum(1, keepdims=True), 1) + c["drive"][:, 1:] / fps
    for axis, along in ((0, sin), (2, cos)):
        root[axis, :, 0] = 0
        root[axis, :, 1:] = np.cumsum(np.where(ground > 0, step[axis], flight * along), 1)
    return root


def reach(
    pose: Pose, goal: Mapping[str, np.ndarray] | None = None, pull: np.ndarray | float = 0.0
) -> dict[str, np.ndarray]:
    """Arms and hands: shoulder and elbow angles solved from the path of the wrist, then forward kinematics.

    The channels x (outward), y (up), z (forward) place the wrist from the shoulder in arm lengths, upright axes that
    turn with the chest; ``lift`` raises the elbow. Bone lengths hold exactly: a path out of reach is shortened.

    Args:
        pose: from :func:`stand`.
        goal: side -> wrist position in the world [3, n, T] that ``pull`` in [0, 1] (``[n, T]``) draws towards.

    Returns:
        all points, those of ``pose`` and the arms'.
    """
    c, size, upright, points = pose.channels, pose.lengths, pose.upright, dict(pose.points)
    upper, fore = size["upper_arm"], size["forearm"]
    arm = upper + fore
    for side, sign in (("left", 1), ("right", -1)):
        x, y, z, lift, wrist = (c[f"{side}_{name}"] for name in ARM)
        shoulder = points[f"{side}_shoulder"]
        close = 0.4 * ease((0.55 - np.sqrt(x * x + y * y + z * z)) / 0.4)  # led around the shoulder, before it
        path = carry(upright, [sign * arm * (x + 0.55 * close), arm * (y - 0.1 * close), arm * (z + 0.8 * close)])
        path = _around(path, shoulder - points["chest"], upright, size)
        path[1] = np.maximum(path[1], size["hand"] + 0.01 - shoulder[1])  # fingers stay above the floor
        if goal is not None and side in goal:
            path = path + pull * (goal[side] - shoulder - path)
        length = np.sqrt((path * path).sum(0))
        far = np.clip(length, 0.2 * arm, 0.998 * arm)
        along = path / np.maximum(length, 1e-6)
        bulge = _bulge(along, upright, sign, lift)
        near = (upper * upper - fore * fore + far * far) / (2 * far)
        elbow = shoulder + near * along + np.sqrt(np.maximum(upper * upper - near * near, 0)) * bulge
        joint = shoulder + far * along
        forward = (joint - elbow) / fore
        thumb = -bulge + (bulge * forward).sum(0) * forward
        thumb = thumb / np.sqrt((thumb * thumb).sum(0) + 1e-9)
        cos, sin = turn(wrist)
        finger, thumb = cos * forward + sin * thumb, cos * thumb - sin * forward
        points.update({f"{side}_elbow": elbow, f"{side}_wrist": joint})
        for name, (ahead, aside) in PALM.items():
            points[f"{side}_{name}"] = joint + size["hand"] * (ahead * finger + aside * thumb)
    return points


def _bulge(along: np.ndarray, upright: np.ndarray, sign: float, lift: Any) -> np.ndarray:
    """Which way the elbow stands off the line from shoulder to wrist: [3, n, T], a unit vector across ``along``.

    The direction at rest, an arm held half forward, is carried along the shortest turn from there. So the only
    place where it is not defined is the opposite one, behind the neck, where no hand goes. ``lift`` turns it out.
    """
    rest, off = np.array((0.30, -0.55, 0.78), np.float32), np.array((0.35, -0.75, -0.55), np.float32)
    rest = rest / np.sqrt((rest * rest).sum())
    off = off - (off * rest).sum() * rest
    off = off / np.sqrt((off * off).sum())
    rest, off = (carry(upright, [sign * v[0], v[1], v[2]]) for v in (rest, off))
    bulge = off - (along * off).sum(0) / np.maximum(1 + (along * rest).sum(0), 0.02) * (along + rest)
    across = np.stack([along[i - 2] * bulge[i - 1] - along[i - 1] * bulge[i - 2] for i in range(3)])  # cross product
    cos, sin = turn(90 * sign * lift)
    bulge = cos * bulge + sin * across
    bulge = bulge - (bulge * along).sum(0) * along
    return bulge / np.sqrt((bulge * bulge).sum(0) + 1e-9)


def meet(poses: Sequence[Pose], touch: np.ndarray, heading: np.ndarray, palms: bool) -> list[dict[str, np.ndarray]]:
    """Two people, solved at the same spot face to face, are set apart so that they touch, and their arms led there.

    Args:
        poses: the one who begins, then the other.
        touch: [n, T], 1 while they touch.
        heading: [n, 1] degrees the first faces; the other faces back.
        palms: the first lays both palms on the other's shoulders; otherwise both right hands meet.

    Returns:
        the points of both.
    """
    first, second = (reach(pose) for pose in poses)
    cos, sin = turn(heading)
    ahead = np.stack([sin, 0 * sin, cos])
    gap = (0.2 if palms else 0.05) * ahead  # from wrist to shoulder joint, through hand and chest; between two wrists
    hand = 0.5 * (first["left_wrist"] + first["right_wrist"]) if palms else first["right_wrist"]
    goal = second["chest"] if palms else second["right_wrist"]
    away = ((hand - goal) * touch).sum(2, keepdims=True) / np.maximum(touch.sum(1, keepdims=True), 1e-3) + gap
    away[1] = 0
    other = poses[1]._replace(points={name: place + away for name, place in poses[1].points.items()})
    if palms:
        goals = {"left": other.points["right_shoulder"] - gap, "right": other.points["left_shoulder"] - gap}
        return [reach(poses[0], goals, touch), reach(other)]
    middle = 0.5 * (hand + goal + away)
    return [reach(poses[0], {"right": middle - 0.5 * gap}, touch), reach(other, {"right": middle + 0.5 * gap}, touch)]


def _around(path: np.ndarray, shoulder: np.ndarray, upright: np.ndarray, size: Mapping[str, Any]) -> np.ndarray:
    """Lead a wrist's path around the trunk, taken as an upright elliptic cylinder below the shoulders."""
    place = path + shoulder
    left = (place * upright[:, 0]).sum(0)
    ahead = (place * upright[:, 2]).sum(0)
    radius = np.sqrt((left / (0.95 * size["shoulder"])) ** 2 + (ahead / (0.75 * size["shoulder"])) ** 2 + 1e-6)
    push = np.maximum(1 / radius - 1, 0) * ease(-path[1] / 0.12)
    return path + push * (left * upright[:, 0] + ahead * upright[:, 2])
