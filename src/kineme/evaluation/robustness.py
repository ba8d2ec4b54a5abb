"""Clips as another sensor, another rate or another layout would have given them: what encoders are tried with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..data.store import Store
from ..motion import camera
from ..motion import layout as skeleton
from ..motion.joint_map import joint_map
from ..motion.motion import Motion
from ..utils.errors import InputError

LAYOUTS = ("pose13", "coco17", "kinect20", "ntu25")  # shown in one of these where it is not the store's own


class AlteredStore(Store):
    """Some clips of a store with other frames; everything else is as it was, but for the pictures, which it lacks.

    Args:
        store: where they come from.
        rows: int64 ``[n]``: which clips.
        frames, confidence: float32 ``[F, M, V, C]``, ``[F, M, V]``, one clip after the other.
        lengths: int64 ``[n]``, from 1 up.

    Examples:
        >>> from kineme.evaluation.robustness import AlteredStore
        >>> first = slice(0, store.lengths[0])
        >>> one = AlteredStore(store, np.arange(1), 2 * store.frames[first], store.confidence[first], store.lengths[:1])
        >>> len(one), one.hash == store.hash, one[0].label == store[0].label
        (1, False, True)
    """

    def __init__(self, store: Store, rows: np.ndarray, frames: np.ndarray, confidence: np.ndarray, lengths: np.ndarray):
        import pyarrow as pa

        derived = ("clips", "ids", "_places")
        self.__dict__.update({name: value for name, value in vars(store).items() if name not in derived})
        self._made_of = store, rows, frames, confidence, lengths
        self.frames, self.confidence = np.ascontiguousarray(frames, np.float32), np.ascontiguousarray(confidence)
        self.lengths = np.asarray(lengths, np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)
        self.has_pictures, self.picture_file = False, None
        table = store.clips.take(pa.array(rows))
        self.clips = table.set_column(table.column_names.index("length"), "length", pa.array(self.lengths))
        content = hashlib.sha256(store.hash.encode())
        for array in (np.asarray(rows, np.int64), self.lengths, self.frames, self.confidence):
            content.update(np.ascontiguousarray(array).data)
        counts = {"clips": len(self.lengths), "frames": len(self.frames)}
        self.card = {**store.card, **counts, "hash": content.hexdigest()}

    def __reduce__(self) -> tuple:
        return AlteredStore, self._made_of


class Clips(NamedTuple):
    """Clips of one layout as one long motion, and which clip each frame is of.

    Attributes:
        motion: F frames, one clip after the other.
        lengths: int64 ``[n]``.
        size: the root mean square distance of joints from the middle of their frame, median over the clips.
    """

    motion: Motion
    lengths: np.ndarray
    size: float

    @property
    def clip(self) -> np.ndarray:
        """The clip of each frame, int64 ``[F]``."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def with_(self, joints: np.ndarray | None = None, confidence: np.ndarray | None = None) -> Clips:
        """With other joints, or others missing."""
        motion = self.motion
        given = {"joints": motion.joints if joints is None else joints}
        return self._replace(
            motion=motion.with_(**given, confidence=motion.confidence if confidence is None else confidence)
        )

    def kept(self, frames: np.ndarray) -> Clips:
        """With some frames only, bool ``[F]``; of every clip at least the first."""
        first = np.cumsum(self.lengths) - self.lengths
        frames = frames.copy()
        frames[first] = True
        motion = self.motion.with_(joints=self.motion.joints[frames], confidence=self.motion.confidence[frames])
        return self._replace(motion=motion, lengths=np.add.reduceat(frames.astype(np.int64), first))


class Alteration(NamedTuple):
    """One way in which clips come out differently.

    Attributes:
        levels: how strong; the last is the strongest. Words, where they have no order.
        across: what the levels are, for axes.
        apply: clips, a level, randomness -> clips.
        space: only in 3-D.
    """

    levels: tuple[float | str, ...]
    across: str
    apply: Callable[[Clips, Any, np.random.Generator], Clips]
    space: bool = False


def clips_of(store: Store, rows: np.ndarray) -> Clips:
    """Some clips of a store in memory."""
    lengths = store.lengths[rows]
    first = np.cumsum(lengths) - lengths
    frame = np.arange(lengths.sum()) + np.repeat(store.offsets[rows] - first, lengths)
    motion = Motion(store.frames[frame], store.layout, store.confidence[frame], up=store.card["up"])
    weight = (motion.confidence > 0)[..., None]
    count = np.maximum(weight.sum((1, 2), keepdims=True), 1)
    middle = (motion.joints * weight).sum((1, 2), keepdims=True) / count
    squares = (((motion.joints - middle) ** 2).sum(3) * weight[..., 0]).sum((1, 2)) / count[:, 0, 0, 0]
    seen = weight.any((1, 2, 3))
    sizes = np.add.reduceat(np.where(seen, squares, 0), first) / np.maximum(np.add.reduceat(seen.astype(int), first), 1)
    return Clips(motion, lengths, float(np.sqrt(np.median(sizes))))


def altered(store: Store, rows: np.ndarray, name: str, level: float | str, seed: int = 0) -> AlteredStore:
    """Some clips as one of :data:`ALTERATIONS` leaves them.

    Args:
        rows: int64 ``[n]``.
        name: of the alteration.
        level: how strong.
        seed: of what is drawn; the same clips come out the same for every model.

    Examples:
        >>> from kineme.evaluation.robustness import altered
        >>> slower = altered(store, np.arange(3), "frame rate", 2)
        >>> (slower.lengths == -(-store.lengths[:3] // 2)).all()
        np.True_
    """
    gen = np.random.default_rng([seed, *f"{name} {level}".encode()])
    clips = ALTERATIONS[name].apply(clips_of(store, rows), level, gen)
    return AlteredStore(store, rows, clips.motion.joints, clips.motion.confidence, clips.lengths)


def in_layout(store: Store, rows: np.ndarray, layout: str) -> AlteredStore:
    """Clips as if they had been recorded in another layout and then mapped back by joint name.

    Raises:
        InputError: no such layout, or one without any joint of the store's.
    """
    clips = _in_layout(clips_of(store, rows), layout, np.random.default_rng(0))
    if not clips.motion.confidence.any():
        raise InputError(f"layout {layout}", f"none of the joints of {store.layout.name}", "some of them")
    return AlteredStore(store, rows, clips.motion.joints, clips.motion.confidence, clips.lengths)


def applicable(store: Store) -> dict[str, Alteration]:
    """The alterations that clips of a store can have."""
    vertical = (store.card["up"] or "+y")[1]
    found = {name: each for name, each in ALTERATIONS.items() if not (each.space and store.coords == 2)}
    if vertical == "x":
        found.pop("mirrored")
    others = tuple(
        name
        for name in LAYOUTS
        if skeleton.layout(name).joints != store.layout.joints and joint_map(store.layout, name).weights.any()
    )
    if others:
        found["layout"] = found["layout"]._replace(levels=others)
    else:
        found.pop("layout")
    return found


def _noise(clips: Clips, level: float, gen: np.random.Generator) -> Clips:
    drawn = gen.standard_normal(clips.motion.joints.shape, np.float32) * np.float32(level * clips.size)
    return clips.with_(joints=clips.motion.joints + drawn)


def _missing(clips: Clips, level: float, gen: np.random.Generator) -> Clips:
    """So many joints of each body, throughout the clip."""
    persons, joints = clips.motion.joints.shape[1:3]
    rank = gen.random((len(clips.lengths), persons, joints)).argsort(2).argsort(2)
    return clips.with_(confidence=clips.motion.confidence * (rank >= round(level * joints))[clips.clip])


def _dropped(clips: Clips, level: float, gen: np.random.Generator) -> Clips:
    return clips.kept(gen.random(len(clips.motion)) >= level)


def _rate(clips: Clips, level: float, gen: np.random.Generator) -> Clips:
    place = np.arange(len(clips.motion)) - np.repeat(np.cumsum(clips.lengths) - clips.lengths, clips.lengths)
    return clips.kept(place % int(level) == 0)


def _rotated(clips: Clips, level: float, gen: np.random.Generator) -> Clips:
    """Each clip to the one or the other side."""
    angle = np.deg2rad(level) * gen.choice([-1.0, 1.0], len(clips.lengths))
    turns = camera.rotation_matrix(angle, (clips.motion.up or "+y")[1]).astype(np.float32)
    return clips.with_(joints=camera.rotate(clips.motion.joints, turns[clips.clip][:, None]))


def _mirrored(clips: Clips, level: float, gen: np.random.Generator) -> Clips:
    return clips._replace(motion=clips.motion.mirror())


def _in_layout(clips: Clips, level: str, gen: np.random.Generator) -> Clips:
    own = clips.motion.layout
    there = clips.motion.to_layout(joint_map(own, level))
    return clips._replace(motion=there.to_layout(joint_map(there.layout, own)))


ALTERATIONS = {
    "noise": Alteration((0.02, 0.05, 0.1, 0.2), "standard deviation, as a share of the body's size", _noise),
    "missing joints": Alteration((0.1, 0.2, 0.3, 0.5), "share of the joints of each body", _missing),
    "dropped frames": Alteration((0.25, 0.5, 0.75, 0.9), "share of the frames", _dropped),
    "frame rate": Alteration((2, 4, 8), "every n-th frame", _rate),
    "rotation": Alteration((15, 45, 90, 180), "degrees about the vertical", _rotated, space=True),
    "mirrored": Alteration(("mirrored",), "left and right", _mirrored),
    "layout": Alteration(LAYOUTS, "layout", _in_layout),
}
"""Name -> what is done to clips. The size of a body is the root mean square distance of its joints from their middle.
Rotation is about the vertical axis through the origin, after the clips were normalised: of methods whose clips are
turned to the front it asks what happens where that fails."""
