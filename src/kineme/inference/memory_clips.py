"""A few clips in memory, as a loader takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError


@dataclass
class MemoryClips:
    """A few clips in memory, with the attributes that a source asks of a store."""

    frames: np.ndarray
    confidence: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray
    layout: skeleton.Layout
    card: Mapping[str, Any] = field(default_factory=dict)
    picture_file: Any = None


def gathered(motions: Sequence[Motion], layout: skeleton.Layout) -> MemoryClips:
    """Motions of one layout one after the other, filled up with absent persons.

    Raises:
        InputError: no motion.
    """
    if not motions:
        raise InputError("motions", "an empty list", "at least one Motion")
    persons = max(m.persons for m in motions)

    def stacked(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate(
            [np.pad(a, [(0, 0), (0, persons - a.shape[1])] + [(0, 0)] * (a.ndim - 2)) for a in arrays]
        )

    lengths = np.array([len(m) for m in motions])
    return MemoryClips(
        stacked(m.joints for m in motions),
        stacked(m.confidence for m in motions),
        lengths,
        np.concatenate([[0], np.cumsum(lengths)]),
        layout,
    )
