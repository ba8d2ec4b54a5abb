"""N-UCLA Multiview Action 3D as json (one clip per file): keys file_name, skeletons [T, 20, 3], label 1..10.

Kinect v1, 20 joints in metres (Wang et al., CVPR 2014), in the form in which skeleton methods pass it on. The file's
name ``aXX_sXX_eXX_vXX`` says subject, repetition and camera; its action number (1 to 12 with gaps) is not the label,
which runs from 1 to 10 through :data:`CLASSES`. The files state no frame rate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import Masks, Options, _text
from ._following import somewhere

suffixes = (".json",)
datasets = ("nw_ucla",)

WHAT = "JSON with file_name, skeletons [frames, 20, 3] and label 1 to 10"
NAME = re.compile(r"a\d+_s(?P<subject>\d+)_e(?P<repetition>\d+)_v(?P<camera>\d+)")
CLASSES = (
    "pick up with one hand",
    "pick up with two hands",
    "drop trash",
    "walk around",
    "sit down",
    "stand up",
    "donning",
    "doffing",
    "throw",
    "carry",
)


def sniff(path: Path, head: bytes) -> bool:
    by_content = b'"file_name"' in head and b'"skeletons"' in head
    return path.suffix.lower() == ".json" and (by_content or bool(NAME.fullmatch(path.stem)))


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, 20, 3]``."""
    data = _text.document(path, WHAT)
    if not isinstance(data, dict) or "skeletons" not in data:
        raise InputError(path, "JSON of another kind", WHAT)
    label = data.get("label")
    if label is not None and not (type(label) is int and 1 <= label <= len(CLASSES)):
        raise InputError(path, f"label {str(label)[:40]}", f"1 to {len(CLASSES)}")
    joints, lost = _skeletons(path, data["skeletons"])
    known = NAME.fullmatch(str(data.get("file_name", ""))) or NAME.fullmatch(path.stem)
    number = {key: int(value) for key, value in known.groupdict().items()} if known else {}
    extra = (
        {"dataset": datasets[0], "repetition": number["repetition"], "performance": known[0].rsplit("_", 1)[0]}
        if known
        else {}
    )
    yield Motion(
        joints[:, None],
        layout.layout("kinect20"),
        (somewhere(joints) * ~lost[:, None])[:, None],
        up="+y",
        unit="m",
        label=CLASSES[label - 1] if label else None,
        subject=number.get("subject"),
        camera=number.get("camera"),
        source=path.name,
        extra=extra,
        notes={_text.LOST: int(lost.sum())},
    )


def _skeletons(path: Path, frames: Any) -> tuple[np.ndarray, np.ndarray]:
    """Joints float64 ``[T, 20, 3]``, NaN for what is no number, and which frames are lost."""
    joints = _numbers(frames)
    if joints is not None and joints.ndim == 3 and joints.shape[1:] == (20, 3) and len(joints):
        return joints, np.zeros(len(joints), bool)
    frames = frames if isinstance(frames, list) else []
    joints, lost = np.zeros((len(frames), 20, 3)), np.ones(len(frames), bool)
    for k, frame in enumerate(frames):  # one by one: some are at fault
        if isinstance(frame, list) and len(frame) == 20:
            points = [_numbers(point) for point in frame]
            good = [point is not None and point.shape == (3,) for point in points]
            joints[k] = [point if fits else (np.nan,) * 3 for point, fits in zip(points, good)]
            lost[k] = not any(good)
    if 2 * lost.sum() >= len(lost):
        found = f"{lost.sum()} of {len(lost)} frames are no table of 20 x 3 numbers" if frames else "no frames"
        raise InputError(path, f"skeletons: {found}", "[frames, 20 joints, 3 coordinates], at least one frame")
    return joints, lost


def _numbers(values: Any) -> np.ndarray | None:
    try:
        return np.array(values, np.float64)  # null becomes NaN
    except (ValueError, TypeError, OverflowError):
        return None


def protocols(store: Any, rows: np.ndarray) -> Masks:
    """x-view as published (Wang et al., CVPR 2014); x-sub: odd subjects train."""
    subject, camera = store.numbers("subject"), store.numbers("camera")
    return {"xview": (np.isin(camera, (1, 2)), camera == 3), "xsub": (subject % 2 == 1, subject % 2 == 0)}
