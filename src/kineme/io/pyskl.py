"""PYSKL and MMAction2 skeleton pickles (.pkl): many clips with labels and splits, read without executing anything.

The pickle (Duan et al., ACM MM 2022) holds ``annotations``, or is their list alone: ``frame_dir`` (the clip's name),
``label`` (a number), ``keypoint`` ``[M, T, V, C]`` and, of 2-D poses, ``keypoint_score`` ``[M, T, V]`` and
``img_shape`` (height, width); and ``split``: lists of names such as ``xsub_train`` and ``xsub_val``, which come along
as splits (``train`` and ``val`` alone are called ``official``). A pickle is a program; this one is only taken apart
(:mod:`kineme.utils.plain_pickle`), and one that asks for more than numbers, text and arrays is refused.

**Layout**: by V and C, unless the places of the joints tell of another order; setting ``keypoints`` names it.
**People** stay in their places, or are put back by position where these are exchanged. Names as NTU RGB+D has them give
label, subject and camera; other labels are the numbers of the file, as text. Unit and up axis of 3-D poses, which the
file does not tell, are those that bodies of such a size and posture have, and are noted. Files that only list what
there is (Kinetics, whose poses lie elsewhere) say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import UNSURE, Motion
from ..utils import plain_pickle
from ..utils.errors import InputError
from . import Options, _bodies, _detections
from ._following import listed, settle, somewhere
from .ntu import named

suffixes = (".pkl", ".pickle")
settings = {"keypoints": skeleton.layouts, "people": ("followed", "listed")}

WHAT = "a PYSKL pickle: annotations with frame_dir, keypoint [M, T, V, C], and perhaps split"
WORDS = (b"annotations", b"frame_dir", b"keypoint", b"split")
PARTS = {"train": "train", "val": "test", "test": "test"}
NO_POSES = "a table of contents: {} clips without keypoint, whose poses lie in other files"


def sniff(path: Path, head: bytes) -> bool:
    return path.suffix.lower() in suffixes and head[:1] in b"\x80(]}c" and any(word in head for word in WORDS)


def read(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """A motion ``[T, M, V, 2 or 3]`` for each annotation that has poses, in the order of the file."""
    clips = _annotations(path, plain_pickle.load(path, WHAT))
    if not any(isinstance(clip, dict) and "keypoint" in clip for clip in clips):
        raise InputError(path, NO_POSES.format(len(clips)), WHAT, "Kineme reads pickles that hold the poses themselves")
    for k, clip in enumerate(clips):
        name = str(clip.get("frame_dir", k)) if isinstance(clip, dict) else str(k)
        source = f"{path.name}#{name}" if len(clips) > 1 else path.name
        try:
            yield _motion(source, name, clip, options)
        except InputError as error:
            yield InputError(source, error.found, error.expected, error.hint)


def splits(path: Path) -> dict[str, dict[str, Any] | str]:
    """The splits that the file carries: names ending in ``_train`` and ``_val`` (or ``_test``), as rules."""
    data = plain_pickle.load(path, WHAT)
    said = data.get("split") if isinstance(data, dict) else None
    found: dict[str, dict[str, Any] | str] = {}
    for name, members in said.items() if isinstance(said, dict) else ():
        base, _, part = str(name).rpartition("_")
        if part in PARTS and isinstance(members, (list, tuple)):
            rules = found.setdefault(base or "official", {})
            if isinstance(rules, dict):
                rules.setdefault(PARTS[part], {"column": "frame_dir", "in": [str(member) for member in members]})
    return {name: rules for name, rules in found.items() if {"train", "test"} <= set(rules)}


def _annotations(path: Path, data: Any) -> list[Any]:
    clips = data.get("annotations") if isinstance(data, dict) else data
    if isinstance(data, dict) and "keypoint" in data:
        clips = [data]
    if not isinstance(clips, list) or not clips:
        shown = f", with {', '.join(map(str, data))[:120]}" if isinstance(data, dict) else ""
        raise InputError(path, f"a pickle of another kind{shown}", WHAT)
    return clips


def _motion(source: str, name: str, clip: Any, options: Options) -> Motion:
    """One clip.

    Raises:
        InputError: no poses, or poses of another shape.
    """
    if not isinstance(clip, dict) or "keypoint" not in clip:
        raise InputError(source, "an annotation without keypoint", "keypoint [M, T, V, C]")
    points, notes = _points(source, clip), Counter[str]()
    people, frames, _, width = points.shape
    flat = _detections.gaps(points.reshape(people * frames, -1, width), notes)
    layout, flat = _bodies.by_number("keypoint", flat, options.table, notes)
    points = flat.reshape(people, frames, -1, width).swapaxes(0, 1)
    there = (points[..., -1] > 0).any(2, keepdims=True) & (somewhere(points[..., :-1]) > 0)
    seen = np.where(there, np.clip(points[..., -1], UNSURE, 1), 0).astype(np.float32)
    joints, seen, columns, counts = settle(points[..., :-1], seen, None, listed(options))
    if width == 3:
        unit, columns["coordinates"] = _detections.unit(flat)
        up: str | None = "-y"
    else:
        unit, up = _bodies.in_space(flat, layout, options, notes)
    height, wide = _pair(clip.get("img_shape"))
    label = clip.get("label")
    known = named(name)
    return Motion(
        joints,
        layout,
        seen,
        up=up,
        unit=unit,
        image_size=_detections.size(wide, height, notes) if width == 3 else None,
        source=source,
        label=known.get("label", None if label is None else str(label)),
        subject=known.get("subject"),
        camera=known.get("camera"),
        extra={**known.get("extra", {}), **columns, "frame_dir": name},
        notes=notes + Counter(counts),
    )


def _points(source: str, clip: dict[str, Any]) -> np.ndarray:
    """Coordinates and confidence float32 ``[M, T, V, C + 1]``."""
    keypoint, score = clip["keypoint"], clip.get("keypoint_score")
    for what, array in (("keypoint", keypoint), ("keypoint_score", score)):
        if array is not None and not (isinstance(array, np.ndarray) and array.dtype.kind in "fiu"):
            raise InputError(source, f"{what} that is no array of numbers", "keypoint [M, T, V, C]")
    keypoint = keypoint[None] if keypoint.ndim == 3 else keypoint
    if keypoint.ndim != 4 or keypoint.shape[3] not in (2, 3) or 0 in keypoint.shape:
        raise InputError(source, f"keypoint of shape {list(keypoint.shape)}", "[M, T, V, 2 or 3], none of them 0")
    with np.errstate(over="ignore"):
        keypoint = keypoint.astype(np.float32)
        if score is None and keypoint.shape[3] == 3 and _are_scores(keypoint):
            keypoint, score = keypoint[..., :2], keypoint[..., 2]
        score = np.ones(keypoint.shape[:3]) if score is None else score.astype(np.float32)
    if score.size != keypoint[..., 0].size:
        raise InputError(
            source,
            f"keypoint_score of shape {list(score.shape)} beside keypoint of shape {list(keypoint.shape)}",
            "a score for every joint",
        )
    return np.concatenate([keypoint, score.reshape(keypoint.shape[:3])[..., None]], axis=-1, dtype=np.float32)


def _are_scores(keypoint: np.ndarray) -> bool:
    """Whether the third of three numbers is a score beside pixels."""
    third, others = keypoint[..., 2], np.abs(keypoint[..., :2])
    return bool(np.isfinite(third).all() and (third >= 0).all() and (third <= 1).all() and np.nanmedian(others) > 10)


def _pair(value: Any) -> tuple[Any, Any]:
    return tuple(value) if isinstance(value, (tuple, list)) and len(value) == 2 else (None, None)
