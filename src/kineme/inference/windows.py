"""Windows of long recordings (:mod:`kineme.motion.windows`): what they say of each moment, which hits are the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Label = TypeVar("Label", bound=Hashable)
OVERLAP = 0.5  # two hits that share more than this part of the shorter one are the same


@dataclass(frozen=True)
class Length:
    """How long something is: in seconds, and in frames for motion without a frame rate.

    Attributes:
        frames: at least 1.
        seconds: None where nobody knows.

    Examples:
        >>> Length(45, 1.5).at(20), Length(45, 1.5).at(None), Length(45).at(20)
        (30, 45, 45)
    """

    frames: int
    seconds: float | None = None

    def at(self, fps: float | None) -> int:
        """In frames of a motion with this rate, at least 1."""
        if fps is None or self.seconds is None:
            return self.frames
        return max(1, round(self.seconds * fps))


def segments(
    spans: np.ndarray, labels: Sequence[Label], scores: Sequence[float]
) -> Iterator[tuple[int, int, Label, float]]:
    """Overlapping windows as segments that do not: a moment is what its surest window says.

    Args:
        spans: int64 ``[n, 2]``, the windows of one recording.
        labels: what each was taken for.
        scores: how sure that is.

    Yields:
        (start, end, label, the highest score of its windows), in order of time; moments without a window are in none.

    Examples:
        >>> list(segments(np.array([[0, 4], [2, 6], [4, 8]]), ["walk", "walk", "sit"], [0.9, 0.6, 0.8]))
        [(0, 4, 'walk', 0.9), (4, 8, 'sit', 0.8)]
    """
    edges = np.unique(spans)
    owner = np.full(len(edges) - 1, -1)
    for i in np.argsort(-np.asarray(scores, np.float64), kind="stable")[::-1].tolist():  # the surest is put down last
        owner[slice(*np.searchsorted(edges, spans[i]))] = i
    found: list[tuple[int, int, Label, float]] = []
    for start, end, i in zip(edges[:-1].tolist(), edges[1:].tolist(), owner.tolist()):
        if i < 0:
            continue
        if found and found[-1][1] == start and found[-1][2] == labels[i]:
            before = found.pop()
            found.append((before[0], end, before[2], max(before[3], float(scores[i]))))
        else:
            found.append((start, end, labels[i], float(scores[i])))
    yield from found


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
        >>> distinct(np.array([[0, 10], [3, 13], [20, 30], [0, 10]]), [0.5, 0.9, 0.7, 0.8], list("aaab")).tolist()
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
