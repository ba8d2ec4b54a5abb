"""CV-MIM's poses: keypoint profiles, what random cameras see of a body, and distances between poses.

Public points are (x, y) with y downwards (image columns and rows), or (x, y, z) with a named vertical axis. The release
counts (row, column), and in 3-D (right, away from the camera, up): :func:`upright` and :func:`image` convert, nothing
else has to. Profiles and distances do not depend on the order of the axes. Source: spec ``cv_mim.md``, section 1.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from ..motion import camera
from ..motion import layout as skeleton
from ..motion.layout import Layout, layout
from ..utils.errors import InputError
from ..utils.settings import positive

TINY = 1e-12  # lengths are floored here before a division
BOX = 0.31  # trunk in diagonals of the box around the body, where the trunk itself is not seen: as kineme.normalise
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
        mapping = skeleton.joint_map(source, layout(name))
        if not mapping.missing and not mapping.virtual:
            return Taken(SOLID[name], torch.from_numpy(mapping.weights).to(device))
    profile = SOLID["pose13"] if coords == 3 else FLAT
    mapping = skeleton.joint_map(source, layout(profile.layout))
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


@dataclass(frozen=True)
class CameraSettings:
    """How the cameras of CV-MIM are drawn; the defaults are the published ones (spec, 1.3).

    Attributes:
        azimuth, elevation, roll: degrees, uniform to either side.
        frame: ``body``, as released: the body is tilted about its own second ("elevation") and first axis ("roll"),
            then turned about the vertical. ``camera``: it is turned first; then elevation is the camera's height above
            the horizon and roll its turn about the optical axis.
        near, far: the distance from the pelvis is uniform between them, in lengths of the trunk.
        clear: the camera steps back until no joint is nearer to it than this, in lengths of the trunk. 0, as released:
            a limb may reach behind the camera, and is then seen in the far distance.
        hide: probability of every joint to be hidden.

    Raises:
        InputError: a value outside its range.
    """

    azimuth: float = 180.0
    elevation: float = 30.0
    roll: float = 30.0
    frame: Literal["body", "camera"] = "body"
    near: float = 2.0
    far: float = 2.0
    clear: float = 0.5
    hide: float = 0.0

    def __post_init__(self):
        positive(self, "cameras", "near")
        wanted = {"azimuth": (0, 180), "elevation": (0, 180), "roll": (0, 180), "clear": (0, self.near), "hide": (0, 1)}
        wanted["far"] = (self.near, float("inf"))
        for name, (low, high) in wanted.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"cameras.{name}", f"{getattr(self, name)}", f"{low} to {high}")


class Cameras(NamedTuple):
    """All that is random about the cameras of one batch, on the CPU.

    Attributes:
        angles: float32 ``[B, 3]`` azimuth, elevation, roll in radians.
        distance: float32 ``[B]`` in lengths of the trunk.
        hidden: bool ``[B, 13]``; None = nothing.
        frame, clear: see :class:`CameraSettings`.
    """

    angles: Tensor
    distance: Tensor
    hidden: Tensor | None = None
    frame: str = "body"
    clear: float = 0.0

    def to(self, device: torch.device) -> Cameras:
        """On another device."""
        angles, distance, hidden = (x if x is None else x.to(device, non_blocking=True) for x in self[:3])
        return self._replace(angles=angles, distance=distance, hidden=hidden)  # type: ignore[arg-type] # only that may be


def draw_cameras(size: int, settings: CameraSettings, gen: Generator) -> Cameras:
    """Draw one camera for each of ``size`` poses; ``gen`` on the CPU."""
    wide = [float(x) for x in torch.deg2rad(torch.tensor([settings.azimuth, settings.elevation, settings.roll]))]
    angles = camera.draw_angles(size, gen, tuple(-x for x in wide), tuple(wide))
    distance = settings.near + (settings.far - settings.near) * torch.rand(size, generator=gen)
    hidden = torch.rand(size, JOINTS, generator=gen) < settings.hide if settings.hide else None
    return Cameras(angles, distance, hidden, settings.frame, settings.clear)


def sweep(start: Tensor, end: Tensor, views: int) -> Tensor:
    """Angles of ``views`` cameras evenly from ``start [3]`` to ``end [3]``, both included: ``[views, 3]``."""
    return torch.lerp(start, end, torch.linspace(0, 1, views, dtype=start.dtype, device=start.device)[:, None])


def rotations(angles: Tensor, frame: str = "body") -> Tensor:
    """Matrices ``[..., 3, 3]`` of angles ``[..., 3]``, acting on columns of (right, away, up); see
    :class:`CameraSettings`.
    """
    if frame == "body":
        return camera.euler(angles)
    azimuth, elevation, roll = angles.unbind(-1)
    return camera.turn(roll, "y") @ camera.turn(elevation, "x") @ camera.turn(azimuth, "z")


def upright(points: Tensor, axis: int, sign: int = 1) -> Tensor:
    """Points ``[..., 3]`` whose axis ``axis`` points up (``sign`` 1) or down (-1) -> (right, away, up) of the release.

    Axes are taken in a cycle, which turns the body; exchanging two of them, as the release's "(y, x, z)" reads at first
    sight, would make it its own mirror image: right-handed points stay right-handed.
    """
    first, second = (axis + 1) % 3, (axis + 2) % 3
    if sign < 0:
        first, second = second, first
    return torch.stack([points[..., first], points[..., second], sign * points[..., axis]], -1)


def image(points: Tensor) -> Tensor:
    """(row, column) <-> (x, y)."""
    return points.flip(-1)


def project(points: Tensor, cameras: Cameras) -> Tensor:
    """What each camera sees of a normalised body: ``[B, V, 3]`` (right, away, up) -> ``[B, V, 2]`` (row, column)."""
    turned = camera.rotate(points, rotations(cameras.angles.to(points), cameras.frame))
    distance = cameras.distance.to(points)
    if cameras.clear:
        distance = torch.maximum(distance, cameras.clear - turned[..., 1].amin(-1))
    return camera.perspective(camera.default_camera(turned, distance[:, None]))


def look(points: Tensor, profile: Profile, cameras: Cameras, axis: int, sign: int = 1) -> Tensor:
    """The 13 joints of the 2-D profile as random cameras see them: normalised in 3-D, turned, projected (spec, 1.3).

    Args:
        points: ``[B, V, 3]`` public, in the profile's layout.
        axis, sign: which axis points up, see :func:`upright`.

    Returns:
        ``[B, 13, 2]`` (x, y), y downwards, not normalised: the encoder does that.
    """
    body = upright(normalise(points, profile).points, axis, sign)
    return pick(image(project(body, cameras)), profile, -2)


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
