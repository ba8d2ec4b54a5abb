"""Groups of vectors without labels: their number given or found, and a clip that stands for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..nn.finch import finch, finch_exactly
from ..utils.errors import InputError
from .classifier import spread

WAYS = ("finch", "kmeans", "hdbscan")
STARTS = 5  # of k-means, of which the best counts
SMALLEST = 0.01  # part of the clips that a group of HDBSCAN has at least, and 5 clips


@dataclass(frozen=True)
class Grouping:
    """Groups of N clips, the largest first.

    Attributes:
        numbers: int64 ``[N]``, from 0; -1 for clips of no group (HDBSCAN's noise).
        examples: int64 ``[groups]``, the clip of each that is nearest to its mean.
        levels: how many groups FINCH finds, from fine to coarse; empty of other ways.
    """

    numbers: np.ndarray
    examples: np.ndarray
    levels: tuple[int, ...] = ()

    @property
    def sizes(self) -> np.ndarray:
        """int64 ``[groups]``."""
        return np.bincount(self.numbers[self.numbers >= 0], minlength=len(self.examples))


def group(vectors: np.ndarray, groups: int | None = None, by: str = "finch", seed: int = 0) -> Grouping:
    """Group vectors by their directions once every column is standardised.

    Args:
        vectors: ``[N, D]``.
        groups: how many; by default as many as FINCH's finest level of at most the root of N (a rule of thumb).
        by: ``finch`` (Sarfraz et al. 2019), ``kmeans``, or ``hdbscan`` (Campello et al. 2013), which finds the number
            itself and leaves clips over.
        seed: of k-means.

    Raises:
        InputError: no such way; a number of groups that it cannot make.

    Examples:
        >>> two = np.concatenate([np.eye(2)[[0] * 5], np.eye(2)[[1] * 4]]) + 0.01 * np.arange(18).reshape(9, 2) % 0.05
        >>> group(two, 2).numbers.tolist()
        [0, 0, 0, 0, 0, 1, 1, 1, 1]
    """
    check(len(vectors), groups, by)
    mean, scale = spread(vectors)
    points = _unit((vectors - mean) / scale)
    levels: tuple[int, ...] = ()
    if by == "hdbscan":
        numbers = _hdbscan(points)
    else:
        found = finch(points)
        levels = tuple(int(level.max()) + 1 for level in found.T)
        wanted = groups or _chosen(levels, len(points))
        if by == "kmeans":
            numbers = _kmeans(points, wanted, seed)
        elif groups is None:
            numbers = found[:, levels.index(wanted)]
        elif groups > levels[0]:
            hint = "Take --by kmeans for more"
            raise InputError("--groups", f"{groups}; FINCH finds {levels[0]} at its finest", "fewer", hint)
        else:
            numbers = finch_exactly(points, wanted)
    return _ordered(points, numbers, levels)


def check(clips: int, groups: int | None, by: str) -> None:
    """Refuse what :func:`group` cannot do, before vectors are made.

    Raises:
        InputError: fewer than four clips; no such way; a number of groups that it cannot make.
    """
    if by not in WAYS:
        raise InputError("--by", repr(by), f"one of {', '.join(WAYS)}")
    if clips < 4:
        raise InputError("clips to group", f"{clips}", "at least 4")
    if groups is not None and by == "hdbscan":
        raise InputError("--groups", f"{groups} beside HDBSCAN, which finds the number", "no number")
    if groups is not None and not 2 <= groups < clips:
        raise InputError("--groups", f"{groups}", f"2 to {clips - 1} for {clips} clips")


def _chosen(levels: tuple[int, ...], clips: int) -> int:
    """How many groups: FINCH's finest level of at most the root of the number of clips, else its coarsest."""
    fitting = [count for count in levels if 2 <= count <= np.sqrt(clips)]
    return fitting[0] if fitting else min((count for count in levels if count > 1), default=levels[-1])


def _kmeans(points: np.ndarray, groups: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(groups, n_init=STARTS, random_state=seed).fit_predict(points)


def _hdbscan(points: np.ndarray) -> np.ndarray:
    from sklearn.cluster import HDBSCAN

    return HDBSCAN(min_cluster_size=max(5, round(SMALLEST * len(points))), copy=True).fit_predict(points)


def _ordered(points: np.ndarray, numbers: np.ndarray, levels: tuple[int, ...]) -> Grouping:
    """The largest group first, each with the clip nearest to its mean."""
    sizes = np.bincount(numbers[numbers >= 0])
    order = np.argsort(-sizes, kind="stable")
    rank = np.empty(len(sizes), np.int64)
    rank[order] = np.arange(len(sizes))
    renamed = np.where(numbers >= 0, rank[numbers], -1) if len(sizes) else np.full(len(numbers), -1)
    examples = []
    for number in range(len(sizes)):
        rows = np.flatnonzero(renamed == number)
        examples.append(rows[(points[rows] @ points[rows].mean(0)).argmax()])
    return Grouping(renamed, np.array(examples, np.int64), levels)


def _unit(points: np.ndarray) -> np.ndarray:
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
