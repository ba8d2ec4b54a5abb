"""UTD-MHAD skeletons (.mat, one clip per file): variable d_skel [20, 3, T] of a Kinect v1.

20 joints in metres (Chen, Jafari and Kehtarnavaz, ICIP 2015), in an order of their own that is put into that of
``kinect20``. The file's name ``aXX_sXX_tXX_skeleton`` says action, subject and trial; the actions are :data:`CLASSES`.
The files state no frame rate.
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
from . import Masks, Options, _mat
from ._following import somewhere

suffixes = (".mat",)
datasets = ("utd_mhad",)

WHAT = "a MATLAB file with d_skel [20 joints, 3, frames]"
NAME = re.compile(r"a(?P<action>\d+)_s(?P<subject>\d+)_t(?P<repetition>\d+)(_skeleton)?")
JOINTS = (
    "head",
    "shoulder_center",
    "spine",
    "hip_center",
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist", "hand")),
    *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot")),
)
CLASSES = (
    "swipe left",
    "swipe right",
    "wave",
    "clap",
    "throw",
    "arm cross",
    "basketball shoot",
    "draw x",
    "draw circle clockwise",
    "draw circle counter clockwise",
    "draw triangle",
    "bowling",
    "boxing",
    "baseball swing",
    "tennis swing",
    "arm curl",
    "tennis serve",
    "push",
    "knock",
    "catch",
    "pick up and throw",
    "jog",
    "walk",
    "sit to stand",
    "stand to sit",
    "lunge",
    "squat",
)


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".mat":
        return False
    return bool(NAME.fullmatch(path.stem)) or "d_skel" in _mat.names(path, head)


def side(path: Path, head: bytes) -> bool:
    """The list of joints of the release."""
    return path.name.lower() == "skeleton_joint_order.txt"


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, 20, 3]``."""
    found = _mat.arrays(path, ("d_skel",), WHAT).get("d_skel")
    if found is None or found.ndim not in (2, 3) or found.shape[:2] != (20, 3) or found.dtype.kind not in "fiu":
        shape = "no d_skel" if found is None else f"d_skel of shape {list(found.shape)}, type {found.dtype}"
        raise InputError(path, shape, WHAT)
    kinect = layout.layout("kinect20")
    order = [JOINTS.index(joint) for joint in kinect.joints]
    joints = found.reshape(20, 3, -1).transpose(2, 0, 1)[:, order].astype(np.float64)
    if not len(joints):
        raise InputError(path, "d_skel without a frame", WHAT)
    known = NAME.fullmatch(path.stem)
    number = {key: int(value) for key, value in known.groupdict().items()} if known else {}
    action = number.get("action", 0)
    yield Motion(
        joints[:, None],
        kinect,
        somewhere(joints)[:, None],
        up="+y",
        unit="m",
        label=CLASSES[action - 1] if 1 <= action <= len(CLASSES) else None,
        subject=number.get("subject"),
        source=path.name,
        extra={"dataset": datasets[0], "repetition": number["repetition"]} if number else {},
    )


def protocols(store: Any, rows: np.ndarray) -> Masks:
    """Cross-subject as published: subjects 1, 3, 5, 7 train."""
    subject = store.numbers("subject")
    return {"xsub": (subject % 2 == 1, subject % 2 == 0)}
