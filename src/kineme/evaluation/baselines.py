"""What a learned representation must beat: hand-crafted features in many forms, of which the best one counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from ..data.store import row_numbers
from ..inference.classifier import spread
from ..motion.motion import UNSURE, Motion
from ..utils.errors import InputError
from ..views import keypoints
from ..views.source import Clips
from .hand_crafted import BLOCK, FRAMES, HandCrafted

if TYPE_CHECKING:
    from ..data.store import Store
    from .task import Task

BEST, BEST_TRAINED, BEST_REDUCED = "best", "best trained", "best reduced"
FAMILIES = (BEST, BEST_TRAINED, BEST_REDUCED)
FORMS = (*FAMILIES, "positions", "reduced", "keypoints")
COMPONENTS = 100
FITTED = 4000  # training clips that give the principal components
LARGE = 5 * 10**7  # numbers of positions of a set; beyond it there are no velocities
PRODUCTS = 10**12  # of an unreduced search; beyond it only the first form is searched unreduced
CELLS = 2 * 10**7  # numbers of training clips on which a classifier is trained unreduced


def make(form: str, store: Store, train: np.ndarray) -> HandCrafted | Keypoints:
    """The hand-crafted features of a single form.

    Args:
        form: ``positions``: unreduced, upright (:class:`kineme.evaluation.hand_crafted.HandCrafted`); ``reduced``:
            turned about the store's up axis only, 100 principal components of the training rows; ``keypoints``: the
            joints of each frame (:class:`kineme.evaluation.baselines.Keypoints`), for networks over time.
        train: int64 rows that give the principal components.

    Raises:
        InputError: no such form.
    """
    if form == "keypoints":
        return Keypoints()
    if form == "positions":
        return HandCrafted()
    if form != "reduced":
        raise InputError("hand-crafted features", f"form {form!r}", f"one of {', '.join(FORMS)}")
    plain = HandCrafted(upright=True)
    mean, axes, _ = components(plain.embed(store, train))
    return replace(plain, mean=mean, axes=axes)


def components(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean ``[D]``, principal axes ``[K, D]`` and their variances ``[K]`` of training features ``[n, D]``, K <= 100."""
    from sklearn.decomposition import PCA

    drawn = features[np.linspace(0, len(features) - 1, min(FITTED, len(features))).round().astype(np.int64)]
    found = PCA(min(COMPONENTS, *drawn.shape), random_state=0).fit(drawn)
    # few training rows span fewer directions; one without variance would be nothing but rounding, standardised
    strong = found.explained_variance_ > 1e-9 * found.explained_variance_[0]
    return found.mean_, found.components_[strong], found.explained_variance_[strong]


@dataclass(frozen=True)
class Contestant:
    """One form of hand-crafted features under a task.

    Attributes:
        form: what they are, in words.
        task: the task with these features.
        reduced: to principal components.
    """

    form: str
    task: Task
    reduced: bool = False

    def enters(self, form: str) -> bool:
        """Whether it is one of ``best`` (all), ``best trained`` (without those that are too large to train a classifier
        on), or ``best reduced``.
        """
        if self.reduced or form == BEST:
            return True
        return form == BEST_TRAINED and self.task.features(self.task.train).size <= CELLS


def contestants(base: Task) -> Iterator[Contestant]:
    """Hand-crafted features of clips in every form: placed in several ways; their positions, velocities, or both, of
    equal variance; unreduced, reduced to principal components of the training clips, and half-whitened (each component
    divided by the root of its deviation).

    Forms that do not differ in this store (one that is turned upright already) come once.

    Args:
        base: the sides and labels; its model is not asked.
    """
    rows = np.union1d(base.train, base.test)
    train = np.searchsorted(rows, base.train)
    known: list[np.ndarray] = []
    for name, placing in _placings(base.store, rows):
        positions = placing.embed(base.store, rows)
        if any(_same(positions, other) for other in known):
            continue
        large = positions.size > LARGE
        for content, features in _contents(positions, train):
            words = f"{content}, {name}"
            if not known or len(base.train) * len(base.test) * features.shape[1] <= PRODUCTS:
                yield Contestant(words, _given(base, rows, features))
            mean, axes, variance = components(features[train])
            found = (features - mean) @ axes.T
            yield Contestant(f"{words}, reduced", _given(base, rows, found), True)
            half = replace(_given(base, rows, found / variance**0.25), weighted=True)
            yield Contestant(f"{words}, half-whitened", half, True)
            if large:
                break
        known.append(positions[:256])


def unlabelled_forms(
    store: Store, others: Clips, rows: np.ndarray
) -> Iterator[tuple[str, np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Hand-crafted features in every form that needs no label, for a classifier of few examples: unreduced, and the
    positions half-whitened (see :func:`contestants`), by clips without labels.

    Args:
        store: clips that need no label.
        others: clips of the same kind that are asked for, such as some that were cut out of those of the store.
        rows: int64, of the store: they say how features vary.

    Yields:
        Name; features ``[n, D]`` of all the other clips; mean and scale ``[D]`` that standardise them, of half-whitened
        ones one scale for all.
    """
    known: list[np.ndarray] = []
    for name, placing in _placings(store, rows):
        asked, pool = placing.embed(others), placing.embed(store, rows)  # type: ignore[arg-type]
        if any(_same(asked, other) for other in known):
            continue
        known.append(asked[:256])
        every = np.arange(len(pool))
        for (content, features), (_, its) in zip(_contents(asked, np.arange(len(asked))), _contents(pool, every)):
            yield f"{content}, {name}", features, spread(its)
        mean, axes, variance = components(pool)
        half = (asked - mean) @ axes.T / variance**0.25
        width = np.full(len(axes), np.sqrt(np.sqrt(variance).mean()), np.float32)
        yield f"positions, {name}, half-whitened", half, (np.zeros(len(axes), np.float32), width)


def left_out(base: Task) -> str:
    """What :func:`contestants` leaves out because the set is large, in words."""
    width = FRAMES * int(np.prod(base.store.frames.shape[1:]))
    said = []
    if width * len(np.union1d(base.train, base.test)) > LARGE:
        said.append("velocities")
    if width * len(base.train) * len(base.test) > PRODUCTS:
        said.append("unreduced forms but one")
    elif 2 * width * len(base.train) > CELLS:
        said.append("the largest unreduced forms under a classifier")
    return f"{' and '.join(said)} left out" if said else ""


def _placings(store: Store, rows: np.ndarray) -> Iterator[tuple[str, HandCrafted]]:
    """The ways to place a body, in words; with joints that nobody vouches for also as if these were missing."""
    flat = store.frames.shape[-1] == 2
    doubtful = bool(((store.confidence > 0) & (store.confidence <= UNSURE)).any())
    turns = {"": True} if flat else {", upright": True, ", not turned": False}
    for vouched in (True, False) if doubtful else (False,):
        for each_frame in (False, True):
            centre = (
                ("centred per frame" if each_frame else "centred per clip")
                if flat
                else ("root per frame" if each_frame else "root of the first frame")
            )
            for turn, turned in turns.items():
                doubt = ", doubtful joints filled" if vouched else ""
                yield f"{centre}{turn}{doubt}", HandCrafted(False, each_frame, turned, vouched)


def _contents(positions: np.ndarray, train: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "positions", positions
    frames = positions.reshape(len(positions), FRAMES, -1)
    velocities = np.diff(frames, axis=1).reshape(len(positions), -1)
    yield "velocities", velocities
    scaled = [part / max(np.sqrt(part[train].var(0).sum()), 1e-9) for part in (positions, velocities)]
    yield "both", np.concatenate(scaled, 1)


def _same(positions: np.ndarray, known: np.ndarray) -> bool:
    difference = np.abs(positions[: len(known)] - known)
    return bool(difference.mean() < 1e-4 * max(float(np.abs(known).mean()), 1e-9))


def _given(base: Task, rows: np.ndarray, features: np.ndarray) -> Task:
    vectors = Vectors(rows, np.ascontiguousarray(features, np.float32))
    return dataclasses.replace(base, model=vectors, name="hand-crafted", _known={"clips": (rows, vectors.vectors)})


@dataclass(frozen=True, eq=False)
class Vectors:
    """Stands in the place of a model: vectors that were made before.

    Attributes:
        rows: int64 ``[n]`` of the store, ascending.
        vectors: float32 ``[n, D]``.
    """

    rows: np.ndarray
    vectors: np.ndarray

    def embed(self, what: Store, rows: np.ndarray | None = None, *, crop: object = None) -> np.ndarray:
        """The vectors of ``rows``.

        Raises:
            InputError: random crops; these features are of whole clips.
        """
        if crop is not None:
            raise InputError("hand-crafted features", "random crops", "whole clips")
        return self.vectors if rows is None else self.vectors[np.searchsorted(self.rows, rows)]


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
