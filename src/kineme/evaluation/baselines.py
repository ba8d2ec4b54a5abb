"""Hand-crafted features: positions over time, the baseline that a learned representation must beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from ..data.store import row_numbers
from ..motion.motion import Motion
from ..utils.errors import InputError
from ..views import keypoints
from ..views.source import Clips

if TYPE_CHECKING:
    from ..data.store import Store

FORMS = ("positions", "reduced", "keypoints")
FRAMES = 32  # moments of a clip; the first and the last frame are among them
COMPONENTS = 100
BLOCK = 1 << 16  # frames of the store in memory at a time


def make(form: str, store: Store, train: np.ndarray) -> HandCrafted | Keypoints:
    """The hand-crafted features of one form.

    ``positions``, for neighbours by cosine. 3-D: relative to the root of the first body in the first frame, so that
    the body's travel stays; turned so that the first frame's root-to-head is up and its shoulders lie along one axis.

    ``reduced``, for linear classifiers. 3-D: the same, but turned about the store's up axis only, so that the
    shoulders face the camera; then 100 principal components of the training rows.

    ``keypoints``, for networks over time: the joints of each frame (:class:`kineme.evaluation.baselines.Keypoints`).

    2-D, the first two forms: the mean of the clip's joints becomes the origin, their deviation the unit, nothing is
    turned. Missing joints are interpolated in time; those that never appear in a clip lie at the origin.

    Args:
        train: int64 rows that give the principal components.
    """
    if form not in FORMS:
        raise InputError("hand-crafted features", f"form {form!r}", f"one of {', '.join(FORMS)}")
    if form == "keypoints":
        return Keypoints()
    plain = HandCrafted(upright=form == "reduced")
    if form == "positions":
        return plain
    from sklearn.decomposition import PCA

    features = plain.embed(store, train)
    found = PCA(min(COMPONENTS, *features.shape), random_state=0).fit(features)
    # few training rows span fewer directions; one without variance would be nothing but rounding, standardised
    strong = found.explained_variance_ > 1e-9 * found.explained_variance_[0]
    return replace(plain, mean=found.mean_, axes=found.components_[strong])


@dataclass(frozen=True, eq=False)
class HandCrafted:
    """Stands in the place of a model.

    Attributes:
        upright: turn about the store's up axis only; else the first frame's root-to-head becomes up.
        mean, axes: ``[D]``, ``[K, D]`` of the reduction, or None.
    """

    upright: bool
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
            joints, there = _sampled(what, block)
            placed = _scaled(joints, there) if flat else _turned(joints, there, what, self.upright)
            features = (placed * there[:, None, :, :, None]).reshape(len(block), -1)
            parts.append(features if self.axes is None else (features - self.mean) @ self.axes.T)
        return np.concatenate(parts).astype(np.float32)


def _turned(joints: np.ndarray, there: np.ndarray, store: Store, upright: bool) -> np.ndarray:
    """3-D: centred and turned by the first frame. ``joints``: ``[n, T, M, V, 3]``; ``there``: bool ``[n, M, V]``."""
    every, person = np.arange(len(joints)), there.any(2).argmax(1)  # the first person that appears at all
    body, known = joints[every, 0, person], there[every, person][..., None]
    root = body[:, list(store.layout.root)].mean(1)

    def line(start: int | None, end: int | None) -> np.ndarray:
        if start is None or end is None:
            return np.zeros_like(root)
        return (body[:, end] - body[:, start]) * (known[:, end] & known[:, start])

    find = store.layout.find
    across = line(find("right_shoulder", "right_hip"), find("left_shoulder", "left_hip"))
    head = find("head", "nose", "neck", "chest")
    up = np.zeros_like(root) if upright or head is None else (body[:, head] - root) * known[:, head]
    turn = _turns(up, across, _axis(store.card["up"]))
    return np.einsum("ntmvc,ndc->ntmvd", joints - root[:, None, None, None], turn)


def _scaled(joints: np.ndarray, there: np.ndarray) -> np.ndarray:
    """2-D: centred and scaled by the clip's joints. ``joints``: ``[n, T, M, V, 2]``; ``there``: bool ``[n, M, V]``."""
    weight = there / np.maximum(there.sum((1, 2), keepdims=True) * joints.shape[1], 1)
    centred = joints - np.einsum("ntmvc,nmv->nc", joints, weight)[:, None, None, None]
    deviation = np.sqrt(np.einsum("ntmvc,nmv->n", centred**2, weight) / 2)
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


def _sampled(store: Store, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``FRAMES`` moments of every clip, evenly from its first to its last frame, linear in between.

    Returns:
        float64 ``[n, FRAMES, M, V, C]``, and bool ``[n, M, V]``: the joints that appear at all in the clip.
    """
    lengths = store.lengths[rows]
    first = np.cumsum(lengths) - lengths
    frame = np.repeat(store.offsets[rows] - first, lengths) + np.arange(lengths.sum())
    seen = store.confidence[frame] > 0
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


class Keypoints:
    """Stands in the place of a model whose unit is the frame: the 13 joints of person 0, normalised frame by frame as
    CV-MIM's encoder does (Zhao et al. 2021), missing ones at the origin; 26 numbers in 2-D, 39 in 3-D.
    """

    card: ClassVar[dict[str, str]] = {"unit": "frame"}

    def frames(
        self, what: Clips | Motion, rows: np.ndarray | None = None, *, part: str = "pose"
    ) -> tuple[np.ndarray, np.ndarray]:
        """float32 ``[F, 26 or 39]`` and int64 ``[n + 1]``, as ``Model.frames`` gives them; of all parts the same.

        Raises:
            InputError: a layout without shoulders or hips.
        """
        if isinstance(what, Motion):
            joints, seen, lengths, begin = what.joints, what.confidence, np.array([len(what)]), np.array([0])
        else:
            joints, seen, lengths, begin = what.frames, what.confidence, what.lengths, what.offsets
        rows = row_numbers(rows, len(lengths))
        offsets = np.concatenate([[0], np.cumsum(lengths[rows])])
        at = np.arange(offsets[-1]) + np.repeat(begin[rows] - offsets[:-1], lengths[rows])
        taken = keypoints.taken(what.layout, joints.shape[3])
        found = np.empty((len(at), keypoints.JOINTS * joints.shape[3]), np.float32)
        for first in range(0, len(at), BLOCK):
            part_of = at[first : first + BLOCK]
            body, there = taken(*(torch.from_numpy(array[part_of, 0]) for array in (joints, seen)))
            points = keypoints.normalise(body, taken.profile, there).points
            found[first : first + BLOCK] = keypoints.pick(points, taken.profile, -2).flatten(1).numpy()
        return found, offsets
