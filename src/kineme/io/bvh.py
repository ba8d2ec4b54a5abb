"""BVH motion capture (.bvh): a skeleton with offsets, and rotations per frame; any channels in any order.

Positions come from forward kinematics in float64 over all frames at once. A joint's rotation is the product of its
rotation channels in the order in which they are named, the first one outermost. A position channel replaces the offset
along its axis, for joints other than the root too. End sites become joints ``<parent>_end``. The format states neither
unit nor up axis: the unit stays ``1``, up is +y as the format's programs have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import camera, size, units
from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from ..utils.files import atomic
from . import MAX_JOINTS, Options, _text

suffixes = own = (".bvh",)

WHAT = "BVH (HIERARCHY with ROOT and JOINTs, then MOTION with Frames, Frame Time and numbers)"
MAX_PLACES = 1 << 26  # frames x joints
MOTION = re.compile(rb"\bMOTION\s+Frames\s*:\s*(\S+)\s+Frame\s+Time\s*:\s*(\S+)", re.IGNORECASE)
MAX_VALUE = float(np.finfo(np.float32).max)
COMMA = re.compile(rb"[+-]?\d*,\d+([eE][+-]?\d+)?")
COMMAS = "files with decimal commas, read as decimal points"  # notes
TORN = "broken last rows, left out"
CHANNELS = {f"{axis}{kind}": (kind, i) for kind in ("position", "rotation") for i, axis in enumerate("xyz")}


@dataclass(frozen=True)
class Joint:
    """One joint or end site.

    Attributes:
        name: as in the file; ``<parent>_end`` for end sites.
        parent: index, -1 for the root.
        offset: from the parent.
        channels: ("position" or "rotation", axis 0..2) in file order.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[tuple[str, int], ...]


def sniff(path: Path, head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:9].upper() == b"HIERARCHY"


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, V, 3]``, V = joints and end sites in file order."""
    joints, values, frame_time, lost, notes = _parse(path)
    with np.errstate(all="ignore"):
        places = forward(joints, values)
    layout = skeleton.free([joint.name for joint in joints], [joint.parent for joint in joints])
    seen = np.repeat(~lost[:, None], len(joints), axis=1).astype(np.float32)
    yield Motion(places[:, None], layout, seen[:, None], fps=1 / frame_time, up="+y", source=path.name, notes=notes)


def parse(path: Path) -> tuple[list[Joint], np.ndarray, float]:
    """Joints and end sites, channel values float64 ``[T, channels]`` (degrees for rotations), seconds per frame.

    A value that is no number is NaN, and so is whatever hangs on it; a row with too few or too many values is 0.

    Raises:
        InputError: not of this format; the message names the line.
    """
    return _parse(path)[:3]


def _parse(path: Path) -> tuple[list[Joint], np.ndarray, float, np.ndarray, dict[str, int]]:
    """What :func:`parse` gives, which rows are lost, and notes."""
    data, notes = _points(path, _text.load(path, WHAT))
    motion = MOTION.search(data)
    if motion is None:
        raise InputError(path, "no section MOTION with Frames and Frame Time", WHAT, "The file may be cut short")
    joints = _hierarchy(path, _text.unpack(data[: motion.start()]))
    channels = sum(len(joint.channels) for joint in joints)
    announced = _text.unpack(motion[1][:20])
    frame_time = float(motion[2]) if _text.NUMBER.fullmatch(motion[2]) else 0.0
    line = 1 + data.count(b"\n", 0, motion.end())
    if not 1e-5 <= frame_time < np.inf:
        raise InputError(f"{path}, line {line}", f"frame time {_text.unpack(motion[2][:20])!r}", "seconds, above 0")
    words = _text.words(path, b"\n" * (line - 1) + data[motion.end() :])  # as many lines as before, for messages
    if not channels or not len(words):
        raise InputError(f"{path}, line {line}", "no numbers after the frame time", f"rows of {channels} channels")
    values, lost, torn = _rows(words, channels, announced)
    if not 0 < len(values) <= MAX_PLACES // len(joints):
        raise InputError(
            f"{path}, line {line}",
            f"{len(values)} whole rows for {len(joints)} joints",
            f"at least 1 row and at most {MAX_PLACES} positions",
            "The file may be cut short",
        )
    if announced != str(len(values)):
        notes[f"announces {announced} frames, has {len(values)}"] = 1
    notes |= {TORN: int(torn), _text.LOST: int(lost.sum())}
    if (np.abs(values) > MAX_VALUE).any():
        frame, channel = np.argwhere(np.abs(values) > MAX_VALUE)[0]
        of = np.repeat([joint.name for joint in joints], [len(joint.channels) for joint in joints])[channel]
        where = f"frame {frame}, joint {of}"
        raise InputError(path, f"{values[frame, channel]:g} at {where}", f"numbers of at most {MAX_VALUE:g}")
    return joints, values, frame_time, lost, notes


def _rows(words: _text.Words, channels: int, announced: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """Values ``[T, channels]``, which rows are lost, and whether a broken last row was left out.

    Rows stand on lines of their own, as a rule; where they do not, the numbers just follow each other.
    """
    first, widths = words.lines()
    count, rest = divmod(len(words), channels)
    if (widths == channels).all():
        return words.floats(finite=False).reshape(-1, channels), np.zeros(count, bool), False
    in_lines = 2 * (widths == channels).sum() > len(widths) - (widths[-1] < channels)
    if not in_lines and (len(widths) == 1 or announced == str(count)):
        return (
            words.floats(slice(count * channels), finite=False).reshape(-1, channels),
            np.zeros(count, bool),
            rest > 0,
        )
    torn = len(widths) > 1 and 0 < widths[-1] < channels and widths[-2] == channels
    end = int(first[-2]) if torn else len(words)
    values, lost = replace(words, edges=words.edges[: 2 * end]).table(channels, "one for each channel")
    return values, lost, torn


def _points(path: Path, data: bytes) -> tuple[bytes, dict[str, int]]:
    """The text with decimal points where all its numbers have decimal commas.

    Raises:
        InputError: commas in some numbers only, or as separators.
    """
    if b"," not in data:
        return data, {}
    start = re.search(rb"\bMOTION\b", data, re.IGNORECASE)
    parts = re.compile(rb"^[ \t]*OFFSET\b[^\n]*", re.IGNORECASE | re.MULTILINE)  # names may have commas in them
    tail = start.start() if start else len(data)
    numbers = b"\n".join([*parts.findall(data[:tail]), data[tail:]])
    if b"," not in numbers:
        return data, {}
    odd = next((word for word in numbers.split() if b"," in word and not COMMA.fullmatch(word)), None)
    if odd is None and b"." in numbers:
        odd = next(word for word in numbers.split() if b"." in word)
    if odd is not None:
        line = 1 + data.count(b"\n", 0, data.index(odd))
        raise InputError(
            f"{path}, line {line}",
            f"{_text.unpack(odd[:20])!r} in a file of numbers with commas",
            "decimal commas in all numbers, or in none",
            "Write decimal points and separate numbers by blanks",
        )
    mended = parts.sub(lambda match: match[0].replace(b",", b"."), data[:tail]) + data[tail:].replace(b",", b".")
    return mended, {COMMAS: 1}


def forward(joints: Sequence[Joint], values: np.ndarray) -> np.ndarray:
    """Positions of all joints by forward kinematics.

    Args:
        joints: parents come before their children.
        values: float64 ``[T, channels]``, channels of all joints one after the other.

    Returns:
        float64 ``[T, V, 3]``.
    """
    frames, column = len(values), 0
    places = np.empty((len(joints), 3, frames))
    turns = np.empty((len(joints), 3, 3, frames))  # from a joint's own axes to those of the world
    for place, turn, joint in zip(places, turns, joints):
        shift = np.tile(np.array(joint.offset)[:, None], frames)
        world = turns[joint.parent] if joint.parent >= 0 else np.eye(3)[..., None]
        turn[:] = world
        for kind, axis in joint.channels:
            value = values[:, column]
            column += 1
            if kind == "position":
                shift[axis] = value
                continue
            cos, sin = np.cos(np.radians(value)), np.sin(np.radians(value))
            a, b = (axis + 1) % 3, (axis + 2) % 3  # a rotation from the right mixes two columns
            turn[:, a], turn[:, b] = turn[:, a] * cos + turn[:, b] * sin, turn[:, b] * cos - turn[:, a] * sin
        place[:] = (world * shift).sum(1) + (places[joint.parent] if joint.parent >= 0 else 0)
    return places.transpose(2, 0, 1)


def _hierarchy(path: Path, head: str) -> list[Joint]:
    """The tree, parents before children."""
    tree = _Tree()
    for number, line in enumerate(head.split("\n"), 1):
        for piece in re.findall(r"[{}]|[^{}]+", line):
            tree.take(piece.strip(), f"{path}, line {number}")
    if tree.chain or tree.waiting or not tree.joints:
        raise InputError(path, "braces that do not match" if tree.joints else "no ROOT", WHAT)
    return tree.joints


class _Tree:
    """The joints of a HIERARCHY, built piece by piece; a piece is a brace or the rest of a line."""

    def __init__(self) -> None:
        self.joints: list[Joint] = []
        self.chain: list[int] = []  # joints whose brace is open, outermost first
        self.ends: set[int] = set()  # end sites
        self.waiting = False  # a joint is named, its brace has not come yet

    def take(self, piece: str, where: str) -> None:
        word, *rest = piece.split() or [""]
        inside = bool(self.chain) and not self.waiting
        match word.upper():
            case "" | "HIERARCHY":
                pass
            case "ROOT" | "JOINT" | "END" as kind:
                self._name(kind, piece[len(word) :].strip(), piece, where)
            case "{" if self.waiting:
                self.chain.append(len(self.joints) - 1)
                self.waiting = False
            case "}" if inside:
                self.chain.pop()
            case "OFFSET" if inside:
                self._describe(offset=_offset(where, rest))
            case "CHANNELS" if inside:
                self._describe(channels=_channels(where, rest))
            case _:
                raise InputError(where, f"{piece[:40]!r} in this place", WHAT)

    def _name(self, kind: str, name: str, piece: str, where: str) -> None:
        """Add a joint, or an end site, below the innermost open one."""
        parent = self.chain[-1] if self.chain else -1
        first, root = not self.joints, kind == "ROOT"
        if self.waiting or root != first or (not root and parent < 0) or parent in self.ends:
            expected = "one ROOT, all else in its braces, nothing in those of an End Site"
            raise InputError(where, f"{piece[:40]!r} in this place", expected)
        if len(self.joints) == MAX_JOINTS:
            raise InputError(where, f"more than {MAX_JOINTS} joints")
        if kind == "END":
            self.ends.add(len(self.joints))
            name = f"{self.joints[parent].name}_end"
        self.joints.append(Joint(name or f"joint_{len(self.joints)}", parent, (0.0, 0.0, 0.0), ()))
        self.waiting = True

    def _describe(self, **changes: Any) -> None:
        self.joints[self.chain[-1]] = replace(self.joints[self.chain[-1]], **changes)


def _offset(where: str, words: list[str]) -> tuple[float, float, float]:
    if len(words) != 3 or not all(_text.NUMBER.fullmatch(word.encode()) for word in words):
        raise InputError(where, f"OFFSET {' '.join(words)[:60]}", "three numbers")
    x, y, z = map(float, words)
    return x, y, z


def _channels(where: str, words: list[str]) -> tuple[tuple[str, int], ...]:
    """Channel names after their count; a rotation may come twice (Euler angles such as Z X Z), a position may not."""
    channels = [CHANNELS.get(word.lower()) for word in words[1:]]
    moves = [channel for channel in channels if channel and channel[0] == "position"]
    if not words or words[0] != str(len(channels)) or None in channels or len(set(moves)) != len(moves):
        raise InputError(
            where,
            f"CHANNELS {' '.join(words)[:80]}",
            "their number, then names out of Xposition Yposition Zposition Xrotation Yrotation Zrotation",
        )
    return tuple(channel for channel in channels if channel)


# The rig of a BVH file, depth first: joint, word of the layout, parent. A joint turns the bone to its first child.
RIG = [
    tuple(line.split())
    for line in """
Hips pelvis -
Spine spine Hips
Chest chest Spine
Neck neck Chest
LeftCollar chest Chest
LeftShoulder left_shoulder LeftCollar
LeftElbow left_elbow LeftShoulder
LeftWrist left_wrist LeftElbow
RightCollar chest Chest
RightShoulder right_shoulder RightCollar
RightElbow right_elbow RightShoulder
RightWrist right_wrist RightElbow
LeftHip left_hip Hips
LeftKnee left_knee LeftHip
LeftAnkle left_ankle LeftKnee
RightHip right_hip Hips
RightKnee right_knee RightHip
RightAnkle right_ankle RightKnee
""".strip().splitlines()
]


ENDS = {  # where the last bones end: the first of these words that the layout has
    "Neck": ("head_top", "head"),
    "LeftWrist": ("left_hand_tip", "left_hand"),
    "RightWrist": ("right_hand_tip", "right_hand"),
    "LeftAnkle": ("left_foot_index", "left_big_toe", "left_foot"),
    "RightAnkle": ("right_foot_index", "right_big_toe", "right_foot"),
}


def fits(motion: Motion) -> Motion:
    """The motion in a layout of the rig's joints, +y up; from another one as many of them as it has."""
    motion = motion if all(motion.layout.find(word) is not None for _, word, _ in RIG) else motion.to_layout("ntu25")
    return size.turned(motion, "+y")


def write(folder: str | Path, motions: Iterable[Motion]) -> Path:
    """One ``NAME.bvh`` per clip and person (``NAME_2.bvh`` for the second), centimetres, rotations Z X Y, +y up.

    Joint turns follow from the bones' directions; how a limb turns about its own length is not in the joints, so each
    bone takes the smallest turn. A body of constant bone lengths is given back exactly, otherwise bones have their
    median length. Gaps are filled in time, for the format has none; joints that are never seen are left out, and with
    them persons without a pelvis and a point above it.

    Raises:
        InputError: a motion that is 2-D, or none of whose persons has both hips, a pelvis and a point above it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for clip in motions:
        texts = [text for person in range(clip.persons) if (text := _bvh(clip, person))]
        if not texts:
            expected = "somebody with hips, pelvis and a point of the trunk above it"
            raise InputError(clip.source, f"no such person in layout {clip.layout.name}", expected)
        for person, text in enumerate(texts):
            number = "" if person == 0 else f"_{person + 1}"
            with atomic(folder / f"{clip.source.replace('/', '_')}{number}.bvh") as path:
                path.write_text(text, encoding="ascii")
    return folder


def _bvh(clip: Motion, person: int) -> str:
    points, ends = _rig_points(clip, person)
    above = next((name for name in ("Spine", "Chest", "Neck") if name in points), None)
    if above is None or not {"Hips", "LeftHip", "RightHip"} <= points.keys():
        return ""
    parents: dict[str, str] = {}
    whole = {name: parent for name, _, parent in RIG}
    for name in points:
        parent = whole[name]
        while parent in whole and parent not in points:
            parent = whole[parent]
        parents[name] = parent
    children = {name: [child for child, parent in parents.items() if parent == name] for name in parents}
    left = camera.unit(points["LeftHip"] - points["RightHip"])
    up = points[above] - points["Hips"]
    up = camera.unit(up - (up * left).sum(-1, keepdims=True) * left)
    turns = {"Hips": np.stack([left, up, np.cross(left, up)], -1)}  # joint -> its axes in the world [T, 3, 3]
    rest = {"Hips": np.zeros(3)}  # joint -> its place in its parent's axes at rest
    tips, channels = {}, [points["Hips"], _zxy(turns["Hips"])]
    places = {"Hips": points["Hips"]}  # where the fitted skeleton has them: what a bone lacks is not handed on
    for name, parent in parents.items():
        if name in turns:
            continue
        inward = turns[parent].swapaxes(1, 2)
        rest[name] = np.median(camera.rotate((points[name] - places[parent])[:, None], inward)[:, 0], 0)
        places[name] = places[parent] + (turns[parent] @ rest[name][:, None])[..., 0]
        goal = points[children[name][0]] if children[name] else ends.get(name, places[name])
        bone = camera.rotate((goal - places[name])[:, None], inward)[:, 0]
        straight = _rest(name) * np.median(np.sqrt((bone * bone).sum(-1)))
        local = camera.between(np.broadcast_to(straight, bone.shape), bone)
        turns[name] = turns[parent] @ local
        tips[name] = straight
        channels.append(_zxy(local))
    tips = {name: tips[name] for name in ends if name in tips and not children[name]}
    lines = ["HIERARCHY", *_branch("Hips", children, rest, tips, 0)]
    lines += ["MOTION", f"Frames: {len(clip)}", f"Frame Time: {1 / (clip.fps or 30):.9g}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(channels, 1).tolist()]
    return "\n".join(lines) + "\n"


def _rig_points(clip: Motion, person: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Joints of the rig and tips of its ends that are ever seen, float64 [T, 3] in centimetres, gaps filled in time."""
    if clip.coords != 3:
        raise InputError(clip.source, "2-D joints", "3-D joints, as BVH has them")
    places = clip.joints[:, person].astype(np.float64) * (100 * units.METRES.get(clip.unit, 0.01))
    seen, time = clip.confidence[:, person] > 0, np.arange(len(clip))

    def find(words: tuple[str, ...]) -> np.ndarray | None:
        joint = clip.layout.find(*words)
        if joint is None or not seen[:, joint].any():
            return None
        if seen[:, joint].all():
            return places[:, joint]
        known = np.flatnonzero(seen[:, joint])
        return np.stack([np.interp(time, known, track) for track in places[known, joint].T], 1)

    joints = {name: found for name, word, _ in RIG if (found := find((word,))) is not None}
    return joints, {name: found for name, words in ENDS.items() if (found := find(words)) is not None}


def _rest(name: str) -> np.ndarray:
    """Direction of a joint's bone at rest, a T pose: arms aside, legs down, feet ahead."""
    side = 1.0 if name.startswith("Left") else -1.0
    joint = name.removeprefix("Left").removeprefix("Right")
    directions = {
        "Collar": (side, 0, 0),
        "Shoulder": (side, 0, 0),
        "Elbow": (side, 0, 0),
        "Wrist": (side, 0, 0),
        "Hip": (0, -1, 0),
        "Knee": (0, -1, 0),
        "Ankle": (0, -0.45, 0.9),
    }
    return camera.unit(np.array(directions.get(joint, (0, 1, 0)), np.float64))


def _zxy(rotation: np.ndarray) -> np.ndarray:
    """Degrees [T, 3] of R = Rz Rx Ry."""
    r = rotation
    x = np.arcsin(np.clip(r[:, 2, 1], -1, 1))
    z, y = np.arctan2(-r[:, 0, 1], r[:, 1, 1]), np.arctan2(-r[:, 2, 0], r[:, 2, 2])
    return np.degrees(np.stack([z, x, y], 1))


def _branch(
    name: str, children: dict[str, list[str]], rest: dict[str, np.ndarray], tips: dict[str, np.ndarray], depth: int
) -> Iterator[str]:
    """The lines of a joint and of all that hangs on it; RIG lists depth first, so the channels come in its order."""
    pad = "  " * depth
    position = "6 Xposition Yposition Zposition" if depth == 0 else "3"
    yield f"{pad}{'JOINT' if depth else 'ROOT'} {name}"
    yield f"{pad}{{"
    yield f"{pad}  OFFSET " + " ".join(f"{value:.6f}" for value in rest[name])
    yield f"{pad}  CHANNELS {position} Zrotation Xrotation Yrotation"
    for child in children[name]:
        yield from _branch(child, children, rest, tips, depth + 1)
    if name in tips:
        yield from (f"{pad}  End Site", f"{pad}  {{")
        yield f"{pad}    OFFSET " + " ".join(f"{value:.6f}" for value in tips[name])
        yield f"{pad}  }}"
    yield f"{pad}}}"
