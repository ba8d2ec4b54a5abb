"""Folders as a detector writes them: a file for each frame."""

from __future__ import annotations

import json
from pathlib import Path


def frames(folder: Path, take: str = "take", count: int = 2, first: int = 0) -> Path:
    """Frame files of a detector: one person whose joints move a little."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(first, first + count):
        keypoints = [value for joint in range(25) for value in (100 + 3 * joint + k, 50 + 7 * joint, 0.9)]
        content = {"people": [{"pose_keypoints_2d": keypoints}]}
        (folder / f"{take}_{k:012d}_keypoints.json").write_text(json.dumps(content))
    return folder
