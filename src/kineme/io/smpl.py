"""SMPL bodies (.npz), AMASS's among them: positions of the joints where the file holds them, never the body model.

AMASS (Mahmood et al., ICCV 2019) publishes the parameters of a body model (``poses``, ``trans``, ``betas``); places of
joints follow from these only with the model, which has a licence of its own. Kineme does not have it, so files without
joints are refused in one sentence. Joints are ``joints`` (or ``Jtr``, ``jtr``, ``joints3d``, ``joints_3d``), an array
``[T, V, 3]`` in metres, V = 22, 24 or 45 and more: the 22 of the body, and the hands of ``smpl24`` where they are
SMPL's own (24 and 45; of SMPL-H and SMPL-X they are missing). The rate is ``mocap_framerate``; the up axis is that
along which the body stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils import files
from ..utils.errors import InputError
from . import Options, _bodies, _detections
from ._following import MAX_POINTS

suffixes = (".npz",)

WHAT = "an .npz file with joints [frames, 22 or more, 3]"
JOINTS = ("joints", "Jtr", "jtr", "joints3d", "joints_3d")
RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
HANDS = (24, 45)  # numbers of joints of which the last two of the first 24 are the hands
HOW = "Run the body model (for example with the package smplx) and save its joints beside them, as `joints`"


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".npz":
        return False
    names = files.npz_names(path)
    return "poses" in names and bool(names & {"betas", "trans"})


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, 24, 3]``."""
    names = files.npz_names(path)
    key = next((key for key in JOINTS if key in names), None)
    if key is None:
        found = f"parameters of a body model ({', '.join(sorted(names))[:80]}) and no positions of joints"
        raise InputError(path, found, WHAT, HOW)
    rate = next((name for name in RATES if name in names), None)
    arrays = files.read_npz(path, (key, rate) if rate else (key,))
    joints = arrays[key]
    if joints.ndim != 3 or joints.shape[1] < 22 or joints.shape[2] != 3 or joints.dtype.kind != "f" or not len(joints):
        raise InputError(path, f"{key} of shape {list(joints.shape)} and type {joints.dtype}", WHAT)
    if joints.size > 3 * MAX_POINTS:
        raise InputError(path, f"{key} of shape {list(joints.shape)}", f"at most {MAX_POINTS} joints in all")
    own = 24 if joints.shape[1] in HANDS else 22
    points = np.zeros((len(joints), 24, 4), np.float32)
    with np.errstate(over="ignore"):
        points[:, :own, :3] = joints[:, :own]
    points[:, :own, 3] = 1
    notes: _detections.Notes = Counter()
    points = _detections.gaps(points, notes)
    layout = skeleton.layout("smpl24")
    _, up = _bodies.in_space(points, layout, Options(unit="m", up=options.up), notes)
    fps = float(arrays[rate].ravel()[0]) if rate and arrays[rate].size and arrays[rate].dtype.kind in "fiu" else None
    yield Motion(
        points[:, None, :, :3],
        layout,
        points[:, None, :, 3],
        fps=_detections.rate(fps, notes),
        up=up,
        unit="m",
        source=path.name,
        notes=notes,
    )
