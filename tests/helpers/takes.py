"""Folders as a detector writes them: a file for each frame."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np

from kineme import synth


def frames(folder: Path, take: str = "take", count: int = 2, first: int = 0) -> Path:
    """Frame files of a detector: a person who walks, ``body25`` in pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, pose in enumerate(_walk()[:count], first):
        keypoints = np.concatenate([pose, np.full((len(pose), 1), 0.9)], 1).round(3)
        content = {"people": [{"pose_keypoints_2d": keypoints.ravel().tolist()}]}
        (folder / f"{take}_{k:012d}_keypoints.json").write_text(json.dumps(content))
    return folder


@functools.cache
def _walk() -> np.ndarray:
    """``[T, 25, 2]``."""
    return next(synth.generate(1, ["walk"], cameras=1, layout="body25")).joints[:, 0]
