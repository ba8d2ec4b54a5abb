"""Hand-crafted features of whole clips: positions over time, placed in one of several ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..data.store import row_numbers
from ..motion.motion import UNSURE
from ..utils.errors import InputError

if TYPE_CHECKING:
    from ..data.store import Store

FRAMES = 32  # moments of a clip; the first and the last frame are among them
BLOCK = 1 << 16  # frames of the store in memory at a time


@dataclass(frozen=True, eq=False)
class HandCrafted:
    """Stands in the place of a model: the places of all joints at 32 moments.

    3-D: relative to the root of the first body in the first frame, so that the body's travel stays, and turned so that
    the first frame's root-to-head is up and its shoulders lie along one axis. 2-D: the mean of the clip's joints is the
    origin, their deviation the unit, nothing is turned. Missing joints are interpolated in time; those that never
    appear in a clip lie at the origin.

    Attributes:
        upright: turn about the store's up axis only.
        each_frame: the origin is each frame's own root (2-D: the mean of its joints), so that travel is not seen.
        turned: False leaves 3-D bodies as they stand in the store.
        vouched: joints that a sensor places but does not vouch for count as missing.
        mean, axes: ``[D]``, ``[K, D]`` of a reduction, or None.
    """

    upright: bool = False
    each_frame: bool = False
    turned: bool = True
    vouched: bool = False
    mean: np.ndarray | None = None
    axes: np.ndarray | None = None

    def embed(self, what: Store, rows: np.ndarray | None = None, *, crop: object = None) -> np.ndarray:
        """float32 ``[n, 32 * M * V * C]``, or ``[n, K]`` if reduced, for rows of a store (default all).

        Raises:
            InputError: random crops; these features are of whole clips.
        """
        if crop is not None:
            raise InputError("hand-crafted features", "random crops", "whole clips")
        rows = row_numbers(rows, len(what.lengths))
        flat = what.frames.shape[-1] == 2
        parts = []
        for block in _blocks(rows, what.lengths):
            joints, there = _sampled(what, block, self.vouched)
            placed = _scaled(joints, there, self.each_frame) if flat else _placed(joints, there, what, self)
            features = (placed * there[:, None, :, :, None]).reshape(len(block), -1)
            features = features if self.axes is None or self.mean is None else (features - self.mean) @ self.axes.T
            parts.append(features.astype(np.float32))
        return np.concatenate(parts)


def _placed(joints: np.ndarray, there: np.ndarray, store: Store, form: HandCrafted) -> np.ndarray:
    """3-D: centred and turned. ``joints``: ``[n, T, M, V, 3]``; ``there``: bool ``[n, M, V]``."""
    every, person = np.arange(len(joints)), there.any(2).argmax(1)  # the first person that appears at all
    bodies, known = joints[every, :, person], there[every, person][..., None]
    roots = bodies[:, :, list(store.layout.root)].mean(2)
    body, root = bodies[:, 0], roots[:, 0]
    joints = joints - (roots if form.each_frame else roots[:, :1])[:, :, None, None]
    if not form.turned:
        return joints

    def line(start: int | None, end: int | None) -> np.ndarray:
        if start is None or end is None:
            return np.zeros_like(root)
        return (body[:, end] - body[:, start]) * (known[:, end] & known[:, start])

    find = store.layout.find
    across = line(find("right_shoulder", "right_hip"), find("left_shoulder", "left_hip"))
    head = find("head", "nose", "neck", "chest")
    up = np.zeros_like(root) if form.upright or head is None else (body[:, head] - root) * known[:, head]
    turn = _turns(up, across, _axis(store.card["up"]))
    return np.einsum("ntmvc,ndc->ntmvd", joints, turn)


def _scaled(joints: np.ndarray, there: np.ndarray, each_frame: bool) -> np.ndarray:
    """2-D: centred and scaled by the clip's joints. ``joints``: ``[n, T, M, V, 2]``; ``there``: bool ``[n, M, V]``."""
    weight = there / np.maximum(there.sum((1, 2), keepdims=True) * joints.shape[1], 1)
    centred = joints - np.einsum("ntmvc,nmv->nc", joints, weight)[:, None, None, None]
    deviation = np.sqrt(np.einsum("ntmvc,nmv->n", centred**2, weight) / 2)
    if each_frame:
        centred = centred - np.einsum("ntmvc,nmv->ntc", centred, weight * joints.shape[1])[:, :, None, None]
    return centred / np.maximum(deviation, 1e-9)[:, None, None, None, None]


def _turns(up: np.ndarray, across: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Rotations ``[n, 3, 3]`` that bring ``up`` to the second axis and the part of ``across`` beside it to the first.

    ``usual`` stands for ``up`` where that is zero, and some fixed direction for ``across`` where that has no such part.
    """
    up = _unit(up, usual)
    spare = np.eye(3)[np.abs(up).argmin(-1)]
    spare, across = (line - (line * up).sum(-1, keepdims=True) * up for line in (spare, across))
    across = _unit(across, _unit(spare, usual))
    return np.stack([across, up, np.cross(across, up)], axis=-2)


def _unit(vectors: np.ndarray, spare: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-6, vectors / np.maximum(length, 1e-6), spare)


def _axis(up: str | None) -> np.ndarray:
    """``"-y"`` -> (0, -1, 0); +y where the store does not say."""
    up = up or "+y"
    return np.where(np.arange(3) == "xyz".index(up[1]), 1.0 if up[0] == "+" else -1.0, 0.0)


def _blocks(rows: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """The rows in blocks of about ``BLOCK`` frames."""
    number = np.cumsum(lengths[rows]) // BLOCK
    yield from np.split(rows, np.flatnonzero(np.diff(number)) + 1)


def _sampled(store: Store, rows: np.ndarray, vouched: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """``FRAMES`` moments of every clip, evenly from its first to its last frame, linear in between.

    Returns:
        float64 ``[n, FRAMES, M, V, C]``, and bool ``[n, M, V]``: the joints that appear at all in the clip.
    """
    lengths = store.lengths[rows]
    first = np.cumsum(lengths) - lengths
    frame = np.repeat(store.offsets[rows] - first, lengths) + np.arange(lengths.sum())
    seen = store.confidence[frame] > (UNSURE if vouched else 0)
    joints = store.frames[frame].astype(np.float64)
    if not seen.all():
        joints = _filled(joints, seen, np.repeat(first, lengths), np.repeat(first + lengths, lengths))
    moment = first[:, None] + np.linspace(0, 1, FRAMES) * (lengths - 1)[:, None]
    before = moment.astype(np.int64)
    after = np.minimum(before + 1, (first + lengths - 1)[:, None])
    part = (moment - before)[..., None, None, None]
    return joints[before] * (1 - part) + joints[after] * part, np.logical_or.reduceat(seen, first)


def _filled(joints: np.ndarray, seen: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Joints ``[F, M, V, C]`` where they are missing: on the line between the last and the next seen place of the clip.

    Before the first and after the last seen place the joint rests there. ``first``, ``end``: int ``[F]``, the bounds
    of each frame's clip. Joints that never appear in a clip get some value of their own column; the caller drops them.
    """
    frame, first, end = (a[:, None, None] for a in (np.arange(len(joints)), first, end))
    last = np.maximum.accumulate(np.where(seen, frame, -1))
    coming = np.minimum.accumulate(np.where(seen, frame, len(joints))[::-1])[::-1]
    before, after = np.where(last < first, coming, last), np.where(coming >= end, last, coming)
    before, after = before.clip(first, end - 1), after.clip(first, end - 1)
    part = ((frame - before) / np.maximum(after - before, 1))[..., None]
    around = (np.take_along_axis(joints, place[..., None], 0) for place in (before, after))
    return next(around) * (1 - part) + next(around) * part
