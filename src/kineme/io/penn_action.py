"""Penn Action labels (NNNN.mat, one clip per file): x, y and visibility [T, 13] in pixels, action, pose, train.

Zhang, Zhu and Derpanis, ICCV 2013. The action becomes the label, ``pose`` (from where the person is seen: ``back``,
``front``, ``left``, ``right``) the camera, ``train`` (1 or -1) the column ``split``, so that the published split is
``official``. A joint of visibility 0 is a guess (:data:`kineme.motion.motion.UNSURE`), or missing with ``faithful``;
one at (1, 1), which stands for no place, is missing. ``bbox``, which a few clips have one frame short, is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..motion import layout
from ..motion.motion import UNSURE, Motion
from ..utils.errors import InputError
from . import Options, _mat

suffixes = (".mat",)
datasets = ("penn_action",)

WHAT = "a MATLAB file with x, y and visibility [frames, 13]"
NAME = re.compile(r"\d{4}")
NEEDED = ("x", "y", "visibility")


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".mat":
        return False
    return bool(NAME.fullmatch(path.stem)) or set(NEEDED) <= _mat.names(path, head)


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, 13, 2]``."""
    found = _mat.arrays(path, (*NEEDED, "action", "pose", "train", "dimensions"), WHAT)
    shapes = {key: found[key].shape if key in found else None for key in NEEDED}
    shape = shapes["x"]
    if set(shapes.values()) != {shape} or shape is None or shape[0] == 0 or shape[1:] != (13,):
        found_shapes = ", ".join(f"{key} {'missing' if each is None else list(each)}" for key, each in shapes.items())
        raise InputError(path, found_shapes, WHAT)
    if any(found[key].dtype.kind not in "fiu" for key in NEEDED):
        raise InputError(path, "x, y or visibility in text", WHAT)
    joints = np.stack([found["x"], found["y"]], -1).astype(np.float64)
    visible = (found["visibility"] > 0).astype(np.float32)
    placed = ~(np.isin(joints, (-1, 0, 1)).all(-1) & (joints[..., 0] == joints[..., 1]))
    guessed = 0 if options.faithful else UNSURE
    confidence = np.where(visible > 0, visible, np.where(placed, np.float32(guessed), np.float32(0)))
    said = {key: _mat.text(found[key]) or None if key in found else None for key in ("action", "pose")}
    side = {1: "train", -1: "test"}.get(_whole(found.get("train"), 0))
    size = _whole(found.get("dimensions"), 1), _whole(found.get("dimensions"), 0)
    yield Motion(
        joints[:, None],
        layout.layout("penn13"),
        confidence[:, None],
        up="-y",
        unit="px",
        image_size=size if min(size) > 0 else None,
        label=said["action"],
        camera=said["pose"],
        source=path.name,
        extra={"dataset": datasets[0], "split": side} if side else {"dataset": datasets[0]},
    )


def _whole(values: np.ndarray | None, at: int) -> int:
    """A whole number of an array, 0 where there is none."""
    if values is None or values.size <= at or values.dtype.kind not in "fiu":
        return 0
    value = float(values.ravel()[at])
    return int(value) if abs(value) < 1e6 else 0
