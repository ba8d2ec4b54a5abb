"""Stick figures: the joints of a motion as lines in a picture, whoever paints them.

Left limbs are blue, right ones orange, the trunk is dark; a second person is paler; missing joints are not drawn.
3-D motion is seen from one fixed camera, a little above and half from the front of the first person as it stands in
the first frame (two people: from the side). 2-D motion is drawn as it is. All frames of a motion have one scale.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..motion.layout import Layout
from ..motion.motion import Motion
from ..utils.errors import InputError

# Of the camera: how far from the front of one person towards its left (of two people: from the side), how far above.
ONE, TWO, ELEVATION = np.radians((32, 12, 14))
LONGEST = 200  # frames, where all are wanted
# in heights of the body: width of a limb, radius of the head, half the length of the shadow, room between figures
LIMB, HEAD, SHADOW, GAP = 0.026, 0.062, 0.12, 0.12
WIDEST, HIGHEST, LOWEST = 2.0, 1.8, -0.5  # stray joints farther out than this do not make the picture larger
# joints without a line of their own: those of the face lie in the head, fingers in the hand, origins outside the body
BARE = (
    "nose",
    "eye",
    "ear",
    "mouth",
    "head_top",
    "head_end",
    "thumb",
    "pinky",
    "index",
    "small_toe",
    "joint_root",
    "reference",
    "world",
)

Colour = tuple[float, float, float]
WHITE, PALE = (1.0, 1.0, 1.0), (0.862, 0.866, 0.882)
INK: dict[str, Colour] = {"trunk": (0.204, 0.212, 0.247), "left": (0.169, 0.482, 0.729), "right": (0.878, 0.392, 0.173)}


class Line(NamedTuple):
    """A line with round ends: its two ends float64 ``[2, 2]``, its colour, its width in heights of the body."""

    ends: np.ndarray
    ink: Colour
    width: float


class Figures:
    """Frames of a motion as they are drawn, in heights of the body; the floor is at height 0.

    Args:
        motion: any motion.
        frames: how many, evenly from the first to the last; None takes all, at most ``LONGEST``.

    Attributes:
        layout, fps: the motion's.
        at: int ``[F]``, frames of the motion.
        place: float64 ``[F, M, V, 2]``, joints in the picture; the people's middle is at x = 0.
        depth: float64 ``[F, M, V]``, towards the camera.
        below: float64 ``[F, M, 2]``, the place on the floor below each person; None in 2-D.
        seen: bool ``[F, M, V]``.
        left, right, low, high: the box around all figures.

    Raises:
        InputError: ``frames`` below 1, no joint seen at all.
    """

    def __init__(self, motion: Motion, frames: int | None = None):
        if frames is not None and frames < 1:
            raise InputError("frames", str(frames), "1 or more")
        if not motion.confidence.any():
            raise InputError(motion.source or "motion", "no joint is seen in any frame", "something to draw")
        self.layout, self.fps = motion.layout, motion.fps
        last = len(motion) - 1
        evenly = np.arange(min(last + 1, LONGEST)) if frames is None else np.linspace(0, last, frames)
        self.at = np.unique(evenly.round().astype(int))
        place, depth, below = _pictured(motion)
        seen = motion.confidence > 0
        tall = [np.ptp(frame[there][:, 1]) for frame, there in zip(place, seen) if there.any()]
        unit = max(float(np.quantile(tall, 0.9)), 1e-9)
        self.place, self.depth, self.seen = place[self.at] / unit, depth[self.at] / unit, seen[self.at]
        self.below = None if below is None else below[self.at] / unit
        x, y = self.place[self.seen].T if self.seen.any() else np.zeros((2, 1))
        self.left, self.right = max(-WIDEST, min(x.min(), -HEAD)), min(WIDEST, max(x.max(), HEAD))
        self.low, self.high = max(LOWEST, min(-0.05, y.min())), max(1.0, min(HIGHEST, y.max())) + HEAD

    @property
    def slot(self) -> float:
        """Width of the place that a figure of this motion needs."""
        return max(0.45, self.right - self.left + GAP)

    def lines(self, frame: int, x: float, y: float = 0.0) -> Iterator[Line]:
        """The lines of one frame, those in front last.

        Args:
            frame: index into ``at``.
            x, y: the middle of the figure's place, and its floor.
        """
        shift = np.array([x - (self.left + self.right) / 2, y])
        seen, depth = self.seen[frame], self.depth[frame]
        people = sorted(np.flatnonzero(seen.any(1)), key=lambda person: depth[person][seen[person]].mean())
        for person in people if self.below is not None else ():
            below = self.below[frame, person] + shift  # type: ignore[index]
            yield Line(np.add(below, [(-SHADOW, 0), (SHADOW, 0)]), PALE, SHADOW / 2)
        for person in people:
            yield from self._body(self.place[frame, person] + shift, depth[person], seen[person], int(person))

    def _body(self, place: np.ndarray, depth: np.ndarray, seen: np.ndarray, person: int) -> Iterator[Line]:
        there = [limb for limb in limbs(self.layout) if seen[[*limb.end, *limb.start]].all()]
        for limb in sorted(there, key=lambda limb: depth[list(limb.end)].mean() + depth[list(limb.start)].mean()):
            end, start = place[list(limb.end)].mean(0), place[list(limb.start)].mean(0)
            # first a white line, wider and ending before the joints, so that what is in front stands off
            short = (end - start) * min(0.5, 1.5 * LIMB / max(float(np.hypot(*(end - start))), 1e-9))
            yield Line(np.stack([start + short, end - short]), WHITE, 1.9 * LIMB)
            yield Line(np.stack([start, end]), ink(limb.side, person), LIMB)
        if head := _head(self.layout, seen):
            middle = np.add(place[head].mean(0), [(-0.001, 0), (0.001, 0)])  # a line without length is not drawn
            yield Line(middle, WHITE, 2 * HEAD + 0.6 * LIMB)
            yield Line(middle, ink("trunk", person), 2 * HEAD)


class Limb(NamedTuple):
    """A line of the body from the middle of some joints to the middle of others, and its side: left, right or trunk."""

    end: tuple[int, ...]
    start: tuple[int, ...]
    side: str


@functools.cache
def limbs(layout: Layout) -> tuple[Limb, ...]:
    """The lines of a body: joint to parent, past those in ``BARE``.

    Where a layout has no pelvis or no joint between the shoulders, the middle of both sides stands for it, joined by a
    spine, and the head stands on it.
    """
    words = [word.removeprefix("left_").removeprefix("right_") for word in layout.canonical_names]
    bare = [word.startswith(BARE) for word in words]
    side = {joint: part.split("_")[0] for part, joints in layout.parts.items() for joint in joints}
    given = {word: layout.find(place) for word, place in (("shoulder", "chest"), ("hip", "pelvis"))}
    pairs = {word: tuple(joint for joint, each in enumerate(words) if each == word) for word in given}
    middle = {word: pairs[word] if joint is None else (joint,) for word, joint in given.items()}
    whole = all(len(pair) == 2 for pair in pairs.values())
    found = []
    for joint, parent in layout.bones:
        while bare[parent] and layout.parents[parent] >= 0:
            parent = layout.parents[parent]
        if whole and given.get(words[joint], joint) is None:
            found.append(Limb((joint,), middle[words[joint]], side[joint]))
        elif not bare[joint] and not bare[parent]:
            found.append(Limb((joint,), (parent,), side[joint]))
    if whole and None in given.values():
        found.append(Limb(middle["shoulder"], middle["hip"], "trunk"))
    top = layout.find("head", "neck") if given["shoulder"] is None else None
    if layout.find("head") is None and top is None:
        top = layout.find("nose")
    if top is not None and middle["shoulder"]:
        found.append(Limb((top,), middle["shoulder"], "trunk"))
    return tuple(found)


@functools.cache
def ink(side: str, person: int = 0) -> Colour:
    """Colour of a limb; every person after the first is paler."""
    red, green, blue = (1 - (1 - channel) * (0.5 if person else 1.0) for channel in INK[side])
    return red, green, blue


def _head(layout: Layout, seen: np.ndarray) -> list[int]:
    """The joints in whose middle the head is: the head and its top, else nose and ears, as far as seen."""
    for words in (("head", "head_top", "head_end"), ("nose", "left_ear", "right_ear"), ("neck_end",)):
        there = [joint for joint, word in enumerate(layout.canonical_names) if word in words and seen[joint]]
        if there:
            return there
    return []


# ------------------------------------------------------------------------------------------------ where things are


def _pictured(motion: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Joints in the picture ``[T, M, V, 2]``, their depths ``[T, M, V]``, places below the people ``[T, M, 2]``.

    In the motion's unit; the people's middle is at x = 0, the floor at y = 0.
    """
    seen, up, joints = motion.confidence > 0, _up(motion), motion.joints.astype(np.float64)
    centres = (joints * seen[..., None]).sum(2) / np.maximum(seen.sum(2), 1)[..., None]
    pinned = _pinned(joints[:, 0], seen[:, 0])
    if motion.coords == 3 and not pinned:
        up = _straightened(up, centres, joints, seen)
    heights = np.where(seen, joints @ up, np.inf).min((1, 2))
    frames = np.flatnonzero(np.isfinite(heights))
    lowest = np.interp(np.arange(len(heights)), frames, heights[frames])
    floor = lowest if pinned else np.full(len(lowest), np.quantile(lowest, 0.1))
    middle = _middle(motion)
    origin = (middle - (middle @ up)[:, None] * up + floor[:, None] * up)[:, None]
    root = list(motion.layout.root)
    stand = np.where(np.all(seen[:, :, root], axis=2)[..., None], joints[:, :, root].mean(2), centres) - origin
    joints = joints - origin[:, None]
    if motion.coords == 2:
        return np.stack([joints @ np.abs(up[::-1]), joints @ up], -1), np.zeros(seen.shape), None
    right, above, towards = _camera(joints, seen, motion.layout, up)
    image = np.stack([right, above], -1)
    return joints @ image, joints @ towards, (stand - (stand @ up)[..., None] * up) @ image


def _up(motion: Motion) -> np.ndarray:
    """The axis that points up ``[C]``; where it is not known, that along which the head is farthest from the root."""
    axes = np.eye(motion.coords)
    if motion.up:
        return axes["xyz".index(motion.up[1])] * (1 if motion.up[0] == "+" else -1)
    head, root = motion.layout.find("head", "nose", "neck", "chest"), list(motion.layout.root)
    both = motion.confidence[:, :, [*root, head or 0]].all(-1)
    if head is None or not both.any():
        return axes[1] * (1 if motion.coords == 3 else -1)
    tall = (motion.joints[:, :, head] - motion.joints[:, :, root].mean(2))[both].mean(0)
    axis = int(np.abs(tall).argmax())
    return axes[axis] * (np.sign(tall[axis]) or 1)


def _middle(motion: Motion) -> np.ndarray:
    """The middle of the people ``[T, C]``: of their roots where seen, else of their joints; linear through gaps."""
    seen, root = motion.confidence > 0, list(motion.layout.root)
    points, weight = motion.joints[:, :, root].mean(2), np.all(seen[:, :, root], axis=2)  # [T, M, C], [T, M]
    if not weight.any():
        points, weight = motion.joints.reshape(len(motion), -1, motion.coords), seen.reshape(len(motion), -1)
    frames = np.flatnonzero(weight.any(1))
    middle = (points * weight[..., None]).sum(1)[frames] / weight.sum(1)[frames, None]
    return np.stack([np.interp(np.arange(len(motion)), frames, axis) for axis in middle.T], -1)


def _pinned(joints: np.ndarray, seen: np.ndarray) -> bool:
    """Whether normalisation holds a joint of ``[T, V, C]`` in its place: then every frame stands on its own feet."""
    mostly = 2 * seen.sum(0) > max(4, len(seen))
    if not mostly.any():
        return False
    joints, there = joints[:, mostly], seen[:, mostly, None]
    moved = np.where(there, joints, -np.inf).max(0) - np.where(there, joints, np.inf).min(0)  # [V, C]
    return bool(moved.max(1).min() < 1e-4 * moved.max())


def _straightened(up: np.ndarray, centres: np.ndarray, joints: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """``up``, turned so that people who travel or stand apart are on one floor.

    Recordings stand in the axes of their camera, which is often tilted. The slope is that of the feet over the places
    of the people, by least squares, held back where these lie close together.

    Args:
        centres: ``[T, M, 3]`` middle of each person.
        joints, seen: ``[T, M, V, 3]``, ``[T, M, V]``.
    """
    there = seen.any(2)
    heights = joints @ up
    feet = np.where(seen, heights, np.inf).min(2)[there]
    way = centres[there] - centres[there].mean(0)
    way -= (way @ up)[:, None] * up
    firm = len(way) * (0.1 * np.ptp(heights[seen])) ** 2 + 1e-12
    slope = np.linalg.solve(way.T @ way + firm * np.eye(3), way.T @ (feet - feet.mean()))
    return (up - slope) / np.linalg.norm(up - slope)


def _camera(
    joints: np.ndarray, seen: np.ndarray, layout: Layout, up: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors: to the right of the picture, up in it, towards the camera."""
    together = [frame for frame in range(len(seen)) if seen[frame, :2].any(1).all()] if seen.shape[1] > 1 else []
    if together:
        first, second = (joints[together[0], person][seen[together[0], person]].mean(0) for person in (0, 1))
        sideways, azimuth = [second - first], TWO
    else:
        sideways, azimuth = _shoulders(joints[:, 0], seen[:, 0], layout), ONE
    vectors = np.array([*sideways, *np.eye(3)])
    flat = vectors - np.outer(vectors @ up, up)
    length = np.linalg.norm(flat, axis=1)
    best = int((length > 0.1 * np.linalg.norm(vectors, axis=1)).argmax())  # the first that does not stand upright
    side = flat[best] / length[best]
    level = np.cos(azimuth) * np.cross(side, up) + np.sin(azimuth) * side
    towards = np.cos(ELEVATION) * level + np.sin(ELEVATION) * up
    right = np.cross(up, level)
    return right, np.cross(towards, right), towards


def _shoulders(joints: np.ndarray, seen: np.ndarray, layout: Layout) -> list[np.ndarray]:
    """From right to left shoulder and from right to left hip, each where it is first seen; ``[T, V, 3]`` -> ``[3]``."""
    found = []
    for word in ("shoulder", "hip"):
        left, right = layout.find(f"left_{word}"), layout.find(f"right_{word}")
        if left is not None and right is not None and (both := seen[:, left] & seen[:, right]).any():
            found.append(joints[both.argmax(), left] - joints[both.argmax(), right])
    return found
