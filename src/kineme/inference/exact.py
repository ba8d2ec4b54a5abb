"""Exact search in one pass over the vectors of an index, for one query or for many at once: reading them is most of it.

Several searches share a pass, and each keeps its own filter and number of hits: its candidates are those that it finds
alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

SLACK = 16  # rows beyond k that are compared again in float64
GRID = 2.0**20  # similarities that agree to 1 / GRID are equal: the earlier entry goes before
LOWEST = np.finfo(np.float32).min
NONE = np.iinfo(np.int64).min


class Wanted(NamedTuple):
    """One search.

    Attributes:
        queries: unit vectors, float64 ``[m, D]``.
        k: how many rows of each.
        chosen: among which rows, bool ``[N]``.
    """

    queries: np.ndarray
    k: int
    chosen: np.ndarray


def union(wanted: Sequence[Wanted]) -> np.ndarray:
    """Rows that any of the searches is among, bool ``[N]``."""
    return np.logical_or.reduce([each.chosen for each in wanted])


def candidates(blocks: Iterable[tuple[np.ndarray, np.ndarray]], wanted: Sequence[Wanted]) -> list[np.ndarray]:
    """The best ``k + SLACK`` rows of each query by float32 products, int64 ``[m, n]`` for each search.

    Args:
        blocks: row numbers and vectors ``[b, D]``, of every row that any of the searches is among.
        wanted: the searches, one or more.
    """
    queries = np.concatenate([each.queries for each in wanted]).astype(np.float32)
    ends = np.cumsum([0, *(len(each.queries) for each in wanted)])
    spans = [slice(*ends[i : i + 2]) for i in range(len(wanted))]
    n, keep = len(wanted[0].chosen), max(each.k for each in wanted) + SLACK
    whole = union(wanted)
    narrow = [(span, each.chosen) for span, each in zip(spans, wanted) if not np.array_equal(each.chosen, whole)]
    # similarity and place as one whole number, so that no two are equal; those of the best so far, in no order
    keys = np.full((len(queries), keep), NONE)
    least = np.full(len(queries), LOWEST)  # what a row must reach to be among them
    for rows, block in blocks:
        scores = block @ queries.T  # this way round BLAS is faster
        for span, chosen in narrow:
            scores[~chosen[rows], span] = -np.inf
        new = least == LOWEST
        if len(scores) > keep and new.any():
            some = np.ascontiguousarray(scores.T[new])
            least[new] = np.maximum(np.partition(some, -keep, axis=1)[:, -keep] - np.float32(2 / GRID), LOWEST)
        where, who = np.divmod(np.flatnonzero(scores >= least), len(queries))
        order = np.argsort(who, kind="stable")
        where, who = where[order], who[order]
        found = np.rint(scores[where, who] * np.float32(GRID)).astype(np.int64) * n + (n - 1 - rows[where])
        starts = np.searchsorted(who, np.arange(len(queries) + 1))
        for i in np.flatnonzero(np.diff(starts)):
            both = np.concatenate([keys[i], found[starts[i] : starts[i + 1]]])
            keys[i] = np.partition(both, -keep)[-keep:]
        smallest = keys.min(1)
        least = np.where(smallest == NONE, LOWEST, ((smallest // n - 1) / GRID).astype(np.float32))
    best = np.sort(keys, axis=1)[:, ::-1]
    found_each = []
    for span, each in zip(spans, wanted):
        there = best[span][:, : each.k + SLACK]
        count = int((there > NONE).sum(1).min(initial=there.shape[1]))
        found_each.append(n - 1 - there[:, :count] % n)
    return found_each
