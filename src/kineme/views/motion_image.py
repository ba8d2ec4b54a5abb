"""Skeleton motion images: how every joint moves from frame to frame, laid out as a picture.

Source: SkeleMotion (Caetano et al. 2019), as P-HLVC (Schneider et al. 2022) uses it. One axis is time, the other a walk
over the body on which neighbours are joined by a bone; a joint that the walk passes twice stands there twice.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..motion.layout import Layout, layout
from ..motion.size import TORSO, first

ENTRIES = 49  # of the published walks
STILL = 1.1  # all three angles of a joint that does not move: above their range
LEAST = 0.004  # movement for each frame of distance below which a joint does not move
FULL_TURN = 360.0
TINY = 1e-12

WALKS = {
    "ntu25": """spine_mid spine_shoulder neck head neck spine_shoulder
        left_shoulder left_elbow left_wrist left_hand left_hand_tip left_thumb left_hand_tip
        left_hand left_wrist left_elbow left_shoulder spine_shoulder
        right_shoulder right_elbow right_wrist right_hand right_hand_tip right_thumb right_hand_tip
        right_hand right_wrist right_elbow right_shoulder spine_shoulder spine_mid spine_base
        left_hip left_knee left_ankle left_foot left_ankle left_knee left_hip spine_base
        right_hip right_knee right_ankle right_foot right_ankle right_knee right_hip spine_base spine_mid""",
    "openpose18": """right_hip neck left_hip neck nose neck neck
        left_shoulder left_shoulder left_elbow left_elbow left_wrist left_wrist left_shoulder left_wrist neck
        left_elbow neck neck right_shoulder right_shoulder right_elbow right_elbow right_wrist right_wrist
        right_shoulder right_wrist neck right_elbow neck neck
        left_hip left_hip left_knee left_knee left_ankle neck
        right_hip right_hip right_knee right_knee right_ankle
        right_wrist nose left_wrist right_wrist right_ankle left_ankle left_wrist""",
}
"""The published walks, by the joints' names in the layouts that they were made for."""


class Image(NamedTuple):
    """Motion images, and whose they are.

    Attributes:
        values: ``[B, M, channels, T, entries]``.
        magnitude: ``[B, M]``, all movement of a person; 0 for one who stands still or is absent.
    """

    values: Tensor
    magnitude: Tensor


def walk(joints: Layout, entries: int = ENTRIES) -> tuple[int, ...]:
    """The joints along an image, neighbours in the body side by side.

    A layout that has all joints of a published walk, by their canonical names, takes that. Any other is walked through
    depth first from where its tree begins, passing a joint again on the way back; where that is longer than the image,
    every joint once. It is then stretched, so that some entries repeat. Of a layout with more joints than entries, some
    have no place; :func:`left_out` names them.

    Args:
        joints: the layout.
        entries: width of the image; the published walks have 49.

    Returns:
        joint numbers, ``entries`` of them.

    Examples:
        >>> walk(layout("ntu25"))[:4]
        (1, 20, 2, 3)
    """
    for name, text in WALKS.items():
        found = [joints.find(word) for word in _canonical(name, text)]
        if len(found) == entries and None not in found:
            return tuple(joint for joint in found if joint is not None)
    tour = list(_tour(joints.parents))
    if len(tour) > entries:
        tour = list(dict.fromkeys(tour))
    return tuple(tour[i * len(tour) // entries] for i in range(entries))


def left_out(joints: Layout, order: tuple[int, ...]) -> list[str]:
    """Joints that a walk does not pass; the published one of OpenPose leaves out eyes and ears."""
    return [name for i, name in enumerate(joints.joints) if i not in order]


def channels(distances: tuple[int, ...], faithful: bool) -> int:
    """Channels of :func:`motion_image`."""
    return 6 if faithful and len(distances) == 1 else 4 * len(distances)


@torch.no_grad()
def motion_image(
    joints: Tensor,
    confidence: Tensor,
    order: tuple[int, ...],
    distances: tuple[int, ...] = (1,),
    *,
    faithful: bool = False,
) -> Image:
    """How every joint moves (Caetano et al. 2019, equations 1 to 3).

    With ``d = p(t) - p(t + s)``, 0 in the last s frames and where a joint is missing at either end: three angles
    ``atan2(dy, dx), atan2(dy, dz), atan2(dz, dx)``, a whole turn as 0 to 1, then the magnitude ``min(1, |d|)``. Where
    that is below 0.004 s the angles are 1.1. Of 2-D joints z is 0.

    Args:
        joints: ``[B, T, M, V, C]``, y upwards; coordinates in an image by :func:`in_image`.
        confidence: ``[B, T, M, V]``; 0 = missing.
        order: joint numbers along the image, of :func:`walk`.
        distances: every s, in frames.
        faithful: with one distance the magnitude is written three times, as in the authors' code: six channels.

    Returns:
        :class:`Image`; channels are the three angles of every distance, then the magnitudes.

    Examples:
        >>> still = torch.ones(1, 8, 1, 25, 3)
        >>> motion_image(still, still[..., 0], walk(layout("ntu25"))).values[0, 0, :, 0, 0].tolist()
        [1.100000023841858, 1.100000023841858, 1.100000023841858, 0.0]
    """
    index = torch.tensor(order, device=joints.device)
    # [B, M, C, T, entries]: what is worked on lies side by side
    points, seen = joints[..., index, :].permute(0, 2, 4, 1, 3), confidence[..., index].transpose(1, 2) > 0
    angles, magnitudes, frames = [], [], joints.shape[1]
    for s in distances:
        step = torch.zeros_like(points)
        if s < frames:
            both = (seen[:, :, :-s] & seen[:, :, s:]).unsqueeze(2)
            step[..., :-s, :] = torch.where(both, points[..., :-s, :] - points[..., s:, :], 0)
        x, y = step[:, :, 0], step[:, :, 1]
        z = step[:, :, 2] if step.shape[2] == 3 else torch.zeros_like(x)
        size = step.square().sum(2).sqrt().clamp(max=1)
        turns = torch.stack([torch.atan2(y, x), torch.atan2(y, z), torch.atan2(z, x)], 2).rad2deg() / FULL_TURN + 0.5
        angles.append(torch.where((size < LEAST * s).unsqueeze(2), STILL, turns))
        magnitudes.append(size)
    moved = torch.stack(magnitudes, 2)
    repeated = moved.expand(-1, -1, 3, -1, -1) if faithful and len(distances) == 1 else moved
    return Image(torch.cat([*angles, repeated], 2), moved.sum((2, 3, 4)))


def in_image(joints: Tensor, sizes: Tensor) -> Tensor:
    """Pixels as shares of the picture, y upwards.

    Args:
        joints: ``[B, T, M, V, 2]``, y downwards.
        sizes: ``[B, 2]`` width and height of each clip's picture; 1 where coordinates are shares already.
    """
    scale = torch.stack([1 / sizes[:, 0], -1 / sizes[:, 1]], 1).to(joints)
    return joints * scale[:, None, None, None]


def by_torso(joints: Tensor, confidence: Tensor, body: Layout) -> Tensor:
    """Every person's coordinates divided by the median length of the torso (root to shoulders) over the frames.

    Where a torso is never seen, the median distance of the joints from their middle stands for it.

    Args:
        joints: ``[B, T, M, V, C]``.
        confidence: ``[B, T, M, V]``.
        body: the layout.
    """
    low, high = _place(joints, confidence, body.root), _place(joints, confidence, first(body, TORSO) or body.root)
    length = (high - low).norm(dim=-1)
    torso = torch.where(length > 0, length, torch.nan).nanmedian(1).values  # [B, M]
    seen = (confidence > 0).unsqueeze(-1)
    middle = (joints * seen).sum(3, keepdim=True) / seen.sum(3, keepdim=True).clamp(min=1)
    spread = torch.where(seen, joints - middle, torch.nan).norm(dim=-1).flatten(3).nanmedian(-1).values
    spread = torch.where(spread > 0, spread, torch.nan).nanmedian(1).values
    size = torch.where(torso > 0, torso, torch.where(spread > 0, spread, 1.0))
    return joints / size.clamp(min=TINY)[:, None, :, None, None]


def _place(joints: Tensor, confidence: Tensor, which: tuple[int, ...]) -> Tensor:
    """Mean of some joints ``[B, T, M, C]``; NaN where one of them is missing."""
    index = torch.tensor(which, device=joints.device)
    seen = (confidence[..., index] > 0).all(-1, keepdim=True)
    return torch.where(seen, joints[..., index, :].mean(-2), torch.nan)


@functools.cache
def _canonical(name: str, text: str) -> tuple[str, ...]:
    published = layout(name)
    return tuple(published.canonical_names[published.joints.index(word)] for word in text.split())


def _tour(parents: tuple[int, ...]) -> Iterator[int]:
    """Every joint of every tree, and each joint again after every one of its children."""
    children: list[list[int]] = [[] for _ in parents]
    for joint, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(joint)
    for root in (joint for joint, parent in enumerate(parents) if parent < 0):
        path = [(root, iter(children[root]))]  # no recursion: a chain may be long
        yield root
        while path:
            below = next(path[-1][1], None)
            if below is not None:
                yield below
                path.append((below, iter(children[below])))
            else:
                path.pop()
                if path:
                    yield path[-1][0]
