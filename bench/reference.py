"""Plain reference implementations of the data side, for ``kineme bench`` to measure against.

Each does what the released preprocessing or loader does, the way it does it: one file, one sample, one frame, one joint
at a time. Nothing is slower than that on purpose. The training step is in ``reference_step.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

BODY = (
    "bodyID",
    "clipedEdges",
    "handLeftConfidence",
    "handLeftState",
    "handRightConfidence",
    "handRightState",
    "isRestricted",
    "leanX",
    "leanY",
    "trackingState",
)
JOINT = (
    "x",
    "y",
    "z",
    "depthX",
    "depthY",
    "colorX",
    "colorY",
    "orientationW",
    "orientationX",
    "orientationY",
    "orientationZ",
    "trackingState",
)
# The parent of every joint, numbered from 1 (Dong et al. 2023).
PARENTS = (2, 21, 21, 3, 21, 5, 6, 7, 21, 9, 10, 11, 1, 13, 14, 15, 1, 17, 18, 19, 21, 23, 8, 25, 12)


# ---- reading a .skeleton file


def parse_skeleton(path: str | Path) -> list[list[dict]]:
    """Dictionaries for every frame, body and joint of a file, read line by line (Dong et al. 2023).

    Returns:
        For each frame its bodies; a body has its ten values by name, and ``joints``: a list of dictionaries.
    """
    frames = []
    with open(path) as file:
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                body: dict = {name: float(value) for name, value in zip(BODY, file.readline().split())}
                body["joints"] = [
                    {name: float(value) for name, value in zip(JOINT, file.readline().split())}
                    for _ in range(int(file.readline()))
                ]
                bodies.append(body)
            frames.append(bodies)
    return frames


def skeleton_array(frames: list[list[dict]], slots: int = 4, joints: int = 25) -> np.ndarray:
    """Coordinates by slot, float32 ``[slots, T, joints, 3]``, absent = 0 (Dong et al. 2023, item 1)."""
    data = np.zeros((slots, len(frames), joints, 3), np.float32)
    for t, bodies in enumerate(frames):
        for slot, body in enumerate(bodies[:slots]):
            for v, joint in enumerate(body["joints"][:joints]):
                data[slot, t, v] = joint["x"], joint["y"], joint["z"]
    return data


def read_skeleton(path: str | Path) -> np.ndarray:
    """A file's coordinates by slot, float32 ``[4, T, 25, 3]``: :func:`parse_skeleton`, then :func:`skeleton_array`."""
    return skeleton_array(parse_skeleton(path))


# ---- preprocessing one sample


def select_bodies(slots: np.ndarray, keep: int = 2) -> np.ndarray:
    """The bodies of most energy (Dong et al. 2023, items 2 and 3): ``[S, T, V, 3]`` -> ``[keep, T, V, 3]``."""
    energy = []
    for body in slots:
        there = np.array([frame.sum() != 0 for frame in body])
        moving = body[there]
        energy.append(sum(moving[..., c].std() for c in range(3)) if len(moving) else 0)
    return slots[np.array(energy).argsort()[::-1][:keep]]


def normalise(bodies: np.ndarray, length: int = 300) -> np.ndarray:
    """Null frames, centring and both rotations of one sample (Dong et al. 2023).

    Args:
        bodies: float32 ``[M, T, 25, 3]``, T at most ``length``.

    Returns:
        float32 ``[M, length, 25, 3]``.
    """
    data = np.zeros((bodies.shape[0], length, *bodies.shape[2:]), np.float32)
    data[:, : bodies.shape[1]] = bodies
    for person in data:
        _fill_null_frames(person)
    _centre(data)
    _rotate(data, 0, 1, np.array([0.0, 0.0, 1.0]))
    _rotate(data, 4, 8, np.array([1.0, 0.0, 0.0]))
    return data


def _fill_null_frames(person: np.ndarray) -> None:
    """Step a, in place."""
    if person.sum() == 0:
        return
    if person[0].sum() == 0:
        there = np.array([frame.sum() != 0 for frame in person])
        kept = person[there].copy()
        person[:] = 0
        person[: len(kept)] = kept
    for t, frame in enumerate(person):
        if frame.sum() == 0 and person[t:].sum() == 0:
            rest = len(person) - t
            repeats = -(-rest // t)
            person[t:] = np.concatenate([person[:t]] * repeats)[:rest]
            return


def _centre(data: np.ndarray) -> None:
    """Step b, in place: frame by frame, relative to joint 1 of person 0; empty joints stay 0."""
    centre = data[0, :, 1:2].copy()
    for person in data:
        if person.sum() == 0:
            continue
        mask = (person.sum(-1) != 0)[..., None]
        person[:] = (person - centre) * mask


def _rotate(data: np.ndarray, begin: int, end: int, target: np.ndarray) -> None:
    """Steps c and d, in place: turn the vector begin -> end of person 0 in frame 0 to ``target``, joint by joint."""
    matrix = _rotation(data[0, 0, end].astype(np.float64) - data[0, 0, begin], target)
    for person in data:
        if person.sum() == 0:
            continue
        for frame in person:
            if frame.sum() == 0:
                continue
            for v, joint in enumerate(frame):
                frame[v] = np.dot(matrix, joint)


def _rotation(vector: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest rotation from a vector to a unit vector; the identity for parallel and opposite ones."""
    axis = np.cross(vector, target)
    if np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    angle = np.arccos(np.clip(np.dot(vector / np.linalg.norm(vector), target), -1.0, 1.0))
    if abs(angle) < 1e-6:
        return np.eye(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


# ---- views of one sample


@dataclass(frozen=True)
class Draw:
    """What is random about one view (Dong et al. 2023).

    Attributes:
        start, length: the frames that are kept.
        shear: the matrix; None = joints are corrupted instead.
        joints: those that are corrupted.
        linear: the map of the corrupted joints, from the right; None = they become 0.
    """

    start: int
    length: int
    shear: np.ndarray | None = None
    joints: np.ndarray | None = None
    linear: np.ndarray | None = None


def draw_view(num_frame: int, rng: np.random.Generator, joints: int = 25, corrupted: int = 15) -> Draw:
    """Random crop, and with equal probability a shear or a corruption of joints (Dong et al. 2023)."""
    length = min(max(int(np.floor(num_frame * rng.uniform(0.1, 1.0))), 64), num_frame)
    start = int(rng.integers(0, num_frame - length + 1))
    if rng.random() >= 0.5:
        matrix = np.eye(3)
        matrix[~np.eye(3, dtype=bool)] = rng.uniform(-1, 1, 6)
        return Draw(start, length, shear=matrix)
    chosen = rng.choice(joints, corrupted, replace=False)
    linear = None if rng.random() < 0.5 else rng.uniform(-1, 1, (3, 3))
    return Draw(start, length, joints=chosen, linear=linear)


def view(sequence: np.ndarray, draw: Draw, stream: str = "joint", frames: int = 64) -> np.ndarray:
    """One augmented view of a stored sample: crop and resize, shear or corruption, stream (Dong et al. 2023, 3, 2.7).

    Args:
        sequence: float32 ``[3, 300, 25, 2]``.
        stream: ``joint``, ``bone`` or ``motion``.

    Returns:
        float32 ``[3, frames, 25, 2]``, the item that a HaLP or CMD loader gives.
    """
    data = crop_resize(sequence, draw.start, draw.length, frames)
    if draw.shear is not None:
        data = shear(data, draw.shear)
    if draw.joints is not None:
        data = corrupt(data, draw.joints, draw.linear)
    return to_stream(data, stream)


def hico_item(
    sequence: np.ndarray, num_frame: int, rng: np.random.Generator, stream: str = "joint"
) -> tuple[np.ndarray, ...]:
    """What a HiCo loader gives for one sample: two views, each time-major and space-major (Dong et al. 2023, 2.7, 3).

    Returns:
        float32 ``[64, 150]``, ``[50, 192]`` of the query view, then of the key view.
    """
    query = view(sequence, draw_view(num_frame, rng), stream)
    key = view(sequence, draw_view(num_frame, rng), stream)
    return time_major(query), space_major(query), time_major(key), space_major(key)


def halp_item(sequence: np.ndarray, num_frame: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What a HaLP or CMD loader gives for one sample: two views of the joints ``[3, 64, 25, 2]``."""
    return view(sequence, draw_view(num_frame, rng)), view(sequence, draw_view(num_frame, rng))


def crop_resize(sequence: np.ndarray, start: int, length: int, frames: int = 64) -> np.ndarray:
    """Frames ``start .. start + length - 1``, resized linearly with half-pixel centres (Dong et al. 2023)."""
    crop = sequence[:, start : start + length]
    place = np.clip((np.arange(frames) + 0.5) * (length / frames) - 0.5, 0, length - 1)
    before = place.astype(np.int64)
    after = np.minimum(before + 1, length - 1)
    weight = (place - before).astype(np.float32)[None, :, None, None]
    return crop[:, before] * (1 - weight) + crop[:, after] * weight


def shear(data: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The matrix times every joint (Dong et al. 2023)."""
    return np.dot(data.transpose(1, 2, 3, 0), matrix.T).transpose(3, 0, 1, 2).astype(np.float32)


def corrupt(data: np.ndarray, joints: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Some joints set to zero, or multiplied by the matrix as row vectors (Dong et al. 2023)."""
    data = data.copy()
    if matrix is None:
        data[:, :, joints] = 0
    else:
        data[:, :, joints] = np.dot(data[:, :, joints].transpose(1, 2, 3, 0), matrix).transpose(3, 0, 1, 2)
    return data


def to_stream(data: np.ndarray, stream: str) -> np.ndarray:
    """Joints, bones pair by pair, or forward differences with a zero last frame (Dong et al. 2023)."""
    if stream == "joint":
        return data
    made = np.zeros_like(data)
    if stream == "motion":
        made[:, :-1] = data[:, 1:] - data[:, :-1]
    else:
        for joint, parent in enumerate(PARENTS):
            made[:, :, joint] = data[:, :, joint] - data[:, :, parent - 1]
    return made


def time_major(data: np.ndarray) -> np.ndarray:
    """``[3, T, V, M]`` -> ``[T, M * V * 3]``: person slowest, axis fastest (Dong et al. 2023)."""
    return np.ascontiguousarray(data.transpose(1, 3, 2, 0)).reshape(data.shape[1], -1)


def space_major(data: np.ndarray) -> np.ndarray:
    """``[3, T, V, M]`` -> ``[M * V, T * 3]``: inside a row frame slowest, axis fastest (Dong et al. 2023)."""
    return np.ascontiguousarray(data.transpose(3, 2, 1, 0)).reshape(data.shape[2] * data.shape[3], -1)
