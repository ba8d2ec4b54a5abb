"""Motions written to files in three forms that the readers take: arrays, NTU RGB+D text, BVH.

Meant for made motions, whose labels, subjects, cameras and repetitions are known; the forms themselves are described
where they are read (``readers/arrays.py``, ``readers/ntu.py``, ``readers/bvh.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ...motion import camera
from ...motion.layout import Layout
from ...motion.motion import Motion
from ...utils.errors import InputError
from ...utils.files import atomic, write_json
from .actions import PAIRS, SINGLE

KINECT_COLOUR, KINECT_DEPTH = (1060.0, 1920, 1080), (365.0, 512, 424)  # focal length, width, height in pixels
CENTIMETRES = {"m": 100.0, "cm": 1.0, "mm": 0.1, "in": 2.54}

# The rig of a BVH file, depth first: joint, word of the layout, parent. A joint turns the bone to its first child.
RIG = [
    tuple(line.split())
    for line in """
Hips pelvis -
Spine spine Hips
Chest chest Spine
Neck neck Chest
LeftCollar chest Chest
LeftShoulder left_shoulder LeftCollar
LeftElbow left_elbow LeftShoulder
LeftWrist left_wrist LeftElbow
RightCollar chest Chest
RightShoulder right_shoulder RightCollar
RightElbow right_elbow RightShoulder
RightWrist right_wrist RightElbow
LeftHip left_hip Hips
LeftKnee left_knee LeftHip
LeftAnkle left_ankle LeftKnee
RightHip right_hip Hips
RightKnee right_knee RightHip
RightAnkle right_ankle RightKnee
""".strip().splitlines()
]
ENDS = {  # where the last bones end: the first of these words that the layout has
    "Neck": ("head_top", "head"),
    "LeftWrist": ("left_hand_tip", "left_hand"),
    "RightWrist": ("right_hand_tip", "right_hand"),
    "LeftAnkle": ("left_foot_index", "left_big_toe", "left_foot"),
    "RightAnkle": ("right_foot_index", "right_big_toe", "right_foot"),
}


def write_arrays(folder: str | Path, motions: Iterable[Motion], name: str = "synth") -> Path:
    """``NAME.npz`` and ``NAME.json``: all clips one after the other, with splits by subject and by camera.

    Raises:
        InputError: no motions, or motions that differ in layout, rate, unit, axes or image size.
    """
    folder, clips = Path(folder), list(motions)
    if not clips:
        raise InputError(folder, "no motions to write", "at least one")
    first, persons = clips[0], max(clip.persons for clip in clips)
    for clip in clips:
        for what in ("layout", "fps", "unit", "up", "coords", "image_size"):
            if getattr(clip, what) != getattr(first, what):
                expected = f"{getattr(first, what)}, as {first.source} has it"
                raise InputError(clip.source, f"{what} {getattr(clip, what)}", expected)
    offsets = np.cumsum([0, *map(len, clips)], dtype=np.int64)
    joints = np.zeros((offsets[-1], persons, len(first.layout), first.coords), np.float32)
    seen = np.zeros(joints.shape[:3], np.float32)
    for clip, start, end in zip(clips, offsets[:-1], offsets[1:]):
        joints[start:end, : clip.persons], seen[start:end, : clip.persons] = clip.joints, clip.confidence
    columns = {key: [clip.extra.get(key) for clip in clips] for key in ("repetition", "style")}
    names = {"class": sorted({str(clip.label) for clip in clips}), "style": sorted(map(str, {*columns["style"]}))}
    arrays = {
        "joints": joints if persons > 1 else joints[:, 0],
        "offsets": offsets,
        "labels": np.array([names["class"].index(str(clip.label)) for clip in clips], np.int16),
        "subjects": np.array([clip.subject for clip in clips], np.int16),
        "views": np.array([clip.camera or 0 for clip in clips], np.int16),
        "reps": np.array(columns["repetition"], np.int16),
        "names": np.array([clip.source for clip in clips]),
        "style": np.array([names["style"].index(str(style)) for style in columns["style"]], np.int16),
    }
    if seen.min() < 1:
        arrays["confidence"] = seen if persons > 1 else seen[:, 0]
    if first.image_size:
        arrays["dimensions"] = np.tile(np.array(first.image_size[::-1], np.int32), (len(clips), 1))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / f"{name}.npz") as path, open(path, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    write_json(folder / f"{name}.json", _about(name, clips, names, joints.shape))
    return folder


def _about(name: str, clips: list[Motion], names: dict[str, list[str]], shape: tuple[int, ...]) -> dict:
    first, count = clips[0], Counter(str(clip.label) for clip in clips)
    subjects, views = (sorted({getattr(clip, what) or 0 for clip in clips}) for what in ("subject", "camera"))
    splits = {}
    if len(subjects) > 1:
        splits["xsub"] = {"train": _rule("subjects", subjects[::2]), "test": _rule("subjects", subjects[1::2])}
    if len(views) > 1:
        splits["xview"] = {"train": _rule("views", views[:-1]), "test": _rule("view", views[-1:])}
    flat = first.coords == 2
    return {
        "name": f"{name} (made motions)",
        "joint_names": list(first.layout.joints),
        "parents": list(first.layout.parents),
        "coordinates": "image pixels, x right, y down" if flat else "camera space, x to its left, y up, z away from it",
        "up": first.up,
        "fps": first.fps,
        "units": first.unit,
        "dims": ["x", "y", "z"][: first.coords],
        "class_names": names["class"],
        "style_names": names["style"],
        "style_note": "the hand that the subject prefers",
        "n_subjects": len(subjects),
        "n_views": len(views),
        "splits": splits,
        "n_sequences": len(clips),
        "n_frames_total": shape[0],
        "sequences_per_class": dict(sorted(count.items())),
        "original": "made by kineme",
    }


def _rule(word: str, numbers: list[int]) -> str:
    return f"{word} {', '.join(map(str, numbers))}"


def write_ntu(folder: str | Path, motions: Iterable[Motion]) -> Path:
    """One ``SsssCcccPpppRrrrAaaa.skeleton`` per clip: setup 1, actions numbered in the order in which they come.

    The colour and depth columns are the joints as the Kinect's (mirrored) images show them; orientations are 0. The
    tracking state is 2, 1 for a confidence of 0.5 or less, 0 for missing joints, which stand at the origin.

    Raises:
        InputError: a motion that is not ntu25 in metres, or a number above 999.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    known = [*SINGLE, *PAIRS]
    for clip in motions:
        if clip.layout.name != "ntu25" or clip.coords != 3 or clip.unit != "m":
            found = f"layout {clip.layout.name}, {clip.coords}-D, unit {clip.unit}"
            raise InputError(clip.source, found, "layout ntu25, 3-D, metres")
        known += [str(clip.label)] * (clip.label not in known)
        action = known.index(str(clip.label)) + 1
        numbers = (1, clip.camera or 0, clip.subject, int(clip.extra.get("repetition", 0)) + 1, action)
        if not all(isinstance(number, int) and 0 <= number <= 999 for number in numbers):
            found = f"camera, subject, repetition and action {numbers[1:]}"
            raise InputError(clip.source, found, "numbers up to 999, as NTU names have them")
        with atomic(folder / "S{:03d}C{:03d}P{:03d}R{:03d}A{:03d}.skeleton".format(*numbers)) as path:
            path.write_text("\n".join(_ntu_lines(clip)) + "\n", encoding="ascii")
    return folder


def _ntu_lines(clip: Motion) -> Iterator[str]:
    away = clip.joints[..., 2:] > 0
    flat = np.where(away, clip.joints[..., :2] * (1, -1) / np.where(away, clip.joints[..., 2:], 1), 0)
    images = [np.array(size) / 2 + focal * flat for focal, *size in (KINECT_DEPTH, KINECT_COLOUR)]
    state = np.where(clip.confidence > 0.5, 2, np.where(clip.confidence > 0, 1, 0))
    rows = np.concatenate([clip.joints, *images, np.zeros((*state.shape, 4))], -1)
    here = clip.confidence.max(2) > 0
    yield str(len(clip))
    for frame in range(len(clip)):
        yield str(int(here[frame].sum()))
        for person in np.flatnonzero(here[frame]):
            yield f"{72057594037930000 + int(person)} 0 1 0 1 0 0 0 0 2"
            yield "25"
            for row, tracked in zip(rows[frame, person].tolist(), state[frame, person].tolist()):
                yield " ".join(f"{value:.9g}" for value in row) + f" {tracked}"


def write_bvh(folder: str | Path, motions: Iterable[Motion]) -> Path:
    """One ``NAME.bvh`` per clip and person (``NAME_2.bvh`` for the second), centimetres, rotations Z X Y, +y up.

    Joint turns follow from the bones' directions; how a limb turns about its own length is not in the joints, so each
    bone takes the smallest turn. A body of constant bone lengths is given back exactly, otherwise bones have their
    median length.

    Raises:
        InputError: a motion that is 2-D or lacks a joint of the rig.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for clip in motions:
        for person in range(clip.persons):
            number = "" if person == 0 else f"_{person + 1}"
            with atomic(folder / f"{clip.source.replace('/', '_')}{number}.bvh") as path:
                path.write_text(_bvh(clip, person), encoding="ascii")
    return folder


def _bvh(clip: Motion, person: int) -> str:
    points, ends = _rig_points(clip, person)
    parents = {name: parent for name, _, parent in RIG}
    children = {name: [child for child, parent in parents.items() if parent == name] for name in parents}
    left = camera.unit(points["LeftHip"] - points["RightHip"])
    up = points["Spine"] - points["Hips"]
    up = camera.unit(up - (up * left).sum(-1, keepdims=True) * left)
    turns = {"Hips": np.stack([left, up, np.cross(left, up)], -1)}  # joint -> its axes in the world [T, 3, 3]
    rest = {"Hips": np.zeros(3)}  # joint -> its place in its parent's axes at rest
    tips, channels = {}, [points["Hips"], _zxy(turns["Hips"])]
    for name, _, parent in RIG:
        if name not in turns:
            goal = ends[name] if name in ENDS else points[children[name][0]]
            bone = camera.rotate((goal - points[name])[:, None], turns[parent].swapaxes(1, 2))[:, 0]
            straight = _rest(name) * np.median(np.sqrt((bone * bone).sum(-1)))
            local = camera.between(np.broadcast_to(straight, bone.shape), bone)
            turns[name] = turns[parent] @ local
            tips[name] = straight
            channels.append(_zxy(local))
    for name, _, parent in RIG[1:]:
        local = camera.rotate((points[name] - points[parent])[:, None], turns[parent].swapaxes(1, 2))[:, 0]
        rest[name] = np.median(local, 0)
    lines = ["HIERARCHY", *_branch("Hips", children, rest, tips, 0)]
    lines += ["MOTION", f"Frames: {len(clip)}", f"Frame Time: {1 / (clip.fps or 30):.9g}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(channels, 1).tolist()]
    return "\n".join(lines) + "\n"


def _rig_points(clip: Motion, person: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Joints of the rig and tips of its ends, float64 [T, 3] in centimetres."""
    if clip.coords != 3:
        raise InputError(clip.source, "2-D joints", "3-D joints, as BVH has them")
    places = clip.joints[:, person].astype(np.float64) * CENTIMETRES.get(clip.unit, 1.0)

    def find(layout: Layout, words: tuple[str, ...]) -> np.ndarray:
        joint = layout.find(*words)
        if joint is None:
            raise InputError(clip.source, f"layout {layout.name} has no {words[0]}", "one like ntu25, trunk and limbs")
        return places[:, joint]

    joints = {name: find(clip.layout, (word,)) for name, word, _ in RIG}
    return joints, {name: find(clip.layout, words) for name, words in ENDS.items()}


def _rest(name: str) -> np.ndarray:
    """Direction of a joint's bone at rest, a T pose: arms aside, legs down, feet ahead."""
    side = 1.0 if name.startswith("Left") else -1.0
    joint = name.removeprefix("Left").removeprefix("Right")
    directions = {
        "Collar": (side, 0, 0),
        "Shoulder": (side, 0, 0),
        "Elbow": (side, 0, 0),
        "Wrist": (side, 0, 0),
        "Hip": (0, -1, 0),
        "Knee": (0, -1, 0),
        "Ankle": (0, -0.45, 0.9),
    }
    return camera.unit(np.array(directions.get(joint, (0, 1, 0)), np.float64))


def _zxy(rotation: np.ndarray) -> np.ndarray:
    """Degrees [T, 3] of R = Rz Rx Ry."""
    r = rotation
    x = np.arcsin(np.clip(r[:, 2, 1], -1, 1))
    z, y = np.arctan2(-r[:, 0, 1], r[:, 1, 1]), np.arctan2(-r[:, 2, 0], r[:, 2, 2])
    return np.degrees(np.stack([z, x, y], 1))


def _branch(
    name: str, children: dict[str, list[str]], rest: dict[str, np.ndarray], tips: dict[str, np.ndarray], depth: int
) -> Iterator[str]:
    """The lines of a joint and of all that hangs on it; RIG lists depth first, so the channels come in its order."""
    pad = "  " * depth
    position = "6 Xposition Yposition Zposition" if depth == 0 else "3"
    yield f"{pad}{'JOINT' if depth else 'ROOT'} {name}"
    yield f"{pad}{{"
    yield f"{pad}  OFFSET " + " ".join(f"{value:.6f}" for value in rest[name])
    yield f"{pad}  CHANNELS {position} Zrotation Xrotation Yrotation"
    for child in children[name]:
        yield from _branch(child, children, rest, tips, depth + 1)
    if name in ENDS:
        yield from (f"{pad}  End Site", f"{pad}  {{")
        yield f"{pad}    OFFSET " + " ".join(f"{value:.6f}" for value in tips[name])
        yield f"{pad}  }}"
    yield f"{pad}}}"
