"""The one rule of what a near-duplicate is: distances between joints that hardly differ, at some shift in time or at
another speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .store import Store

TOLERANCE = 0.01  # of the distances between joints, root of the mean square
FEWEST = 8  # frames that two clips share at least, and half of the shorter one
ANCHORS = 5  # joints of a person from which distances are taken
PERSONS = 2  # of a clip that are looked at
FASTEST = 4  # times that one clip may be as fast as another
LONGEST = 1000  # frames; of longer clips every second, every third ...
CELLS = 1 << 19  # of the matrices of frame pairs of one batch


class Compared(NamedTuple):
    """Pairs of clips, each at the alignment at which it differs least.

    Attributes:
        done: pairs compared so far, these among them.
        pairs: int64 ``[P, 2]``, rows of the store.
        shift: int64 ``[P]``, the first clip's frame at which the second begins; negative: it begins before it.
        stretched: bool ``[P]``, the two as wholes, one at another speed; the shift is 0.
        error: float64 ``[P]``, relative difference of the distances between joints, root of the mean square; 1 where
            the clips are too short.
    """

    done: int
    pairs: np.ndarray
    shift: np.ndarray
    stretched: np.ndarray
    error: np.ndarray


def compared(store: Store, pairs: np.ndarray, tolerance: float = TOLERANCE) -> Iterator[Compared]:
    """How nearly pairs of clips are the same, in batches of clips of about one length.

    Compared are the distances between the joints of a person and of two, which do not change when a body is moved,
    turned or scaled, over joints that both clips have: frame by frame at every shift in time at which the clips share
    8 frames and half of the shorter one; and, where that is too much, as wholes, one of them up to 4 times as fast. Two
    clips are **near-duplicates** if the smaller of the two differences is at most the tolerance.

    Args:
        store: any.
        pairs: int64 ``[P, 2]``, rows; they come back sorted, those with the longest clips first.
        tolerance: up to which clips that are shifted in time are not also compared at another speed.

    Examples:
        >>> from kineme.data.near_duplicates import TOLERANCE, compared
        >>> twice = kineme.store([motion, motion.slice(3, len(motion)).with_(source="later")])
        >>> (one,) = compared(twice, np.array([[0, 1]]))
        >>> one.shift.tolist(), bool(one.error[0] <= TOLERANCE)
        ([3], True)
    """
    longest = store.lengths[pairs].max(1) if len(pairs) else np.empty(0, np.int64)
    pairs = pairs[np.argsort(-longest, kind="stable")]  # so that the first of a batch needs the most room
    done = 0
    while done < len(pairs):
        longest = int(store.lengths[pairs[done]].max())
        step = -(-longest // LONGEST)  # every how many-th frame is compared
        some = pairs[done : done + max(1, CELLS // (4 * (-(-longest // step)) ** 2))]
        distances = {row: _distances(store, row, step) for row in np.unique(some).tolist()}
        shift, error = _shifted(*([distances[row] for row in side] for side in some.T.tolist()))
        stretched = np.zeros(len(some), bool)
        for i in np.flatnonzero(error > tolerance).tolist():
            alike = _stretched(*(distances[row] for row in some[i].tolist()))
            stretched[i], error[i] = alike < error[i], min(alike, error[i])
        done += len(some)
        yield Compared(done, some, np.where(stretched, 0, shift * step), stretched, error)


def _distances(store: Store, row: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances between joints of a clip.

    Returns:
        float64 ``[T, K]``, 0 where a joint is missing; float64 ``[T, K]``, 1 where it is not.
    """
    at = slice(store.offsets[row], store.offsets[row + 1], step)
    joints = store.frames[at][:, :PERSONS].astype(np.float64)
    joints = joints.reshape(len(joints), -1, joints.shape[-1])  # [T, M * V, C]
    seen = (store.confidence[at][:, :PERSONS] > 0).reshape(joints.shape[:2])
    each = np.linspace(0, len(store.layout) - 1, min(ANCHORS, len(store.layout))).round().astype(np.int64)
    anchors = np.concatenate([each + person * len(store.layout) for person in range(min(PERSONS, store.persons))])
    both = (seen[:, :, None] & seen[:, None, anchors]).astype(np.float64).reshape(len(joints), -1)
    apart = [np.sqrt(((joints - joints[:, [anchor]]) ** 2).sum(-1)) for anchor in anchors]
    return np.stack(apart, 2).reshape(both.shape) * both, both


def _shifted(one: list[tuple], other: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """The shift at which the clips of each pair differ least, and how much: int64 and float64 ``[P]``."""
    (a, seen_a, frames_a), (b, seen_b, frames_b) = _filled(one), _filled(other)
    products, squares_a, squares_b = _skewed(a, b), _skewed(a**2, seen_b), _skewed(seen_a, b**2)
    shift = np.arange(a.shape[1] + b.shape[1] - 1) - (b.shape[1] - 1)
    ends = np.minimum(frames_a[:, None], shift + frames_b[:, None])
    shared = ends - np.maximum(0, shift)  # frames that both have
    error = _difference(products, squares_a, squares_b)
    least = np.maximum((np.minimum(frames_a, frames_b) + 1) // 2, FEWEST)
    error = np.where(shared >= least[:, None], error, 1.0)
    place = error.argmin(1)
    return shift[place], np.take_along_axis(error, place[:, None], 1)[:, 0]


def _stretched(one: tuple, other: tuple) -> float:
    """How much two whole clips differ, each frame of the shorter one beside its moment of the longer one, on the line
    between two frames. The longer one may end up to one frame of the shorter one later, as where every second frame was
    taken.
    """
    (a, seen_a), (b, seen_b) = sorted((one, other), key=lambda clip: -len(clip[0]))
    ratio = len(a) / max(len(b), 1)
    if len(b) < FEWEST or ratio > FASTEST:
        return 1.0
    found = []
    for last in range(len(a) - int(np.ceil(ratio)), len(a)):
        moment = np.linspace(0, last, len(b))
        before = moment.astype(np.int64)
        after, part = np.minimum(before + 1, last), (moment - before)[:, None]
        there = np.where(part > 0, seen_a[before] * seen_a[after], seen_a[before])
        values = (a[before] * (1 - part) + a[after] * part) * there
        found.append(_difference((values * b).sum(), (values**2 * seen_b).sum(), (there * b**2).sum()))
    return float(min(found))


def _difference(products: np.ndarray, squares_a: np.ndarray, squares_b: np.ndarray) -> np.ndarray:
    """The sine of the angle between two lists of distances, so that a common scale does not count; 1 where neither
    has any.
    """
    cosine = products / np.maximum(np.sqrt(squares_a * squares_b), 1e-12)
    error = np.sqrt(np.maximum(1 - cosine**2, 0))
    return np.where((squares_a > 0) & (squares_b > 0), error, 1.0)


def _filled(clips: list[tuple]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of clips ``[P, T, K]`` filled up to the longest with 0, the same of where they are, frames ``[P]``."""
    frames = np.array([len(values) for values, _ in clips])
    parts = []
    for k in range(2):
        whole = np.zeros((len(clips), frames.max(), clips[0][k].shape[1]))
        for line, clip in zip(whole, clips):
            line[: len(clip[k])] = clip[k]
        parts.append(whole)
    return parts[0], parts[1], frames


def _skewed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Sums of products of frames t of one ``[P, T, K]`` and t - shift of the other ``[P, U, K]``, for every shift from
    ``-(U - 1)`` to ``T - 1``: ``[P, T + U - 1]``.
    """
    products = one @ np.ascontiguousarray(other[:, ::-1]).transpose(0, 2, 1)  # [P, T, U], the other's time backwards
    count, rows, columns = products.shape
    wide = np.pad(products, [(0, 0), (0, 0), (0, rows)]).reshape(count, -1)  # a row more to the right in each line
    return wide[:, : rows * (rows + columns - 1)].reshape(count, rows, rows + columns - 1).sum(1)
