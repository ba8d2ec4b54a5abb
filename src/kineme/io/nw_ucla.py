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
    try:
        with np.errstate(over="ignore"):
            joints = np.array(data["skeletons"], np.float64)
    except (ValueError, TypeError, OverflowError):
        joints = np.zeros(0)
    if joints.ndim != 3 or joints.shape[1:] != (20, 3) or not len(joints):
        shape = f"of shape {list(joints.shape)}" if joints.size else "that are no table of numbers"
        raise InputError(path, f"skeletons {shape}", "[frames, 20 joints, 3 coordinates], at least one frame")
    known = NAME.fullmatch(str(data.get("file_name", ""))) or NAME.fullmatch(path.stem)
    number = {key: int(value) for key, value in known.groupdict().items()} if known else {}
    extra = (
        {"dataset": datasets[0], "repetition": number["repetition"], "performance": known[0].rsplit("_", 1)[0]}
        if known
        else {}
    )
    yield Motion(
        _text.float32(path, joints)[:, None],
        layout.layout("kinect20"),
        up="+y",
        unit="m",
        label=CLASSES[label - 1] if label else None,
        subject=number.get("subject"),
        camera=number.get("camera"),
        source=path.name,
        extra=extra,
    )


def protocols(store: Any, rows: np.ndarray) -> Masks:
    """x-view as published (Wang et al., CVPR 2014); x-sub: odd subjects train."""
    subject, camera = store.numbers("subject"), store.numbers("camera")
    return {"xview": (np.isin(camera, (1, 2)), camera == 3), "xsub": (subject % 2 == 1, subject % 2 == 0)}
