"""Clips as the player takes them: y up, a path of the body and joints around it, in as few bytes as the eye needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...motion import size
from ...motion.layout import Layout
from ...motion.motion import Motion
from ...viz.stick_figure import limbs, up_axis
from . import container

MOST_FRAMES = 6000  # of one answer
FALSE_BONE, POOLED = 0.3, 500  # spread of a bone's length above which it is none; clips that are looked at
QUARTER = np.pi / 6  # from the front, by which a body is first seen


def drawn(layout: Layout, hidden: int | None = None) -> list[list[Any]]:
    """Lines of a body: joints in whose middle each ends, joints where it starts, its side."""
    return [
        [list(limb.end), list(limb.start), limb.side]
        for limb in limbs(layout)
        if hidden is None or hidden not in (*limb.end, *limb.start)
    ]


def head(layout: Layout) -> list[int]:
    """Joints in whose middle the head is drawn."""
    for words in (("head",), ("nose", "left_ear", "right_ear"), ("head_top",)):
        found = [joint for joint, name in enumerate(layout.canonical_names) if name in words]
        if found:
            return found
    return []


def false_root(motions: Sequence[Motion]) -> int | None:
    """The joint where the tree begins, if it stays behind while bodies walk: its only bone has no length of its own.

    Judged for a set as a whole: of one clip it cannot be told from a noisy bone.
    """
    layout = motions[0].layout
    starts = [joint for joint, parent in enumerate(layout.parents) if parent < 0]
    children = [joint for joint, parent in enumerate(layout.parents) if parent in starts]
    if len(starts) != 1 or len(children) != 1:
        return None
    spread = {}
    for joint, parent in layout.bones:
        lengths = []
        for motion in motions[:POOLED]:
            seen = (motion.confidence[:, 0, joint] > 0) & (motion.confidence[:, 0, parent] > 0)
            bone = motion.joints[seen, 0, joint] - motion.joints[seen, 0, parent]
            lengths.append(np.linalg.norm(bone, axis=1))
        length = np.concatenate(lengths)
        if len(length) and (mean := float(length.mean())) > 0:
            spread[joint] = float(length.std()) / mean
    others = [value for joint, value in spread.items() if joint != children[0]]
    odd = spread.get(children[0], 0.0)
    return starts[0] if others and odd > max(FALSE_BONE, 3 * float(np.median(others))) else None


def pack(motions: Sequence[Motion], frames: int | None = None, **fields: Any) -> bytes:
    """Clips as one answer.

    Args:
        motions: of one layout.
        frames: at most so many of each, evenly spaced; by default all, at most :data:`MOST_FRAMES`.
        fields: further entries of the header.

    Returns:
        ``root`` float32 ``[ΣT, M, C]``, the body's middle, ``local`` float16 ``[ΣT, M, V, C]`` seen from it, NaN where
        missing; ``seen`` uint8 ``[ΣT, M, V]`` where some joints are less sure than others. Of each clip the header
        says ``frames``, ``seconds`` (NaN-free: null where no rate is known), ``height`` of the body, ``floor`` and
        ``yaw``, from where it is seen from in front.
    """
    people = max(motion.persons for motion in motions)
    packed, roots, locals_, sure = [], [], [], []
    for motion in motions:
        about, joints = turned(motion)
        count = min(len(motion), MOST_FRAMES if frames is None else frames)
        keep = np.linspace(0, len(motion) - 1, count).round().astype(np.int64)
        joints, confidence = joints[keep], motion.confidence[keep]
        joints = np.pad(joints, [(0, 0), (0, people - motion.persons), (0, 0), (0, 0)], constant_values=np.nan)
        confidence = np.pad(confidence, [(0, 0), (0, people - motion.persons), (0, 0)])
        root = _middle(joints, motion.layout)
        roots.append(root.astype(np.float32))
        with np.errstate(over="ignore"):
            locals_.append((joints - root[:, :, None]).astype(np.float16))
        sure.append(np.round(255 * np.clip(confidence, 0, 1)).astype(np.uint8))
        packed.append({**about, "frames": len(keep)})
    arrays = {"root": np.concatenate(roots), "local": np.concatenate(locals_)}
    confidence = np.concatenate(sure)
    if ((confidence > 0) & (confidence < 255)).any():
        arrays["seen"] = confidence
    return container.write(arrays, clips=packed, coords=motions[0].coords, **fields)


def turned(motion: Motion) -> tuple[dict[str, Any], np.ndarray]:
    """What is said of a clip, and its joints ``[T, M, V, C]`` with y up, NaN where missing."""
    known = motion if motion.up else motion.with_(up=_named(up_axis(motion)))
    joints = size.turned(known, "+y").joints.astype(np.float64)
    joints[motion.confidence <= 0] = np.nan
    low, high = _extent(joints[..., 1])
    about = {
        "seconds": None if not motion.fps else len(motion) / motion.fps,
        "total": len(motion),
        "height": height(joints, motion.layout),
        "floor": low,
        "top": high,
        "yaw": _front(joints, motion.layout) if motion.coords == 3 else 0.0,
        "people": int((motion.confidence > 0).any((0, 2)).sum()),
    }
    return about, joints


def height(joints: np.ndarray, layout: Layout) -> float:
    """How tall a body stands: its bones from head to foot, the median over frames; else how far joints reach."""
    ways = [way for foot in ("left", "right") if (way := _way(layout, foot))]
    found = []
    for way in ways:
        bones = np.linalg.norm(np.diff(joints[:, :, way], axis=2), axis=3).sum(2)
        if np.isfinite(bones).any():
            found.append(float(np.nanmedian(bones)))
    if found:
        return max(found) or 1.0
    reach = [np.ptp(frame[np.isfinite(frame)]) for frame in joints[..., 1] if np.isfinite(frame).any()]
    return float(np.quantile(reach, 0.9)) or 1.0 if reach else 1.0


def _way(layout: Layout, side: str) -> list[int]:
    """Joints from head to foot along the tree."""
    head = layout.find("head_top", "head", "nose", "neck")
    foot = layout.find(f"{side}_foot", f"{side}_ankle", f"{side}_knee")
    if head is None or foot is None:
        return []

    def up(joint: int) -> list[int]:
        way = [joint]
        while layout.parents[way[-1]] >= 0:
            way.append(layout.parents[way[-1]])
        return way

    first, second = up(head), up(foot)
    shared = next((joint for joint in first if joint in second), None)
    if shared is None:
        return []
    return first[: first.index(shared) + 1] + second[: second.index(shared)][::-1]


def _middle(joints: np.ndarray, layout: Layout) -> np.ndarray:
    """Where each body is ``[T, M, C]``: its root, else the mean of what is seen; 0 where nothing is."""
    root = joints[:, :, list(layout.root)].mean(2)
    seen = np.isfinite(joints)
    mean = np.where(seen, joints, 0).sum(2) / np.maximum(seen.sum(2), 1)
    return np.where(np.isfinite(root), root, mean)


def _extent(heights: np.ndarray) -> tuple[float, float]:
    """Where the floor is, and the highest joint."""
    lowest = np.where(np.isfinite(heights), heights, np.inf).reshape(len(heights), -1).min(1)
    lowest = lowest[np.isfinite(lowest)]
    if not len(lowest):
        return 0.0, 1.0
    return float(np.quantile(lowest, 0.1)), float(np.nanmax(heights))


def _front(joints: np.ndarray, layout: Layout) -> float:
    """The turn about y, in radians, after which the first body looks at the viewer, a little past him."""
    for word in ("shoulder", "hip"):
        left, right = layout.find(f"left_{word}"), layout.find(f"right_{word}")
        if left is None or right is None:
            continue
        across = (joints[:, 0, left] - joints[:, 0, right])[:, [0, 2]]
        across = across[np.isfinite(across).all(1)]
        if not len(across):
            continue
        x, z = np.median(across, 0) if np.linalg.norm(np.median(across, 0)) > 1e-6 else across[0]
        return float(np.arctan2(z, x) + QUARTER)
    return QUARTER


def _named(axis: np.ndarray) -> str:
    place = int(np.abs(axis).argmax())
    return f"{'+' if axis[place] > 0 else '-'}{'xyz'[place]}"
