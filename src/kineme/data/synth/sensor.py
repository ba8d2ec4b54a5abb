"""Synthetic cameras and sensors: where they stand, what they see, and what they get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...motion import camera
from ...motion.layout import Layout
from ...motion.motion import Motion
from .actions import PAIRS, action_names
from .body import body
from .stage import Take, generator, subject_of

FOCAL = 0.552  # focal length in image widths: the colour camera of the Kinect v2


CAMERAS = np.array(
    [  # azimuth and elevation in degrees, distance in metres
        (0, 6, 3.3),
        (40, 14, 3.6),
        (-40, 10, 3.1),
        (80, 8, 3.5),
        (-80, 16, 3.3),
        (150, 10, 3.7),
        (-150, 6, 3.4),
        (25, 24, 4.0),
    ]
)


DRIFT = np.array([9, 4, 0.35, 2])  # how far a camera may be moved between performances: the same, and roll


SOLIDS = (  # what hides joints from a camera: capsules between two points, radius in metres
    ("pelvis", "chest", 0.12),
    ("neck", "head_top", 0.09),
    *(
        (f"{side}_{first}", f"{side}_{second}", radius)
        for side in ("left", "right")
        for first, second, radius in (
            ("hip", "knee", 0.07),
            ("knee", "ankle", 0.05),
            ("shoulder", "elbow", 0.05),
            ("elbow", "hand", 0.04),
        )
    ),
)


class Stage(NamedTuple):
    """Takes as they were played: ``made`` from :func:`_perform`, ``known`` and ``joints`` from :func:`_joints`."""

    takes: list[Take]
    made: np.ndarray
    layout: Layout
    known: np.ndarray
    joints: np.ndarray
    seed: int
    fps: float


def film(stage: Stage, view: int | None, sensor: Sensor) -> list[Motion]:
    """What one camera sees; without a view, what is there."""
    takes, made, joints = stage.takes, stage.made, stage.joints
    number = len(CAMERAS) if view is None else view
    rngs = [generator(stage.seed, 4, take.action, take.subject, take.repetition, number) for take in takes]
    n, frames, persons = joints.shape[:3]
    hidden = np.zeros(joints.shape[:4], bool)
    if view is not None:
        azimuth, elevation, distance, roll = _stations(view, rngs)
        eyes = camera.orbit(azimuth, elevation, distance, np.tile(np.array((0, 1, 0), np.float32), (n, 1)), roll)
        joints = camera.see(joints.reshape(n, -1, 3), eyes).reshape(joints.shape)
    if sensor.occlusion:
        ends = [[body().joints.index(name) for name in solid[:2]] for solid in SOLIDS]
        solids = camera.see(made[:, :, ends].transpose(0, 5, 1, 2, 3, 4).reshape(n, -1, 3), eyes)
        hidden = _behind(joints, solids.reshape(n, frames, persons * len(SOLIDS), 2, 3))
    up, unit = ("+y", "m") if sensor.image_size is None else ("-y", "px")
    motions = []
    for i, (take, rng) in enumerate(zip(takes, rngs)):
        shape = slice(take.frames), slice(2 if take.action in PAIRS else 1)
        xyz, confidence = sensor.sense(joints[i][shape], hidden[i][shape], rng)
        confidence *= stage.known
        xyz[confidence == 0] = 0
        performance = f"a{action_names().index(take.action) + 1:02d}_s{take.subject + 1:02d}_e{take.repetition:02d}"
        style = "left" if subject_of(stage.seed, take.subject).left_handed else "right"
        motions.append(
            Motion(
                xyz,
                stage.layout,
                confidence,
                fps=float(stage.fps),
                up=up,
                unit=unit,
                image_size=sensor.image_size,
                label=take.action,
                subject=take.subject + 1,
                camera=None if view is None else view + 1,
                source=performance if view is None else f"{performance}_v{view + 1:02d}",
                extra={"dataset": "synth", "repetition": take.repetition, "performance": performance, "style": style},
            )
        )
    return motions


def _stations(view: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Azimuth, elevation, distance (metres) and roll of one camera for each take: float32 [4, n], radians."""
    base = np.array([*CAMERAS[view], 0.0])
    drawn = base + DRIFT * np.stack([rng.uniform(-1, 1, 4) for rng in rngs])
    return (drawn * [np.pi / 180, np.pi / 180, 1, np.pi / 180]).astype(np.float32).T


def _behind(joints: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which joints lie behind a body part as the camera sees it.

    Args:
        joints: [n, T, M, V, 3] in the camera's frame.
        ends: [n, T, M * S, 2, 3] ends of the solid parts there.

    Returns:
        bool [n, T, M, V]
    """
    depth = np.sqrt((joints * joints).sum(-1))
    ray = joints / np.maximum(depth, 1e-6)[..., None]
    hidden = np.zeros(depth.shape, bool)
    for solid in range(ends.shape[2]):
        first, second = (ends[:, :, solid, None, None, end] for end in (0, 1))
        radius = np.float32(SOLIDS[solid % len(SOLIDS)][2])
        near, far = (first * ray).sum(-1), (second * ray).sum(-1)  # along the ray
        start, along = first - near[..., None] * ray, (second - first) - (far - near)[..., None] * ray
        share = np.clip(-(start * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-9), 0, 1)
        miss = start + share[..., None] * along
        hidden |= ((miss * miss).sum(-1) < radius * radius) & (near + share * (far - near) < depth - radius - 0.03)
    return hidden


class Sensor(NamedTuple):
    """What comes between a body and its record; see :func:`generate`."""

    noise: float
    dropout: float
    occlusion: float
    image_size: tuple[int, int] | None

    def sense(self, joints: np.ndarray, hidden: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Joints [T, M, V, 3] in the camera's frame, and which are hidden -> joints [T, M, V, 2 or 3], confidence."""
        confidence = np.where(hidden, np.float32(0.5), np.float32(1))
        if self.noise:
            size = 0.01 * self.noise * (joints[..., 2:] / 3) ** 2 * np.where(hidden, 3, 1)[..., None] * (1, 1, 1.5)
            joints = joints + size.astype(np.float32) * rng.standard_normal(joints.shape, np.float32)
        if self.occlusion:
            confidence[hidden & (rng.random(joints.shape[1:3]) < self.occlusion)] = 0
        if self.dropout:
            confidence[_runs(rng, joints.shape[:3], self.dropout)] = 0
        if self.image_size is None:
            return np.array(joints), confidence
        image = camera.pixels(joints, FOCAL * self.image_size[0], self.image_size)
        confidence[((image < 0) | (image > self.image_size)).any(-1)] = 0
        return image, confidence


def _runs(rng: np.random.Generator, shape: tuple[int, ...], share: float, run: int = 6) -> np.ndarray:
    """Missing joints [T, M, V]: runs of frames, a quarter of the share as whole frames; one frame always stays."""
    frames = share / 4
    alone = 1 - (1 - share) / (1 - frames)
    missing = np.zeros(shape, bool)
    for part, place in ((alone, shape[1:]), (frames, (1, 1))):
        begin = rng.random((shape[0] + run - 1, *place)) < 1 - (1 - part) ** (1 / run)
        missing |= np.logical_or.reduce([begin[i : i + shape[0]] for i in range(run)])
    if missing.all():
        missing[shape[0] // 2] = False
    return missing
