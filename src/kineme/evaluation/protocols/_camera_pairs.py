"""Single poses seen by two cameras: drawn ones around 3-D poses, or the synchronous ones that recorded them."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from ...data.clip_table import text
from ...data.store import Store
from ...motion.layout import layout
from ...motion.motion import Motion
from ...utils.errors import InputError
from ...views import keypoints, random_cameras
from ...views.batch import Batch
from ...views.pose_pairs import Pairs
from ...views.source import ClipLoader

SCAN = 4  # candidates that are looked at for every pose that is wanted


class Shots(NamedTuple):
    """n poses, each seen by two cameras.

    Attributes:
        first, second: what the two cameras see, 2-D; frame i of both is pose i. Recorded ones have the camera's name.
        body: float32 ``[n, V, 3]``, the poses themselves, normalised (trunk of length 1); None of recorded ones.
        azimuth: float32 ``[n]``, radians in [0, 2 pi): from where the first camera sees the body, relative to the way
            the body faces, 0 from its front; None of recorded ones.
    """

    first: Motion
    second: Motion
    body: Tensor | None = None
    azimuth: Tensor | None = None


def draw(store: Store, rows: np.ndarray, n: int, cameras: random_cameras.CameraSettings, gen: Generator) -> Shots:
    """Up to ``n`` different 3-D poses of person 0 out of the clips ``rows``, two cameras drawn for each.

    Raises:
        InputError: fewer than two poses with shoulders and hips; nobody knows which axis is up.
    """
    source = ClipLoader(store, rows=rows, resident=False)
    pairs = Pairs(source, cameras)
    numbers = _usable(pairs, source.frame_numbers(source.rows), n, gen)
    if len(numbers) < 2:
        raise InputError(store.path, f"{len(numbers)} poses with shoulders and hips", "two or more")
    drawn = pairs.draw(numbers, gen)
    body = pairs.bodies(numbers).joints[:, 0, 0]
    faces = heading(random_cameras.upright(body, source.up, source.upward), pairs.profile)
    turned = faces + drawn.cameras.angles[: len(numbers), 0] + torch.pi / 2  # the cameras look along the second axis
    return Shots(*_halves(pairs.views(drawn)), body, turned.remainder(2 * torch.pi))


def recorded(store: Store, rows: np.ndarray, n: int, gen: Generator) -> list[Shots]:
    """Moments that two cameras recorded (``views.pose_pairs.partners``) in a store of 2-D poses: for every two cameras
    equally many, up to ``n``.

    Raises:
        InputError: no two cameras recorded two moments together.
    """
    camera = np.array([text(name) or "" for name in store.column("camera")[rows].tolist()], object)
    found = []
    for one, other in itertools.combinations(sorted({*camera} - {""}), 2):
        source = ClipLoader(store, rows=rows[(camera == one) | (camera == other)], resident=False)
        pairs = Pairs(source, random_cameras.CameraSettings())
        numbers = _usable(pairs, source.frame_numbers(torch.from_numpy(rows[camera == one])), n, gen)
        if len(numbers) > 1:
            first, second = _halves(pairs.views(pairs.draw(numbers, gen)))
            found.append(Shots(first.with_(camera=one), second.with_(camera=other)))
    if not found:
        raise InputError(
            store.path,
            "no moments that two cameras recorded",
            "3-D poses, or 2-D ones of synchronous "
            "cameras: clips of one length that share their performance and differ in their camera",
        )
    least = min(len(shots.first) for shots in found)
    return [Shots(shots.first.slice(0, least), shots.second.slice(0, least)) for shots in found]


def heading(body: Tensor, profile: keypoints.Profile) -> Tensor:
    """The way a body faces, radians about the vertical: ``[..., V, 3]`` (right, away, up) -> ``[...]``."""
    joints = layout(profile.layout).joints
    left, right = ([joints.index(f"{side}_{part}") for part in ("shoulder", "hip")] for side in ("left", "right"))
    across = (body[..., left, :] - body[..., right, :]).sum(-2)
    return torch.atan2(-across[..., 0], across[..., 1])  # its left, turned clockwise as seen from above


def upright(motion: Motion) -> Motion:
    """2-D poses with their roots in one place and of one size, as they are drawn."""
    joints, seen = (torch.from_numpy(array[:, 0]) for array in (motion.joints, motion.confidence))
    return motion.with_(joints=keypoints.normalise(joints, keypoints.FLAT, seen).points[:, None].numpy())


def _usable(pairs: Pairs, numbers: Tensor, n: int, gen: Generator) -> Tensor:
    """Up to ``n`` of these frames that make a pair, in random order; not all that there are have to be looked at."""
    numbers = numbers[torch.randperm(len(numbers), generator=gen)][: SCAN * n]
    return numbers[pairs.usable(numbers)][:n]


def _halves(views: Batch) -> tuple[Motion, Motion]:
    """Two views of n poses, ``[2 n, 1, 1, 13, 2]``, as two motions of n frames."""
    joints, seen = views.joints[:, 0].numpy(), views.confidence[:, 0].numpy()
    half = len(views) // 2
    first, second = (
        Motion(joints[part], layout(keypoints.FLAT.layout), seen[part], up="-y")
        for part in (slice(half), slice(half, None))
    )
    return first, second
