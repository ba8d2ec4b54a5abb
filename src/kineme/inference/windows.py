"""Windows of long recordings: where they lie, and which hits are the same one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from ..utils.errors import InputError

OVERLAP = 0.5  # two hits that share more than this part of the shorter one are the same


def cut(frames: int, window: int, step: int) -> np.ndarray:
    """Windows of a recording: every ``step`` frames one, the last one ends with the recording.

    Args:
        frames: T of the recording.
        window, step: in frames.

    Returns:
        int64 ``[n, 2]``: frames ``start`` up to, not including, ``end``. One shorter than a window is one window.

    Raises:
        InputError: a window or step below 1.

    Examples:
        >>> cut(10, 4, 3).tolist(), cut(11, 4, 3).tolist(), cut(3, 4, 3).tolist()
        ([[0, 4], [3, 7], [6, 10]], [[0, 4], [3, 7], [6, 10], [7, 11]], [[0, 3]])
    """
    if window < 1 or step < 1:
        raise InputError("windows", f"{window} frames every {step}", "at least one frame")
    last = max(0, frames - window)
    starts = np.arange(0, last + 1, step)
    if starts[-1] < last:
        starts = np.append(starts, last)
    return np.stack([starts, np.minimum(starts + window, frames)], 1)


def distinct(
    spans: np.ndarray, scores: Sequence[float], recordings: Sequence[Hashable], overlap: float = OVERLAP
) -> np.ndarray:
    """Hits that are not the same one: of windows of one recording that share much, the best stays.

    Args:
        spans: int64 ``[n, 2]``, frames of each hit.
        scores: the higher the better.
        recordings: what each is a window of.
        overlap: two are the same if they share more than this part of the shorter one.

    Returns:
        int64, numbers of those that stay, best first; of equally good ones the earlier first.

    Examples:
        >>> spans = np.array([[0, 10], [3, 13], [20, 30], [0, 10]])
        >>> distinct(spans, [0.5, 0.9, 0.7, 0.8], ["a", "a", "a", "b"]).tolist()
        [1, 3, 2]
    """
    kept: dict[Hashable, list[int]] = {}
    for i in np.argsort(-np.asarray(scores, np.float64), kind="stable").tolist():
        others = kept.setdefault(recordings[i], [])
        if others:
            near = spans[others]
            shared = np.minimum(near[:, 1], spans[i, 1]) - np.maximum(near[:, 0], spans[i, 0])
            shorter = np.minimum(near[:, 1] - near[:, 0], spans[i, 1] - spans[i, 0])
            if (shared > overlap * shorter).any():
                continue
        others.append(i)
    found = [i for each in kept.values() for i in each]
    return np.array(sorted(found, key=lambda i: (-scores[i], i)), np.int64)
