"""Clips that are nearly the same: equal numbers, copies that were moved or scaled, parts of one another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..data.near_duplicates import FEWEST, TOLERANCE, compared
from ..data.store import Store
from ..utils.errors import InputError
from .nearest import neighbours

NEIGHBOURS = 10  # of each clip, which are compared with it

NUMBERS, MOTION, PART, SPEED, LINKED = "same numbers", "same motion", "shifted part", "other speed", "linked"
Found = dict[tuple[int, int], tuple[int, bool, float]]  # pair -> shift, stretched, error


@dataclass(frozen=True)
class Copy:
    """A clip that repeats another.

    Attributes:
        row: of the store.
        kind: ``same numbers``: every number is equal; ``same motion``: equal but for place, direction and size;
            ``shifted part``: one holds a part of the other, or both a part of the same; ``other speed``: the same
            as a whole, faster or slower; ``linked``: it repeats another clip of the group, not the first.
        shift: the first clip's frame at which this one begins (negative: it begins before it).
        error: relative difference of the distances between joints, root of the mean square.
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
    nearest, by the rule of :func:`kineme.data.near_duplicates.compared`. Clips of fewer than 8 frames are only compared
    number by number.

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
    found: Found = {}
    for some in compared(store, pairs, tolerance):
        close = some.error <= tolerance
        found.update(_pairs(some.pairs[close], some.shift[close], some.stretched[close], some.error[close]))
        tell(some.done, len(pairs))
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


def _pairs(pairs: np.ndarray, *about: np.ndarray) -> Found:
    """What is known of each pair."""
    return dict(zip(map(tuple, pairs.tolist()), zip(*(each.tolist() for each in about))))


def _copies(store: Store, first: int, others: list[int], same: np.ndarray, tolerance: float) -> Iterator[Copy]:
    """What each of a group is to its first clip."""
    near: Found = {}
    pairs = np.array([[first, row] for row in others if same[row] != same[first] and store.lengths[row] >= FEWEST])
    for some in compared(store, pairs.reshape(-1, 2), tolerance):
        near.update(_pairs(some.pairs, some.shift, some.stretched, some.error))
    for row in others:
        if same[row] == same[first]:
            yield Copy(row, NUMBERS, 0, 0.0)
            continue
        shift, stretched, error = near[first, row]
        exact = shift == 0 and store.lengths[row] == store.lengths[first]
        kind = LINKED if error > tolerance else MOTION if exact else SPEED if stretched else PART
        yield Copy(row, kind, shift, error)


def _joined(same: np.ndarray, found: Found) -> np.ndarray:
    """int64 ``[N]``: one number for all clips that are linked by equal numbers or by a pair."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.array([*found, *zip(same.tolist(), range(len(same)))], np.int64)
    graph = coo_array((np.ones(len(edges), bool), edges.T), shape=(len(same),) * 2)
    return connected_components(graph, directed=False)[1]
