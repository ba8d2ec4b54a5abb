"""FINCH: clusters of first neighbours, without a parameter (Sarfraz et al. 2019)."""

from __future__ import annotations

import numpy as np

BLOCK = 4096  # rows whose similarities are looked at together


def finch(features: np.ndarray) -> np.ndarray:
    """Cluster by first neighbours, then the clusters' means in the same way, until one would be left.

    Two samples are in one cluster if one is the other's nearest neighbour by cosine, or both have the same one (Sarfraz
    et al. 2019, equation 1).

    Args:
        features: ``[N, D]``.

    Returns:
        int ``[N, levels]``, numbers of clusters, the finest level first; at least one level.

    Examples:
        >>> finch(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]))[:, 0].tolist()
        [0, 0, 1, 1]
    """
    features = np.asarray(features, np.float64)
    means, levels = features, [_first_neighbours(features)]
    while True:
        count = levels[-1].max() + 1
        means = _means(features, levels[-1], count)
        merged = _first_neighbours(means)[levels[-1]] if count > 2 else np.zeros_like(levels[-1])
        if merged.max() == 0:
            return np.stack(levels, 1)
        levels.append(merged)


def finch_exactly(features: np.ndarray, clusters: int) -> np.ndarray:
    """Exactly so many clusters: the coarsest level of :func:`finch` with at least as many, then the two nearest means
    are joined, one pair at a time.

    Args:
        features: ``[N, D]``.
        clusters: 1 to the number of clusters of the finest level.

    Returns:
        int ``[N]``.
    """
    features = np.asarray(features, np.float64)
    levels = finch(features).T
    labels = next((level for level in levels[::-1] if level.max() + 1 >= clusters), levels[0])
    while (count := labels.max() + 1) > clusters:
        unit = _unit(_means(features, labels, count))
        near = unit @ unit.T - 3 * np.tri(count)  # each pair once
        one, other = np.unravel_index(near.argmax(), near.shape)
        labels = np.unique(np.where(labels == other, one, labels), return_inverse=True)[1]
    return labels


def _first_neighbours(points: np.ndarray) -> np.ndarray:
    """Components of the graph that joins every point with its nearest."""
    unit, count = _unit(points), len(points)
    nearest = np.zeros(count, np.int64)
    for begin in range(0, count, BLOCK):
        near = unit[begin : begin + BLOCK] @ unit.T
        near[np.arange(len(near)), begin + np.arange(len(near))] = -np.inf
        nearest[begin : begin + len(near)] = near.argmax(1)
    labels = np.arange(count)
    while True:  # the smallest number of a component wanders along its edges, both ways
        low = np.minimum(labels, labels[nearest])
        np.minimum.at(low, nearest, labels)
        if (low == labels).all():
            return np.unique(labels, return_inverse=True)[1]
        labels = low[low]


def _means(features: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    sums = np.zeros((count, features.shape[1]))
    np.add.at(sums, labels, features)
    return sums / np.bincount(labels, minlength=count)[:, None]


def _unit(points: np.ndarray) -> np.ndarray:
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
