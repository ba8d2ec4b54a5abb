"""Rotations, random cameras and projection: batched, differentiable, for numpy arrays and torch tensors alike.

Every function takes arrays of either library with any leading axes and answers in the same library, type and device;
torch is never imported here. Angles are radians. Two frames of axes occur:

* **sensor**: x to the camera's left, y up, z away from the camera, metres; right-handed. It is the frame of the
  Kinect and therefore of NTU RGB+D, PKU-MMD and N-UCLA: a person who faces the camera has the left hand at smaller x.
* **stored order** of CV-MIM: the third axis is vertical, images are (row, column); only :func:`euler`,
  :func:`default_camera` and :func:`perspective` touch it.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

TINY = 1e-12  # depths and lengths are floored here before a division
Array = Any  # np.ndarray or torch.Tensor, [...] leading axes as given


class Camera(NamedTuple):
    """One camera or many.

    Attributes:
        rotation: [..., 3, 3], rows are the camera's left, up and forward axes in the world.
        position: [..., 3] in the world.
    """

    rotation: Array
    position: Array


def _library(array: Array) -> Any:
    return sys.modules["torch"] if type(array).__module__.startswith("torch") else np


def _eye(like: Array) -> Array:
    return _library(like).eye(3, dtype=like.dtype, device=like.device)


def unit(vectors: Array) -> Array:
    """Vectors [..., 3] scaled to length 1; those shorter than ``TINY`` become zero."""
    xp, square = _library(vectors), (vectors * vectors).sum(-1)[..., None]
    none = square < TINY**2
    return xp.where(none, 0.0, vectors / xp.sqrt(xp.where(none, 1.0, square)))


def cross_matrix(vectors: Array) -> Array:
    """[..., 3] -> the skew matrix K [..., 3, 3] with K w = v x w."""
    xp, (x, y, z) = _library(vectors), (vectors[..., i] for i in range(3))
    rows = (0 * x, -z, y), (z, 0 * x, -x), (-y, x, 0 * x)
    return xp.stack([xp.stack(row, -1) for row in rows], -2)


def rotation_matrix(angle: Array, axis: str) -> Array:
    """Right-handed rotation by ``angle`` [...] about the axis ``"x"``, ``"y"`` or ``"z"`` -> [..., 3, 3]."""
    xp, i = _library(angle), "xyz".index(axis)
    c, s, j, k = xp.cos(angle), xp.sin(angle), (i + 1) % 3, (i + 2) % 3
    entries = {(i, i): 0 * c + 1, (j, j): c, (k, k): c, (k, j): s, (j, k): -s}
    return xp.stack([xp.stack([entries.get((row, column), 0 * c) for column in range(3)], -1) for row in range(3)], -2)


def euler(angles: Array) -> Array:
    """R = Rz(azimuth) Ry(elevation) Rx(roll), acting on column vectors (CV-MIM: the turn is the outermost factor).

    Args:
        angles: [..., 3] azimuth, elevation, roll. "Elevation" turns about the second axis, "roll" about the first.

    Returns:
        [..., 3, 3]
    """
    return (
        rotation_matrix(angles[..., 0], "z")
        @ rotation_matrix(angles[..., 1], "y")
        @ rotation_matrix(angles[..., 2], "x")
    )


def axis_angle(vectors: Array) -> Array:
    """Rodrigues' formula: rotation about each vector [..., 3] by its length -> [..., 3, 3]; smooth at zero."""
    xp, square = _library(vectors), (vectors * vectors).sum(-1)
    small = square < 1e-8
    angle = xp.sqrt(xp.where(small, 1.0, square))  # the branch that is not taken must not put NaN into the gradient
    first = xp.where(small, 1 - square / 6, xp.sin(angle) / angle)
    second = xp.where(small, 0.5 - square / 24, 2 * (xp.sin(angle / 2) / angle) ** 2)
    skew = cross_matrix(vectors)
    return _eye(vectors) + first[..., None, None] * skew + second[..., None, None] * (skew @ skew)


def between(source: Array, target: Array) -> Array:
    """The smallest rotation that takes each ``source`` direction to ``target``: [..., 3], [..., 3] -> [..., 3, 3].

    Two half turns, about the source and about the middle of both, make it: orthonormal for any input. Opposite
    directions leave the axis open: one across the source is taken. A zero vector gives the identity.
    """
    xp = _library(source)
    a, b = unit(source), unit(target)
    middle = a + b
    spare = _eye(a)[xp.argmin(xp.abs(a), -1)]
    spare = spare - (spare * a).sum(-1)[..., None] * a
    middle = unit(xp.where((middle * middle).sum(-1)[..., None] < 1e-10, spare, middle))
    made = _half_turn(middle) @ _half_turn(a)
    known = (a * a).sum(-1) * (b * b).sum(-1) > 0
    return xp.where(known[..., None, None], made, _eye(a))


def _half_turn(axis: Array) -> Array:
    return 2 * axis[..., :, None] * axis[..., None, :] - _eye(axis)


def rotate(points: Array, rotation: Array) -> Array:
    """Rotate points [..., V, 3] by matrices [..., 3, 3] (column vectors)."""
    return points @ rotation.swapaxes(-1, -2)


def look_at(position: Array, target: Array, up: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> Camera:
    """Cameras at ``position`` [..., 3] whose optical axis meets ``target`` [..., 3], ``up`` upright in the image.

    The answer is undefined (rows of zeros) for a camera that looks along ``up``.
    """
    xp = _library(position)
    forward = unit(target - position)
    above = 0 * forward + xp.asarray(up, dtype=position.dtype, device=position.device)
    left = unit((cross_matrix(above) @ forward[..., None])[..., 0])
    upright = (cross_matrix(forward) @ left[..., None])[..., 0]
    return Camera(xp.stack([left, upright, forward], -2), position)


def orbit(azimuth: Array, elevation: Array, distance: Array, target: Array, roll: Array | None = None) -> Camera:
    """Cameras on spheres around ``target`` [..., 3], looking at it.

    Args:
        azimuth: [...] about the vertical axis y; 0 stands on the +z side, positive goes towards +x.
        elevation: [...] above the horizon, inside (-pi/2, pi/2).
        distance: [...] from the target, in the target's unit.
        roll: [...] about the optical axis, if any.
    """
    xp = _library(azimuth)
    level = xp.cos(elevation)
    direction = xp.stack([level * xp.sin(azimuth), xp.sin(elevation), level * xp.cos(azimuth)], -1)
    rotation, position = look_at(target + distance[..., None] * direction, target)
    return Camera(rotation if roll is None else rotation_matrix(roll, "z") @ rotation, position)


def draw_angles(
    n: int,
    rng: Any,
    low: tuple[float, ...] = (-np.pi, -np.pi / 6, -np.pi / 6),
    high: tuple[float, ...] = (np.pi, np.pi / 6, np.pi / 6),
) -> Array:
    """Random angles, uniform between ``low`` and ``high``; by default CV-MIM's azimuth, elevation, roll.

    Drawing is apart from applying (:func:`euler`, :func:`orbit`).

    Args:
        n: how many.
        rng: ``np.random.Generator`` (gives float64 arrays) or ``torch.Generator`` (float32 tensors on its device).

    Returns:
        [n, len(low)]
    """
    if isinstance(rng, np.random.Generator):
        return rng.uniform(low, high, (n, len(low)))
    xp = sys.modules["torch"]
    share = xp.rand(n, len(low), generator=rng, device=rng.device)
    floor, ceiling = (xp.tensor(side, dtype=share.dtype, device=share.device) for side in (low, high))
    return floor + (ceiling - floor) * share


def see(points: Array, camera: Camera) -> Array:
    """World points [..., V, 3] in the sensor frame of their cameras (one camera per leading index) -> [..., V, 3]."""
    return rotate(points - camera.position[..., None, :], camera.rotation)


def perspective(points: Array) -> Array:
    """(first, second) / third, the third floored at ``TINY``: [..., 3] -> [..., 2]; points behind go far out."""
    xp = _library(points)
    return points[..., :2] / xp.clip(points[..., 2:], TINY, None)


def pixels(points: Array, focal: float, size: tuple[int, int]) -> Array:
    """Sensor frame [..., 3] -> image columns and rows [..., 2] of a pinhole camera, principal point in the middle.

    The image is not mirrored: the camera's left is the image's left. Columns grow to the right, rows downwards.

    Args:
        focal: focal length in pixels.
        size: (width, height) in pixels.
    """
    centre = _library(points).asarray(size, dtype=points.dtype, device=points.device) / 2
    return centre - focal * perspective(points)


def default_camera(points: Array, distance: float | Array = 2.0) -> Array:
    """CV-MIM's fixed camera: stored order (a, b, c), c vertical -> (-c, a, b + distance) for :func:`perspective`.

    Points are normalised poses, [..., 3]; the result of the perspective division is (row, column).
    """
    xp = _library(points)
    a, b, c = (points[..., i] for i in range(3))
    return xp.stack([-c, a, b + distance], -1)
