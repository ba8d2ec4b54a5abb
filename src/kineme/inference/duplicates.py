"""Clips that are nearly the same: equal numbers, copies that were moved or scaled, parts of one another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.store import Store
from ..utils.errors import InputError
from .nearest import neighbours

TOLERANCE = 0.01  # of the distances between joints, root of the mean square
NEIGHBOURS = 10  # of each clip, which are compared frame by frame
ANCHORS = 5  # joints of a person from which distances are taken
PERSONS = 2  # of a clip that are looked at
FEWEST = 8  # frames that two clips share at least, and half of the shorter one
LONGEST = 1000  # frames; of longer clips every second, every third ...
CELLS = 1 << 19  # of the matrices of frame pairs of one batch

NUMBERS, MOTION, PART, LINKED = "same numbers", "same motion", "shifted part", "linked"


@dataclass(frozen=True)
class Copy:
    """A clip that repeats another.

    Attributes:
        row: of the store.
        kind: ``same numbers``: every number is equal; ``same motion``: equal but for place, direction and size;
            ``shifted part``: one holds a part of the other, or both a part of the same; ``linked``: it repeats
            another clip of the group, not the first.
        shift: the first clip's frame at which this one begins (negative: it begins before it).
        error: relative difference of the distances between joints, root of the mean square over shared frames.
    """

    row: int
    kind: str
    shift: int
    error: float


@dataclass(frozen=True)
class Group:
    """Clips that are nearly the same.

    Attributes:
        first: row of the longest, of equally long ones the first.
        copies: the others, in the order of the store.
    """

    first: int
    copies: tuple[Copy, ...]


def find(
    store: Store,
    vectors: np.ndarray,
    tolerance: float = TOLERANCE,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Group]:
    """Groups of near-identical clips.

    Clips with equal numbers are found wherever they are. All others are compared with the clips whose vectors are
    nearest, at every shift in time, by the distances between joints of a person and of two: these do not change when a
    body is moved, turned or scaled. Clips of fewer than 8 frames are only compared number by number.

    Args:
        store: the clips.
        vectors: ``[N, D]``, by which neighbours are found.
        tolerance: largest relative difference; 0.01 is about the 5 mm of a sensor at rest on a torso's half metre.
        tell: is told how many pairs are done, of how many.

    Raises:
        InputError: a tolerance that is not above 0.

    Examples:
        >>> twice = kineme.store([motion, motion.slice(3, len(motion)).with_(source="later")])
        >>> (group,) = find(twice, np.ones((2, 1)))
        >>> group.first, group.copies[0].kind, group.copies[0].shift
        (0, 'shifted part', 3)
    """
    if not 0 < tolerance < 1:
        raise InputError("--tolerance", repr(tolerance), "a number above 0 and below 1")
    same = _equal(store)
    chosen = np.flatnonzero((same == np.arange(len(store))) & (store.lengths >= FEWEST))  # one of equal ones
    pairs = chosen[_candidates(vectors[chosen])] if len(chosen) > 1 else np.empty((0, 2), np.int64)
    found: dict[tuple[int, int], tuple[int, float]] = {}
    for done, rows, shifts, errors in _aligned(store, pairs):
        for (one, other), shift, error in zip(rows.tolist(), shifts.tolist(), errors.tolist()):
            if error <= tolerance:
                found[one, other] = shift, error
        tell(done, len(pairs))
    leaders = _joined(same, found)
    groups = []
    for leader in np.unique(leaders[np.bincount(leaders, minlength=len(leaders))[leaders] > 1]).tolist():
        members = np.flatnonzero(leaders == leader)
        first = int(members[np.argmax(store.lengths[members])])
        others = [row for row in members.tolist() if row != first]
        groups.append(Group(first, tuple(_copies(store, first, others, same, tolerance))))
    return groups


def _equal(store: Store) -> np.ndarray:
    """int64 ``[N]``: the first clip with the same frames and confidence."""
    first: dict[bytes, int] = {}
    found = np.empty(len(store), np.int64)
    for row in range(len(store)):
        part = slice(store.offsets[row], store.offsets[row + 1])
        digest = hashlib.blake2b(store.frames[part].tobytes(), digest_size=16)
        digest.update(store.confidence[part].tobytes())
        found[row] = first.setdefault(digest.digest(), row)
    return found


def _candidates(vectors: np.ndarray) -> np.ndarray:
    """Pairs of near vectors, int64 ``[P, 2]``, each once."""
    near = neighbours(vectors, vectors, min(NEIGHBOURS + 1, len(vectors)))
    every = np.repeat(np.arange(len(vectors)), near.shape[1])
    pairs = np.sort(np.stack([every, near.ravel()], 1), 1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def _copies(store: Store, first: int, others: list[int], same: np.ndarray, tolerance: float) -> Iterator[Copy]:
    """What each of a group is to its first clip."""
    near: dict[int, tuple[int, float]] = {}
    pairs = np.array([[first, row] for row in others if same[row] != same[first] and store.lengths[row] >= FEWEST])
    for _, rows, shifts, errors in _aligned(store, pairs.reshape(-1, 2)):
        near.update(zip(rows[:, 1].tolist(), zip(shifts.tolist(), errors.tolist())))
    for row in others:
        if same[row] == same[first]:
            yield Copy(row, NUMBERS, 0, 0.0)
            continue
        shift, error = near[row]
        exact = shift == 0 and store.lengths[row] == store.lengths[first]
        yield Copy(row, LINKED if error > tolerance else MOTION if exact else PART, shift, error)


def _joined(same: np.ndarray, found: dict[tuple[int, int], tuple[int, float]]) -> np.ndarray:
    """int64 ``[N]``: one number for all clips that are linked by equal numbers or by a pair."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.array([*found, *zip(same.tolist(), range(len(same)))], np.int64)
    graph = coo_array((np.ones(len(edges), bool), edges.T), shape=(len(same),) * 2)
    return connected_components(graph, directed=False)[1]


def _aligned(store: Store, pairs: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Every pair at its best shift, in batches of clips of about one length.

    Yields:
        How many pairs are done; pairs int64 ``[p, 2]``; shift int64 ``[p]``; error float64 ``[p]``.
    """
    longest = store.lengths[pairs].max(1) if len(pairs) else np.empty(0, np.int64)
    pairs = pairs[np.argsort(longest, kind="stable")]
    done = 0
    while done < len(pairs):
        step = -(-int(store.lengths[pairs[done]].max()) // LONGEST)
        frames = -(-int(store.lengths[pairs[done]].max()) // step)
        some = pairs[done : done + max(1, CELLS // (4 * frames**2))]
        step = -(-int(store.lengths[some].max()) // LONGEST)
        rows, inverse = np.unique(some, return_inverse=True)
        values, there, lengths = _distances(store, rows, step)
        place = torch.from_numpy(inverse.reshape(some.shape))
        shift, error = _best(*((values[side], there[side], lengths[side]) for side in (place[:, 0], place[:, 1])))
        done += len(some)
        yield done, some, shift.numpy() * step, error.numpy()


def _distances(store: Store, rows: np.ndarray, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Distances between joints of clips, filled up to the longest.

    Returns:
        float64 ``[R, T, K]``, 0 where a joint is missing; float64 ``[R, T, K]``, 1 where it is not; frames ``[R]``.
    """
    frames = [np.arange(store.offsets[row], store.offsets[row + 1], step) for row in rows.tolist()]
    lengths = torch.tensor([len(each) for each in frames])
    at = np.concatenate(frames)
    joints = torch.from_numpy(store.frames[at][:, :PERSONS]).double().flatten(1, 2)  # [F, M * V, C]
    seen = torch.from_numpy(store.confidence[at][:, :PERSONS] > 0).flatten(1, 2)
    each = torch.linspace(0, len(store.layout) - 1, min(ANCHORS, len(store.layout))).round().long()
    anchors = torch.cat([each + person * len(store.layout) for person in range(min(PERSONS, store.persons))])
    both = (seen[:, :, None] & seen[:, None, anchors]).flatten(1)
    values = torch.cdist(joints, joints[:, anchors]).flatten(1) * both
    filled, there = (
        torch.nn.utils.rnn.pad_sequence(list(part.double().split(lengths.tolist())), batch_first=True)
        for part in (values, both)
    )
    return filled, there, lengths


def _best(one: tuple[Tensor, Tensor, Tensor], other: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The shift at which two clips differ least, and how much: the sine of the angle between their distances over the
    frames and joints that both have, so that a common scale does not count.

    Returns:
        int64 ``[P]``, float64 ``[P]``; error 1 where too few frames can be shared.
    """
    (a, seen_a, frames_a), (b, seen_b, frames_b) = one, other
    products = _skewed(a, b)
    squares_a, squares_b = _skewed(a.square(), seen_b), _skewed(seen_a, b.square())
    count_a, count_b = (torch.arange(x.shape[1]) < frames[:, None] for x, frames in ((a, frames_a), (b, frames_b)))
    shared = _skewed(count_a[..., None].double(), count_b[..., None].double())
    cosine = products / (squares_a * squares_b).sqrt().clamp(min=1e-12)
    error = (1 - cosine.square()).clamp(min=0).sqrt()
    shorter = torch.minimum(frames_a, frames_b)
    least = torch.maximum((shorter + 1) // 2, torch.tensor(FEWEST)).clamp(max=10**9)
    error = torch.where((shared >= least[:, None] - 0.5) & (squares_a > 0) & (squares_b > 0), error, 1.0)
    found, place = error.min(1)
    return place - (b.shape[1] - 1), found


def _skewed(one: Tensor, other: Tensor) -> Tensor:
    """Sums of products of frames t of one ``[P, T, K]`` and t - shift of the other ``[P, U, K]``, for every shift from
    ``-(U - 1)`` to ``T - 1``: ``[P, T + U - 1]``.
    """
    products = one @ other.flip(1).transpose(1, 2)  # [P, T, U], the other's time backwards
    count, rows, columns = products.shape
    wide = torch.nn.functional.pad(products, (0, rows)).reshape(count, -1)  # a row more to the right in each line
    return wide[:, : rows * (rows + columns - 1)].reshape(count, rows, rows + columns - 1).sum(1)
