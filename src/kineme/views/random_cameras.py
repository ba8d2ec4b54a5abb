"""Random cameras that look at 3-D poses: drawn, then applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Generator, Tensor

from ..motion import camera
from ..utils.errors import InputError
from ..utils.settings import positive
from .keypoints import JOINTS, Profile, normalise, pick


@dataclass(frozen=True)
class CameraSettings:
    """How the cameras of CV-MIM are drawn; the defaults are the published ones (Zhao et al. 2021).

    Attributes:
        azimuth, elevation, roll: degrees, uniform to either side.
        frame: ``body``, as released: the body is tilted about its own second ("elevation") and first axis ("roll"),
            then turned about the vertical. ``camera``: it is turned first; then elevation is the camera's height above
            the horizon and roll its turn about the optical axis.
        distance_min, distance_max: the distance from the pelvis is uniform between them, in lengths of the trunk.
        min_depth: the camera steps back until no joint is nearer to it than this, in lengths of the trunk. 0, as
            released: a limb may reach behind the camera, and is then seen in the far distance.
        joint_dropout: probability of every joint to be hidden.

    Raises:
        InputError: a value outside its range.
    """

    RENAMED: ClassVar = {
        "near": "distance_min",
        "far": "distance_max",
        "clear": "min_depth",
        "hide": "joint_dropout",
    }

    azimuth: float = 180.0
    elevation: float = 30.0
    roll: float = 30.0
    frame: Literal["body", "camera"] = "body"
    distance_min: float = 2.0
    distance_max: float = 2.0
    min_depth: float = 0.5
    joint_dropout: float = 0.0

    def __post_init__(self) -> None:
        positive(self, "cameras", "distance_min")
        wanted: dict[str, tuple[float, float]] = {
            "azimuth": (0, 180),
            "elevation": (0, 180),
            "roll": (0, 180),
            "min_depth": (0, self.distance_min),
            "joint_dropout": (0, 1),
        }
        wanted["distance_max"] = (self.distance_min, float("inf"))
        for name, (low, high) in wanted.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"cameras.{name}", f"{getattr(self, name)}", f"{low} to {high}")


class Cameras(NamedTuple):
    """All that is random about the cameras of one batch, on the CPU.

    Attributes:
        angles: float32 ``[B, 3]`` azimuth, elevation, roll in radians.
        distance: float32 ``[B]`` in lengths of the trunk.
        hidden: bool ``[B, 13]``; None = nothing.
        frame, min_depth: see :class:`CameraSettings`.
    """

    angles: Tensor
    distance: Tensor
    hidden: Tensor | None = None
    frame: str = "body"
    min_depth: float = 0.0

    def to(self, device: torch.device) -> Cameras:
        """On another device."""
        angles, distance, hidden = (x if x is None else x.to(device, non_blocking=True) for x in self[:3])
        return self._replace(angles=angles, distance=distance, hidden=hidden)  # type: ignore[arg-type] # only that may be


def draw_cameras(size: int, settings: CameraSettings, gen: Generator) -> Cameras:
    """Draw one camera for each of ``size`` poses; ``gen`` on the CPU."""
    wide = [float(x) for x in torch.deg2rad(torch.tensor([settings.azimuth, settings.elevation, settings.roll]))]
    angles = camera.draw_angles(size, gen, tuple(-x for x in wide), tuple(wide))
    distance = settings.distance_min + (settings.distance_max - settings.distance_min) * torch.rand(size, generator=gen)
    hidden = torch.rand(size, JOINTS, generator=gen) < settings.joint_dropout if settings.joint_dropout else None
    return Cameras(angles, distance, hidden, settings.frame, settings.min_depth)


def sweep(start: Tensor, end: Tensor, views: int) -> Tensor:
    """Angles of ``views`` cameras evenly from ``start [3]`` to ``end [3]``, both included: ``[views, 3]``."""
    return torch.lerp(start, end, torch.linspace(0, 1, views, dtype=start.dtype, device=start.device)[:, None])


def rotation_matrices(angles: Tensor, frame: str = "body") -> Tensor:
    """Matrices ``[..., 3, 3]`` of angles ``[..., 3]``, acting on columns of (right, away, up); see
    :class:`CameraSettings`.
    """
    if frame == "body":
        return camera.euler(angles)
    azimuth, elevation, roll = angles.unbind(-1)
    return (
        camera.rotation_matrix(roll, "y")
        @ camera.rotation_matrix(elevation, "x")
        @ camera.rotation_matrix(azimuth, "z")
    )


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


def project(points: Tensor, cameras: Cameras, seen: Tensor | None = None) -> Tensor:
    """What each camera sees of a normalised body: ``[B, V, 3]`` (right, away, up) -> ``[B, V, 2]`` (row, column).

    ``seen`` ``[B, V]``, 0 = missing, None = all are there: a camera steps back from joints that are there only.
    """
    turned = camera.rotate(points, rotation_matrices(cameras.angles.to(points), cameras.frame))
    distance = cameras.distance.to(points)
    if cameras.min_depth:
        depth = turned[..., 1] if seen is None else turned[..., 1].masked_fill(seen <= 0, torch.inf)
        distance = torch.maximum(distance, cameras.min_depth - depth.amin(-1))
    return camera.perspective(camera.default_camera(turned, distance[:, None]))


def look(
    points: Tensor, profile: Profile, cameras: Cameras, axis: int, sign: int = 1, seen: Tensor | None = None
) -> Tensor:
    """The 13 joints of the 2-D profile as random cameras see them: normalised in 3-D, rotated, projected.

    Args:
        points: ``[B, V, 3]`` public, in the profile's layout.
        axis, sign: which axis points up, see :func:`upright`.
        seen: ``[B, V]``, 0 = missing, None = all are there. Nothing depends on where missing joints are said to be.

    Returns:
        ``[B, 13, 2]`` (x, y), y downwards, not normalised: the encoder does that.
    """
    body = upright(normalise(points, profile, seen).points, axis, sign)
    return pick(image(project(body, cameras, seen)), profile, -2)
