"""J-HMDB puppet joints (joint_positions.mat): 15 joints in pixels, one clip per file.

Jhuang et al., ICCV 2013. ``pos_img`` ``[2, 15, T]``, x and y counted from 1, of one person; ``pos_world`` (relative to
the puppet) and ``scale`` are passed over. The files are all called the same: their folder is the clip (column
``video``), the one above its action, which becomes the label. Joints are annotated by hand in every frame; those
outside the image (320 x 240) are where the puppet has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..motion import layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import Options, _mat

suffixes = (".mat",)
datasets = ("jhmdb",)

WHAT = "a MATLAB file with pos_img [2, 15, frames]"
FILE = "joint_positions.mat"
SIZE = (320, 240)
FPS = 30.0
LOST = "frames with a joint that is no number, taken as missing there"


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".mat":
        return False
    return path.name == FILE or "pos_img" in _mat.names(path, head)


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, 15, 2]``."""
    found = _mat.arrays(path, ("pos_img",), WHAT)
    points = found.get("pos_img")
    if points is None or points.dtype.kind not in "fiu":
        raise InputError(path, "no numbers called pos_img", WHAT)
    points = points[..., None] if points.ndim == 2 else points  # MATLAB leaves out a last side of 1
    if points.ndim != 3 or points.shape[:2] != (2, 15) or points.shape[2] == 0:
        raise InputError(path, f"pos_img of shape {list(points.shape)}", WHAT)
    joints = points.astype(np.float64).transpose(2, 1, 0)[:, None] - 1
    given: np.ndarray = np.all(np.isfinite(joints), axis=-1)
    by_folder = path.name == FILE and path.parent.name != ""
    yield Motion(
        np.where(given[..., None], joints, 0),
        layout.layout("jhmdb15"),
        np.asarray(given, np.float32),
        fps=FPS,
        up="-y",
        unit="px",
        image_size=SIZE,
        label=(path.parent.parent.name or None) if by_folder else None,
        source=path.name,
        extra={"dataset": datasets[0], "video": path.parent.name if by_folder else None},
        notes={LOST: int(np.any(~given, axis=(1, 2)).sum())},
    )
