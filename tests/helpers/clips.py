"""Clips in memory that look like a store."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from kineme.motion import layout as skeleton

FLAT, DEEP = skeleton.layout("penn13"), skeleton.layout("kinect20")


def clips(joints: list[np.ndarray], seen: list[np.ndarray] | None = None, layout=DEEP, up: str | None = "+y"):
    """A store in memory of clips ``[T, M, V, C]``."""
    lengths = np.array([len(clip) for clip in joints])
    seen = seen or [np.ones(clip.shape[:3]) for clip in joints]
    return SimpleNamespace(
        frames=np.concatenate(joints).astype(np.float32),
        confidence=np.concatenate(seen).astype(np.float32),
        lengths=lengths,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        layout=layout,
        card={"up": up},
    )


def some(count: int = 4, persons: int = 1, coords: int = 3, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    layout = DEEP if coords == 3 else FLAT
    body = rng.normal(size=(persons, len(layout), coords))
    return [
        body + np.cumsum(0.1 * rng.normal(size=(int(rng.integers(1, 70)), persons, len(layout), coords)), axis=0)
        for _ in range(count)
    ]
