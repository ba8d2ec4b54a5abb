"""Two movements laid on each other in time: dynamic time warping of frame features, and hits sorted by it.

D(i, j) = d(i, j) + min(D(i - 1, j), D(i, j - 1), D(i - 1, j - 1)), from (0, 0) to the two ends, with |i / I - j / J| at
most the band (Sakoe and Chiba 1978).
"""

from __future__ import annotations

import numpy as np

from ..motion.layout import Layout
from ..utils.errors import InputError

BAND = 0.25  # by which the paths may leave the diagonal, of the length
TINY = 1e-12


def cosine(frames: np.ndarray) -> np.ndarray:
    """Frame features ``[..., T, D]`` with unit rows: half their squared distance is 1 minus the cosine."""
    return frames / np.maximum(np.linalg.norm(frames, axis=-1, keepdims=True), TINY)


def poses(joints: np.ndarray, layout: Layout) -> np.ndarray:
    """Poses as features, for encoders without a vector of each frame.

    Args:
        joints: ``[n, T, M, V, C]``.
        layout: the V joints.

    Returns:
        ``[n, T, M V C]``: joints seen from the root of their person, in units of the clip's root mean square distance
        from it over the square root of the joints, so that squared distances of frames are of the order of one.
    """
    root = joints[:, :, :, list(layout.root)].mean(3, keepdims=True)
    apart = (joints - root).reshape(*joints.shape[:2], -1)
    size = np.sqrt(np.square(apart).sum(2, keepdims=True).mean(1, keepdims=True))
    return apart / np.maximum(size, TINY)


def costs(query: np.ndarray, others: np.ndarray, band: float = BAND) -> np.ndarray:
    """How far each sequence is from the query where both are warped to fit best.

    Args:
        query: ``[T, D]``.
        others: ``[n, T', D]``.
        band: see above; 1 for none.

    Returns:
        float64 ``[n]``: half the mean squared distance of frames along the best path; of unit rows
        (:func:`cosine`) one minus their mean cosine.

    Raises:
        InputError: sequences without frames, or of other dimensions.

    Examples:
        >>> still, slow = np.array([[0.0], [1.0], [2.0]]), np.array([[[0.0], [0.0], [1.0], [1.0], [2.0], [2.0]]])
        >>> costs(still, slow, band=1).tolist()
        [0.0]
    """
    near = _distances(query, others)
    total, steps = _accumulated(near, band)
    return total[:, -1, -1] / steps[:, -1, -1]


def path(a: np.ndarray, b: np.ndarray, band: float = BAND) -> tuple[np.ndarray, float]:
    """The best path of two sequences.

    Args:
        a, b: ``[T, D]``, ``[T', D]``.
        band: as for :func:`costs`.

    Returns:
        int64 ``[T]``, for each frame of ``a`` the frame of ``b`` that lies on it (the middle one of several), and the
        cost as in :func:`costs`.

    Examples:
        >>> path(np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [0.0], [1.0], [2.0]]), band=1)[0].tolist()
        [0, 2, 3]
    """
    total, steps = _accumulated(_distances(a, b[None]), band)
    grid, i, j = total[0], len(a) - 1, len(b) - 1
    met: list[list[int]] = [[] for _ in range(len(a))]
    while True:
        met[i].append(j)
        if i == j == 0:
            break
        before = [(p, q) for p, q in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if p >= 0 and q >= 0]
        i, j = min(before, key=lambda place: grid[place])
    middle = np.array([found[len(found) // 2] for found in met], np.int64)
    return middle, float(grid[-1, -1] / steps[0, -1, -1])


def _distances(query: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Half the squared distances ``[n, T, T']``."""
    if not query.shape[0] or not others.shape[1] or query.shape[1] != others.shape[2]:
        found = f"frames {query.shape} and {others.shape[1:]}"
        raise InputError("alignment", found, "one frame or more of the same dimension")
    query, others = query.astype(np.float64), others.astype(np.float64)
    squares = np.square(query).sum(1)[:, None] + np.square(others).sum(2)[:, None]
    return np.maximum(squares / 2 - query @ others.mT, 0)


def _accumulated(near: np.ndarray, band: float) -> tuple[np.ndarray, np.ndarray]:
    """Cost ``[n, T, T']`` of the best way to each pair of frames, and how many steps it has.

    Pairs of one diagonal do not depend on each other: all of them, of all sequences, are taken at a time. For that the
    grid lies askew, ``[I + J - 1, n, I]``: a diagonal is a row of it.
    """
    n, rows, columns = near.shape
    i, j = np.arange(rows)[:, None], np.arange(columns)
    wide = max(band, 0.5 / max(min(rows, columns) - 1, 0.5)) + TINY  # so much that there is a path
    inside = np.abs(i / max(rows - 1, 1) - j / max(columns - 1, 1)) <= wide
    askew = np.full((rows + columns - 1, n, rows), np.inf)
    askew[i + j, :, i] = np.where(inside, near, np.inf).transpose(1, 2, 0)
    total = np.full((rows + columns + 1, n, rows + 1), np.inf)  # two diagonals and a row more, before the first
    steps = np.zeros(total.shape)
    total[0, :, 0] = 0
    for d in range(rows + columns - 1):
        both, one, other = total[d, :, :-1], total[d + 1, :, :-1], total[d + 1, :, 1:]  # steps on in both, in one
        least = np.minimum(one, other)
        counted = np.where(one <= other, steps[d + 1, :, :-1], steps[d + 1, :, 1:])
        steps[d + 2, :, 1:] = 1 + np.where(both <= least, steps[d, :, :-1], counted)
        total[d + 2, :, 1:] = askew[d] + np.minimum(both, least)
    return tuple(np.moveaxis(grid[2 + i + j, :, 1 + i], 2, 0) for grid in (total, steps))  # type: ignore[return-value]
