"""Pose tracks whose poses tell the number of their frame, as detectors write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kineme.io import arrays
from kineme.motion import layout
from kineme.motion.motion import Motion

SIZE = (64, 48)
STEP = 0.25  # pixels to the right from frame to frame


def pose(number: int, joints: int, person: int = 0) -> np.ndarray:
    """``[joints, 3]`` in pixels of 64 x 48; the second person stands lower."""
    places = np.stack([8 + STEP * number + np.arange(joints) % 5, 6 + 20 * person + np.arange(joints) % 7], 1)
    return np.concatenate([places, np.full((joints, 1), 0.9)], 1)


def number(joints: np.ndarray) -> int:
    """Of the pose ``[V, 2]`` in pixels."""
    return round(float(joints[0, 0] - 8) / STEP)


def _write(path: Path, data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def openpose(folder: Path, take: str, frames: Iterable[int], people: int = 1, first: int = 0) -> Path:
    for n in frames:
        found = [{"pose_keypoints_2d": pose(n, 18, person).ravel().tolist()} for person in range(people)]
        _write(folder / f"{take}_{n + first:012d}_keypoints.json", {"people": found})
    return folder


def alphapose(path: Path, frames: Iterable[int], people: int = 1) -> Path:
    entries = [
        {"image_id": f"{n}.jpg", "category_id": 1, "keypoints": pose(n, 17, person).ravel().tolist(), "score": 2.5}
        for n in frames
        for person in range(people)
    ]
    return _write(path, entries)


def kinetics(path: Path, frames: Iterable[int], people: int = 1) -> Path:
    data = [
        {
            "frame_index": n + 1,
            "skeleton": [
                {
                    "pose": (pose(n, 18, person)[:, :2] / SIZE).ravel().tolist(),
                    "score": pose(n, 18, person)[:, 2].tolist(),
                }
                for person in range(people)
            ],
        }
        for n in frames
    ]
    return _write(path, {"data": data, "label": "wave", "label_index": 3})


def mediapipe(path: Path, frames: Iterable[int], fps: float | None = None, empty: Iterable[int] = ()) -> Path:
    empty, points = set(empty), []
    for n in frames:
        x, y, seen = pose(n, 33).T
        marks = np.stack([x / SIZE[0], y / SIZE[1], np.full(33, 0.1), seen], 1)
        points.append({"frame": n, "landmarks": [] if n in empty else marks.tolist()})
    about = {"width": SIZE[0], "height": SIZE[1], **({"fps": fps} if fps else {})}
    return _write(path, {**about, "frames": points})


def of_arrays(path: Path, clips: dict[str, Iterable[int]], fps: float | None = None) -> Path:
    """Several tracks in one file."""
    joints = layout.layout("coco17")
    path.parent.mkdir(parents=True, exist_ok=True)
    motions = [
        Motion(np.stack([pose(n, 17)[None, :, :2] for n in frames]), joints, fps=fps, up="-y", unit="px", source=name)
        for name, frames in clips.items()
    ]
    arrays.write(path.parent, motions, path.stem)
    return path
