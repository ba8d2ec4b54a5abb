"""CV-MIM's poses: keypoint profiles, what random cameras see of a body, and distances between poses.

Public points are (x, y) with y downwards (image columns and rows), or (x, y, z) with a named vertical axis. The release
counts (row, column), and in 3-D (right, away from the camera, up): :func:`upright` and :func:`image` convert, nothing
else has to. Profiles and distances do not depend on the order of the axes. Source: Zhao et al. 2021.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..motion import joint_map
from ..motion.layout import Layout, layout
from ..utils.errors import InputError

TINY = 1e-12  # lengths are floored here before a division
BOX = 0.31  # trunk in diagonals of the box around the body, where the trunk itself is not seen: as motion.normalise
JOINTS = 13  # of the 2-D profile


class Profile(NamedTuple):
    """What places a pose and gives it its size.

    Attributes:
        layout: name of the layout of its joints.
        origin: joints whose mean becomes the origin.
        trunk: distances across the trunk, each between the means of two groups of joints.
        across: further distances that count like those.
        whole: the size is the largest of all distances, or their sum.
        unit: what the size becomes.
        picks: the joints that :data:`FLAT` has of it, in its order.
    """

    layout: str
    origin: tuple[int, ...]
    trunk: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    across: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()
    whole: Literal["max", "sum"] = "sum"
    unit: float = 1.0
    picks: tuple[int, ...] = tuple(range(JOINTS))


_SIDES = tuple(((shoulder,), (hip,)) for shoulder in (1, 2) for hip in (7, 8))
FLAT = Profile("pose13", (7, 8), _SIDES, (((1,), (2,)), ((7,), (8,))), "max", 0.5)
SOLID = {
    "pose13": Profile("pose13", (7, 8), (((1, 2), (7, 8)),)),
    "pose16": Profile("pose16", (9,), (((1,), (8,)), ((8,), (9,))), picks=(0, *range(2, 8), *range(10, 16))),
    "pose17": Profile("pose17", (0,), (((0,), (10,)), ((10,), (3,))), picks=(1, *range(4, 10), *range(11, 17))),
}


class Normalised(NamedTuple):
    """``points [..., V, C]`` = (given - ``offset [..., 1, C]``) / ``scale [..., 1, 1]`` * the profile's unit."""

    points: Tensor
    offset: Tensor
    scale: Tensor


def normalise(points: Tensor, profile: Profile, seen: Tensor | None = None) -> Normalised:
    """Origin and size as the profile says; differentiable.

    Args:
        points: ``[..., V, C]`` in the profile's layout.
        seen: ``[..., V]``, 0 = missing. Missing joints come out at the origin and nothing depends on where they are
            said to be: the origin is the mean of what is left of its joints (of all, if none is), the size follows from
            what is left of the distances, or from the box around the body if none across the trunk is left. None: all
            are there.

    Returns:
        poses whose joints all coincide come out as zeros.
    """
    ends, rooted = _plan(profile, points.dtype, points.device)
    if seen is None:
        offset = (rooted @ points).unsqueeze(-2)
        scale = _whole((ends @ points).norm(dim=-1), profile)
        return _scaled(points, offset, scale, profile)
    there = (seen > 0).to(points.dtype)
    points = points * there.unsqueeze(-1)
    chosen = there * (rooted > 0)
    chosen = torch.where((chosen > 0).any(-1, keepdim=True), chosen, there)
    offset = (chosen.unsqueeze(-2) @ points) / chosen.sum(-1).clamp(min=1)[..., None, None]
    known = there @ (ends != 0).to(there).mT == (ends != 0).sum(-1)  # both ends of a distance
    trunk = known[..., : len(profile.trunk)]
    sure = trunk.any(-1) if profile.whole == "max" else trunk.all(-1)
    measured = _whole((ends @ points).norm(dim=-1) * known, profile)
    scale = torch.where(sure[..., None, None], measured, BOX * _diagonal(points, there > 0))
    made = _scaled(points, offset, scale, profile)
    return made._replace(points=made.points * there.unsqueeze(-1))


def _whole(distances: Tensor, profile: Profile) -> Tensor:
    size = distances.amax(-1) if profile.whole == "max" else distances.sum(-1)
    return size[..., None, None]


def _scaled(points: Tensor, offset: Tensor, scale: Tensor, profile: Profile) -> Normalised:
    return Normalised((points - offset) / scale.clamp(min=TINY) * profile.unit, offset, scale)


def _diagonal(points: Tensor, there: Tensor) -> Tensor:
    """Diagonal ``[..., 1, 1]`` of the box around the joints that are there, 0 around none."""
    gone = ~there.unsqueeze(-1)
    low, high = (points.masked_fill(gone, end) for end in (torch.inf, -torch.inf))
    return (high.amax(-2) - low.amin(-2)).clamp(min=0).norm(dim=-1)[..., None, None]


@functools.lru_cache(maxsize=64)
def _plan(profile: Profile, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Differences ``[distances, V]`` that :func:`normalise` measures, and weights ``[V]`` of the origin."""
    size, pairs = len(layout(profile.layout)), profile.trunk + profile.across
    ends, rooted = torch.zeros(len(pairs), size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    for row, (first, second) in zip(ends, pairs):
        row[list(first)] += 1 / len(first)
        row[list(second)] -= 1 / len(second)
    rooted[list(profile.origin)] = 1 / len(profile.origin)
    return ends.to(device, dtype), rooted.to(device, dtype)


# ---- joints of any layout


class Taken(NamedTuple):
    """How the joints of a profile are made from those of a layout.

    Attributes:
        profile: the profile.
        weights: float32 ``[V_profile, V_layout]``; rows of joints that the layout lacks are 0.
    """

    profile: Profile
    weights: Tensor

    def __call__(self, joints: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """``[..., V_layout, C]`` and ``[..., V_layout]`` -> the profile's joints ``[..., V, C]``, those that are
        missing 0, and which are there, bool ``[..., V]``: a joint made from several needs all of them.
        """
        there, weights = (seen > 0).to(joints), self.weights.to(joints)
        sources = (weights > 0).to(joints)
        whole = (there @ sources.mT == sources.sum(1)) & (sources.sum(1) > 0)
        return weights @ (joints * there.unsqueeze(-1)) * whole.unsqueeze(-1), whole


@functools.lru_cache(maxsize=64)
def taken(source: Layout, coords: int, device: torch.device | str = "cpu") -> Taken:
    """The profile that suits a layout, and its joints by name.

    2-D joints get the profile of 2-D poses; 3-D ones ``pose17`` or ``pose16`` if the layout has all of their joints as
    they are, else ``pose13``. Joints of the limbs and the head may lack: they then count as never seen.

    Raises:
        InputError: a layout without shoulders or hips.
    """
    for name in ("pose17", "pose16") if coords == 3 else ():
        mapping = joint_map.joint_map(source, layout(name))
        if not mapping.missing and not mapping.virtual:
            return Taken(SOLID[name], torch.from_numpy(mapping.weights).to(device))
    profile = SOLID["pose13"] if coords == 3 else FLAT
    mapping = joint_map.joint_map(source, layout(profile.layout))
    lost = [name for name in mapping.missing if mapping.target.joints.index(name) in (1, 2, 7, 8)]
    if lost:
        raise InputError(
            f"layout {source.name}",
            f"no joint for {', '.join(lost)}",
            "shoulders and hips",
            "Name them with a map file: kineme prepare SRC DEST --layout pose13 --map FILE",
        )
    return Taken(profile, torch.from_numpy(mapping.weights).to(device))


def pick(each: Tensor, profile: Profile, axis: int = -1) -> Tensor:
    """The 13 joints of the 2-D profile out of a profile's joints along an axis."""
    return each if profile.layout == FLAT.layout else each.index_select(axis, _picks(profile, each.device))


@functools.lru_cache(maxsize=64)
def _picks(profile: Profile, device: torch.device) -> Tensor:
    return torch.tensor(profile.picks, device=device)


def trunk_seen(seen: Tensor, profile: Profile) -> Tensor:
    """Whether a pose can be placed and measured as published: origin and all distances. ``[..., V]`` -> ``[...]``."""
    ends, rooted = _plan(profile, torch.float32, seen.device)
    needed = (ends != 0).any(0) | (rooted > 0)
    return ((seen > 0) | ~needed).all(-1)


# ---- random cameras


# ---- distances between poses


def mpjpe(source: Tensor, target: Tensor) -> Tensor:
    """Mean distance of corresponding joints: ``[..., V, C]`` twice, broadcast -> ``[...]``."""
    return (source - target).norm(dim=-1).mean(-1)


def pa_mpjpe(source: Tensor, target: Tensor) -> Tensor:
    """:func:`mpjpe` once the source is turned, scaled and moved onto the target as well as can be."""
    return mpjpe(procrustes(source, target), target)


def procrustes(source: Tensor, target: Tensor) -> Tensor:
    """The source turned (never mirrored), scaled and moved so that squared distances to the target are least.

    Args:
        source, target: ``[..., V, C]``, leading axes broadcast. Of a source whose joints coincide all go to the
            target's mean.
    """
    middle = target.mean(-2, keepdim=True)
    a, b = source - source.mean(-2, keepdim=True), target - middle
    u, s, vh = torch.linalg.svd(a.mT @ b)
    sign = torch.ones_like(s)
    sign[..., -1] = torch.linalg.det(u @ vh).sign()
    turn = (u * sign.unsqueeze(-2)) @ vh
    size = (s * sign).sum(-1) / a.square().sum((-1, -2)).clamp(min=TINY)
    return size[..., None, None] * (a @ turn) + middle
