"""MSR Action3D skeletons (aXX_sXX_eXX_skeleton3D.txt): a line x y z confidence for each of 20 joints, frame by frame.

Li, Zhang and Liu, CVPR Workshops 2010. The joints stand in an order of their own that is put into that of ``kinect20``.
``..._skeleton3D.txt`` is in metres, +y up; ``..._skeleton.txt`` holds the same joints on the screen (x, y in pixels,
and a depth that is passed over), a 2-D motion; beside the former it is the same recording once more, so ``prepare``
takes the former only. A joint of confidence 0 that has a place is :data:`~kineme.motion.motion.UNSURE`; one whose
numbers are all 0 is missing. The file's name says action (:data:`CLASSES`), subject and repetition. The files state no
frame rate. Neither do they count their frames: a last one of fewer than 20 lines is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout
from ..motion.motion import UNSURE, Motion
from ..utils.errors import InputError
from . import Masks, Options, _text

suffixes = (".txt",)
datasets = ("msr_action3d",)

WHAT = "lines of x, y, z, confidence, 20 for each frame"
NAME = re.compile(r"a(?P<action>\d+)_s(?P<subject>\d+)_e(?P<repetition>\d+)_skeleton(?P<space>3D)?", re.IGNORECASE)
MAX_ROWS = 20 * 1_000_000
TORN = "broken last frames, left out"  # a note
LOST = "joints whose line is none of four numbers, taken as missing"
JOINTS = (
    "left_shoulder", "right_shoulder", "shoulder_center", "spine", "left_hip", "right_hip", "hip_center",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand", "left_knee", "right_knee",
    "left_ankle", "right_ankle", "left_foot", "right_foot", "head",
)  # fmt: skip
CLASSES = (
    "high arm wave",
    "horizontal arm wave",
    "hammer",
    "hand catch",
    "forward punch",
    "high throw",
    "draw x",
    "draw tick",
    "draw circle",
    "hand clap",
    "two hand wave",
    "side boxing",
    "bend",
    "forward kick",
    "side kick",
    "jogging",
    "tennis swing",
    "tennis serve",
    "golf swing",
    "pick up and throw",
)


def sniff(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".txt" and bool(NAME.fullmatch(path.stem))


def side(path: Path, head: bytes) -> bool:
    """Joints on the screen beside the same in space."""
    return sniff(path, head) and path.with_name(f"{path.stem}3D{path.suffix}").is_file()


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, 20, 3]``, or ``[T, 1, 20, 2]`` from the screen."""
    words = _text.words(path, _text.load(path, WHAT))
    if len(words) > 4 * MAX_ROWS:
        raise InputError(path, f"more than {MAX_ROWS} lines", WHAT)
    table, lost = words.table(4, "x, y, z and confidence of a joint")
    frames, rest = divmod(len(table), len(JOINTS))
    if not frames:
        raise words.error(len(words), f"{len(table)} lines", WHAT, "The file may be cut short")
    kinect = layout.layout("kinect20")
    order = [JOINTS.index(joint) for joint in kinect.joints]
    table = table[: frames * len(JOINTS)].reshape(frames, len(JOINTS), 4)[:, order]
    known = NAME.fullmatch(path.stem)
    flat = known is not None and not known["space"]
    joints, confidence = table[..., : 2 if flat else 3], table[..., 3]
    beyond = (confidence < 0) | (confidence > 1)
    if beyond.mean() > 0.01:  # on another scale, or no confidence
        raise InputError(
            path, f"a fourth column with {confidence[beyond][0]:g} in it", f"confidence from 0 to 1: {WHAT}"
        )
    confidence = np.clip(confidence, 0, 1)
    there = table[..., :3].any(-1)
    confidence = np.where(there, np.where(confidence == 0, np.float32(UNSURE), confidence), 0)
    number = {key: int(known[key]) for key in ("action", "subject", "repetition")} if known else {}
    action = number.get("action", 0)
    yield Motion(
        joints[:, None],
        kinect,
        confidence[:, None],
        up="-y" if flat else "+y",
        unit="px" if flat else "m",
        label=CLASSES[action - 1] if 1 <= action <= len(CLASSES) else None,
        subject=number.get("subject"),
        source=path.name,
        extra={"dataset": datasets[0], "repetition": number["repetition"]} if number else {},
        notes={TORN: int(rest > 0), LOST: int(lost[: frames * len(JOINTS)].sum())},
    )


def protocols(store: Any, rows: np.ndarray) -> Masks:
    """Cross-subject as published: subjects 1, 3, 5, 7, 9 train."""
    subject = store.numbers("subject")
    return {"xsub": (subject % 2 == 1, subject % 2 == 0)}
