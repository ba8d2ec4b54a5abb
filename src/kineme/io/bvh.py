"""BVH motion capture (.bvh): a skeleton with offsets, and rotations per frame; any channels in any order.

Positions come from forward kinematics in float64 over all frames at once. A joint's rotation is the product of its
rotation channels in the order in which they are named, the first one outermost. A position channel replaces the offset
along its axis, for joints other than the root too. End sites become joints ``<parent>_end``. The format states neither
unit nor up axis: the unit stays ``1``, up is +y as the format's programs have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _text

suffixes = own = (".bvh",)

WHAT = "BVH (HIERARCHY with ROOT and JOINTs, then MOTION with Frames, Frame Time and numbers)"
MAX_PLACES = 1 << 26  # frames x joints
MOTION = re.compile(rb"\bMOTION\s+Frames\s*:\s*(\S+)\s+Frame\s+Time\s*:\s*(\S+)", re.IGNORECASE)
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
    joints, values, frame_time = parse(path)
    with np.errstate(all="ignore"):
        places = forward(joints, values)
    layout = skeleton.free([joint.name for joint in joints], [joint.parent for joint in joints])
    yield Motion(_text.float32(path, places)[:, None], layout, fps=1 / frame_time, up="+y", source=path.name)


def parse(path: Path) -> tuple[list[Joint], np.ndarray, float]:
    """Joints and end sites, channel values float64 ``[T, channels]`` (degrees for rotations), seconds per frame.

    Raises:
        InputError: not of this format; the message names the line.
    """
    data = _text.load(path, WHAT)
    motion = MOTION.search(data)
    if motion is None:
        raise InputError(path, "no section MOTION with Frames and Frame Time", WHAT, "The file may be cut short")
    joints = _hierarchy(path, _text.unpack(data[: motion.start()]))
    channels = sum(len(joint.channels) for joint in joints)
    frames = int(motion[1]) if _text.INTEGER.fullmatch(motion[1]) else 0
    frame_time = float(motion[2]) if _text.NUMBER.fullmatch(motion[2]) else 0.0
    line = 1 + data.count(b"\n", 0, motion.start(1))
    if not 0 < frames <= MAX_PLACES // len(joints):
        raise InputError(
            f"{path}, line {line}",
            f"{_text.unpack(motion[1][:20])} frames of {len(joints)} joints",
            f"at least 1 frame and at most {MAX_PLACES} positions",
        )
    line += data.count(b"\n", motion.start(1), motion.end())
    if not 1e-5 <= frame_time < np.inf:
        raise InputError(f"{path}, line {line}", f"frame time {_text.unpack(motion[2][:20])!r}", "seconds, above 0")
    words = _text.words(path, b"\n" * (line - 1) + data[motion.end() :])  # as many lines as before, for messages
    if len(words) != frames * channels:
        raise InputError(
            f"{path}, line {line}",
            f"{len(words)} numbers after the frame time",
            f"{frames} frames of {channels} channels",
            "The file may be cut short",
        )
    return joints, words.floats().reshape(frames, channels), frame_time


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
    joints: list[Joint] = []
    chain: list[int] = []  # joints whose brace is open, outermost first
    ends: set[int] = set()  # end sites
    waiting = False  # a joint is named, its brace has not come yet
    for number, line in enumerate(head.split("\n"), 1):
        for piece in re.findall(r"[{}]|[^{}]+", line):
            word, *rest = piece.split() or [""]
            key, where = word.upper(), f"{path}, line {number}"
            if key in ("ROOT", "JOINT", "END"):
                parent = chain[-1] if chain else -1
                if waiting or (key == "ROOT") != (not joints) or (key != "ROOT" and parent < 0) or parent in ends:
                    raise InputError(
                        where,
                        f"{piece.strip()[:40]!r} in this place",
                        "one ROOT, all else in its braces, nothing in those of an End Site",
                    )
                if len(joints) == MAX_JOINTS:
                    raise InputError(where, f"more than {MAX_JOINTS} joints")
                if key == "END":
                    ends.add(len(joints))
                name = f"{joints[parent].name}_end" if key == "END" else piece.strip()[len(word) :].strip()
                joints.append(Joint(name or f"joint_{len(joints)}", parent, (0.0, 0.0, 0.0), ()))
                waiting = True
            elif key == "{" and waiting:
                chain.append(len(joints) - 1)
                waiting = False
            elif key == "}" and chain and not waiting:
                chain.pop()
            elif key == "OFFSET" and chain and not waiting:
                joints[chain[-1]] = replace(joints[chain[-1]], offset=_offset(where, rest))
            elif key == "CHANNELS" and chain and not waiting:
                joints[chain[-1]] = replace(joints[chain[-1]], channels=_channels(where, rest))
            elif key not in ("", "HIERARCHY"):
                raise InputError(where, f"{piece.strip()[:40]!r} in this place", WHAT)
    if chain or waiting or not joints:
        raise InputError(path, "braces that do not match" if joints else "no ROOT", WHAT)
    return joints


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
