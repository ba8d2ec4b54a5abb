"""Stick figures: the joints of a motion as lines in a picture, whoever paints them.

Left limbs are blue, right ones orange, the trunk is dark; a second person is paler. A limb to a joint that is missing
in a frame is grey, where the joint is seen shortly before or after; else it is not drawn. 3-D motion is seen from one
fixed camera, a little above and half from the front of the first person, the median over the clip (two people: from
the side). 2-D motion is drawn as it is. All frames of a motion have one scale.
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
NEAR = 10  # frames within which a missing joint is taken from where it is seen
STILL = 0.15  # of the mean movement: what a frame without any counts where frames are chosen by movement
JUMP = 0.15  # heights of the body from one frame to the next, mean over the joints: more does not count
TILT, BENT = np.radians((30, 15))  # a straight body that leans by less than the first stands before a tilted camera
# in heights of the body: width of a limb, radius of the head, half the length of the shadow, room between figures
LIMB, HEAD, SHADOW, GAP = 0.026, 0.062, 0.12, 0.12
WIDEST, HIGHEST, LOWEST = 2.0, 1.8, -0.5  # stray joints farther out than this do not make the picture larger
# joints without a line of their own: those of the face lie in the head, fingers in the hand, origins outside the body
BARE = (
    "nose",
    "eye",
    "ear",
    "mouth",
    "jaw",
    "chin",
    "brow",
    "nostril",
    "lip",
    "head_top",
    "head_end",
    "thumb",
    "pinky",
    "index",
    "forefinger",
    "middle_finger",
    "ring_finger",
    "small_toe",
    "joint_root",
    "reference",
    "world",
)

Colour = tuple[float, float, float]
WHITE, PALE = (1.0, 1.0, 1.0), (0.862, 0.866, 0.882)
UNSEEN: Colour = (0.72, 0.725, 0.745)
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
        frames: how many, of those in which somebody is seen, chosen so that about as much movement lies between any
            two; all where there are no more. None takes all, at most ``LONGEST``.

    Attributes:
        layout, fps: the motion's.
        at: int ``[F]``, frames of the motion.
        lost: int ``[F + 1]``, frames in which nobody is seen before the first of ``at``, between each two, and behind
            the last.
        guessed: bool ``[F, M, V]``, joints that are missing here and drawn where they are seen shortly before or after.
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
        place, depth, below = _pictured(motion)
        seen = motion.confidence > 0
        tall = [np.ptp(frame[there][:, 1]) for frame, there in zip(place, seen) if there.any()]
        unit = max(float(np.quantile(tall, 0.9)), 1e-9)
        self.at = np.arange(min(len(motion), LONGEST)) if frames is None else _chosen(place / unit, seen, frames)
        empty: np.ndarray = ~np.any(seen, axis=(1, 2))
        self.lost = np.array([part.sum() for part in np.split(empty, self.at)]) - [0, *empty[self.at]]
        place, self.guessed = _filled(place, seen, self.at)
        self.place, self.depth, self.seen = place / unit, depth[self.at] / unit, seen[self.at]
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
            place, guessed = self.place[frame, person] + shift, self.guessed[frame, person]
            yield from self._body(place, depth[person], seen[person], guessed, int(person))

    def sides(self) -> dict[str, Colour]:
        """What the colours mean, of those that occur: word -> colour."""
        there = {limb.side.split("_")[0] for limb in limbs(self.layout)}
        said = {side: INK[side] for side in ("left", "right") if side in there}
        return said | ({"not seen": UNSEEN} if self.guessed.any() else {})

    def _body(
        self, place: np.ndarray, depth: np.ndarray, seen: np.ndarray, guessed: np.ndarray, person: int
    ) -> Iterator[Line]:
        drawn = seen | guessed
        there = [limb for limb in limbs(self.layout) if drawn[[*limb.end, *limb.start]].all()]
        for limb in sorted(there, key=lambda limb: depth[list(limb.end)].mean() + depth[list(limb.start)].mean()):
            end, start = place[list(limb.end)].mean(0), place[list(limb.start)].mean(0)
            if not seen[[*limb.end, *limb.start]].all():
                yield Line(np.stack([start, end]), UNSEEN, 0.6 * LIMB)
                continue
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
    neck, nose = layout.find("neck"), layout.find("nose")
    if layout.find("head") is None and top is not None and top == neck and nose is not None:
        found.append(Limb((nose,), (neck,), "trunk"))
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


# ------------------------------------------------------------------------------------------------ which frames


def _chosen(place: np.ndarray, seen: np.ndarray, frames: int) -> np.ndarray:
    """Frames in which somebody is seen, with about as much movement between each two: int ``[F]``, rising.

    Args:
        place, seen: ``[T, M, V, 2]``, ``[T, M, V]``.
        frames: how many; all frames, whoever is seen, where there are no more.
    """
    if frames >= len(place):
        return np.arange(len(place))
    there = np.flatnonzero(seen.any((1, 2)))
    frames = min(frames, len(there))
    place, seen = place[there], seen[there]
    both = seen[1:] & seen[:-1]
    moved = (np.linalg.norm(np.diff(place, axis=0), axis=-1) * both).sum((1, 2)) / np.maximum(both.sum((1, 2)), 1)
    moved = np.minimum(moved, JUMP)  # people who change places are not movement
    moved = np.concatenate([[0], moved + STILL * moved.mean() + 1e-12])
    wanted = np.linspace(0, moved.sum(), frames) if frames > 1 else [moved.sum() / 2]
    at = np.interp(wanted, moved.cumsum(), np.arange(len(moved))).round().astype(int)
    at = np.maximum.accumulate(at - np.arange(frames)) + np.arange(frames)  # each later than the one before
    return there[np.minimum(at, len(there) - frames + np.arange(frames))]


def _filled(place: np.ndarray, seen: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the frames ``at``, missing ones linear between the nearest frames where they are seen.

    Returns:
        ``[F, M, V, 2]``; which were filled, bool ``[F, M, V]``: of people who are seen in that frame, and where the
        joint is seen within ``NEAR`` frames.
    """
    filled, guessed = place[at].copy(), np.zeros(seen[at].shape, bool)
    gaps = ~seen[at] & seen[at].any(2, keepdims=True) & seen.any(0)
    for person, joint in np.argwhere(gaps.any(0)):
        frames = np.flatnonzero(seen[:, person, joint])
        rows = np.flatnonzero(gaps[:, person, joint])
        rows = rows[np.abs(at[rows][:, None] - frames).min(1) <= NEAR]
        for axis in range(2):
            filled[rows, person, joint, axis] = np.interp(at[rows], frames, place[frames, person, joint, axis])
        guessed[rows, person, joint] = True
    return filled, guessed


# ------------------------------------------------------------------------------------------------ where things are


def _pictured(motion: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Joints in the picture ``[T, M, V, 2]``, their depths ``[T, M, V]``, places below the people ``[T, M, 2]``.

    In the motion's unit; the people's middle is at x = 0, the floor at y = 0.
    """
    seen, up, joints = motion.confidence > 0, up_axis(motion), motion.joints.astype(np.float64)
    centres = (joints * seen[..., None]).sum(2) / np.maximum(seen.sum(2), 1)[..., None]
    pinned = _pinned(joints[:, 0], seen[:, 0])
    if motion.coords == 3 and not pinned:
        up = _straightened(_upright(up, joints, seen, motion.layout), centres, joints, seen)
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


def up_axis(motion: Motion) -> np.ndarray:
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
    together = np.all(np.any(seen[:, :2], axis=2), axis=1) & (seen.shape[1] > 1)
    if together.any():
        known = seen[together, :2, :, None]
        middles = (joints[together, :2] * known).sum(2) / known.sum(2)
        sideways, azimuth = [_usual(middles[:, 1] - middles[:, 0], up)], TWO
    else:
        sideways, azimuth = _across(joints[:, 0], seen[:, 0], layout, up), ONE
    vectors = np.array([*sideways, *np.eye(3)])
    flat = vectors - np.outer(vectors @ up, up)
    length = np.linalg.norm(flat, axis=1)
    best = int((length > 0.1 * np.linalg.norm(vectors, axis=1)).argmax())  # the first that does not stand upright
    side = flat[best] / length[best]
    level = np.cos(azimuth) * np.cross(side, up) + np.sin(azimuth) * side
    towards = np.cos(ELEVATION) * level + np.sin(ELEVATION) * up
    right = np.cross(up, level)
    return right, np.cross(towards, right), towards


def _across(joints: np.ndarray, seen: np.ndarray, layout: Layout, up: np.ndarray) -> list[np.ndarray]:
    """From right to left shoulder and from right to left hip, as usual in ``[T, V, 3]``."""
    found = []
    for word in ("shoulder", "hip"):
        left, right = layout.find(f"left_{word}"), layout.find(f"right_{word}")
        if left is not None and right is not None and (both := seen[:, left] & seen[:, right]).any():
            found.append(_usual(joints[both, left] - joints[both, right], up))
    return found


def _usual(vectors: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The median of ``[T, 3]`` on the floor; of a body that turns all the way round, how it stands first."""
    flat = vectors - np.outer(vectors @ up, up)
    middle, length = np.median(flat, axis=0), np.median(np.linalg.norm(flat, axis=1))
    return middle if np.linalg.norm(middle) > 0.5 * length else vectors[0]


def _upright(up: np.ndarray, joints: np.ndarray, seen: np.ndarray, layout: Layout) -> np.ndarray:
    """``up``, turned to the body where it stands straight but leans: a sensor that looks down sees it so.

    Nobody stands so that legs and trunk lean alike by ``TILT`` or less; who sits, bends or lies is left as he is.
    """

    def middle(*words: str) -> tuple[np.ndarray, np.ndarray]:
        places = [place for word in words if (place := layout.find(word)) is not None]
        if not places:
            return joints[:, :, 0], np.zeros(seen.shape[:2], bool)
        return joints[:, :, places].mean(2), np.all(seen[:, :, places], axis=2)

    head = next((word for word in ("neck", "head", "chest", "nose") if layout.find(word) is not None), "head")
    hips, feet, top = middle("left_hip", "right_hip"), middle("left_ankle", "right_ankle"), middle(head)
    there = hips[1] & feet[1] & top[1]
    if not there.any():
        return up
    lines = [(one[0] - other[0])[there] for one, other in ((top, hips), (hips, feet))]
    trunk, legs = (
        np.median(line / np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-9), axis=0) for line in lines
    )
    lengths = np.linalg.norm(trunk), np.linalg.norm(legs)
    if min(lengths) < 0.5:
        return up
    trunk, legs = trunk / lengths[0], legs / lengths[1]
    along = (trunk + legs) / max(float(np.linalg.norm(trunk + legs)), 1e-9)
    straight = trunk @ legs > np.cos(BENT) and along @ up > np.cos(TILT)
    return along if straight else up
