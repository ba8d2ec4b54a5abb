"""Rounded solids drawn into a depth buffer: NumPy only, each solid within the box that it takes in the picture.

Picture coordinates: x to the right, y downwards, in pixels of the picture that is drawn (twice as fine as the one
that comes out, :data:`FINE`); depth in metres along the camera's axis. Normals are (right, down, near).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...motion import camera

FINE = 2  # drawn twice as fine, then reduced: smooth edges
NEAR = 0.15  # metres; what is nearer to the camera is not drawn
TILE = 64  # pixels of a texture's side
WEAVE = 80.0  # texture pixels in a metre


class Eye(NamedTuple):
    """A pinhole camera: ``pose`` of one camera, ``focal`` in fine pixels, ``centre`` (x, y) of the fine picture."""

    pose: camera.Camera
    focal: float
    centre: tuple[float, float]

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points ``[..., 3]`` -> fine x, y and depth ``[..., 3]``; points behind the camera are NaN."""
        seen = camera.see(points.reshape(-1, 3), self.pose).reshape(points.shape)
        depth = np.where(seen[..., 2:] > NEAR, seen[..., 2:], np.nan)
        plane = np.asarray(self.centre) - self.focal * seen[..., :2] / depth
        return np.concatenate([plane, depth], -1).astype(np.float32)


class Canvas:
    """Depth and parts of a box of the fine picture.

    Attributes:
        depth: float32 ``[H, W]`` metres, at first that of the scene.
        part: int16 ``[H, W]`` number of the solid that is seen, -1 the scene.
        shift: (x, y) of the box.
        drawn: where each solid lies, by its number, for :meth:`place`.
    """

    def __init__(self, depth: np.ndarray, shift: tuple[int, int], parts: int):
        self.depth = np.array(depth)
        self.part = np.full(depth.shape, -1, np.int16)
        self.shift = shift
        self.drawn = np.ones((parts, 9), np.float32)

    def solid(
        self,
        first: Sequence[float],
        second: Sequence[float],
        widths: tuple[float, float],
        thick: tuple[float, float],
        part: int,
        cap: float = 1.0,
    ) -> None:
        """Draw a rounded solid between two points, as far as nothing stands before it.

        Args:
            first, second: x, y, depth.
            widths: half widths at both ends in fine pixels; ``thick``: half thicknesses towards the camera, metres.
            part: its number.
            cap: how far the ends stand out, as a share of the width.
        """
        height, width = self.depth.shape
        ax, ay = first[0] - self.shift[0], first[1] - self.shift[1]
        bx, by = second[0] - self.shift[0], second[1] - self.shift[1]
        most = max(widths)
        if not math.isfinite(ax + ay + bx + by + most):
            return
        x0, x1 = max(int(min(ax, bx) - most), 0), min(int(max(ax, bx) + most) + 2, width)
        y0, y1 = max(int(min(ay, by) - most), 0), min(int(max(ay, by) + most) + 2, height)
        if x0 >= x1 or y0 >= y1:
            return
        dx, dy = bx - ax, by - ay
        length = math.hypot(dx, dy)
        ux, uy = (dx / length, dy / length) if length > 1e-3 else (0.0, 1.0)
        length = max(length, 1e-3)
        self.drawn[part] = ax, ay, ux, uy, length, *widths, cap, thick[0]
        x = np.arange(x0, x1, dtype=np.float32) + np.float32(0.5 - ax)
        y = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5 - ay)
        along = x * np.float32(ux / length) + y * np.float32(uy / length)
        aside = y * np.float32(ux) - x * np.float32(uy)
        share = np.minimum(np.maximum(along, 0), 1)
        along -= share
        along *= np.float32(length / cap)
        aside *= aside
        along *= along
        aside += along
        half = share * np.float32(widths[1] - widths[0])
        half += np.float32(widths[0])
        half *= half
        aside /= half
        rest = np.subtract(1, aside, out=aside)
        inside = rest > 0
        np.maximum(rest, 0, out=rest)
        np.sqrt(rest, out=rest)
        rest *= share * np.float32(thick[0] - thick[1]) - np.float32(thick[0])
        share *= np.float32(second[2] - first[2])
        share += rest
        share += np.float32(first[2])
        box = (slice(y0, y1), slice(x0, x1))
        inside &= share < self.depth[box]
        np.copyto(self.depth[box], share, where=inside)
        np.copyto(self.part[box], np.int16(part), where=inside)

    def place(self, pixels: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, ...]:
        """Where pixels lie on their solids: normal (right, down, near), metres along and around, each ``[n]``."""
        ax, ay, ux, uy, length, first, second, cap, thick = self.drawn[part].T
        down, right = np.divmod(pixels, self.depth.shape[1])
        x, y = right.astype(np.float32) + 0.5 - ax, down.astype(np.float32) + 0.5 - ay
        along = (x * ux + y * uy) / length
        share = np.minimum(np.maximum(along, 0), 1)
        half = share * (second - first) + first
        aside = (y * ux - x * uy) / half
        beyond = (along - share) * length / (cap * half)
        near = np.sqrt(np.maximum(1 - aside * aside - beyond * beyond, 0))
        metres = thick / first
        return ux * beyond - uy * aside, uy * beyond + ux * aside, near, along * length * metres, aside * half * metres


class Surface(NamedTuple):
    """How solids look.

    Attributes:
        textures: float32 ``[S, TILE, TILE, 3]`` in [0, 1], one for each slot.
        slots: int ``[P]``, the slot of each part.
        light: unit vector (right, down, near) towards the light.
        ambient: share of the light that comes from everywhere.
        steps: shades that there are; 0: as many as one likes.
        tint: colour of the light, ``[3]``.
    """

    textures: np.ndarray
    slots: np.ndarray
    light: np.ndarray
    ambient: float
    steps: int
    tint: np.ndarray

    def shade(self, canvas: Canvas, hair: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Colours of what was drawn.

        Args:
            hair: for each part a direction (right, down, near) into which it is hairy, and the cosine from which on,
                ``[P, 4]``; slot 1 is hair.

        Returns:
            pixels as flat numbers ``[n]``, colours float32 ``[n, 3]``.
        """
        pixels = np.flatnonzero(canvas.part >= 0)
        part = canvas.part.ravel()[pixels]
        right, down, near, along, across = canvas.place(pixels, part)
        slot = self.slots[part]
        if hair is not None:
            of = hair[part]
            slot = np.where(right * of[:, 0] + down * of[:, 1] + near * of[:, 2] > of[:, 3], 1, slot)
        u, v = ((where * WEAVE).astype(np.int32) % TILE for where in (along, across))
        colour = self.textures[slot, u, v]
        lit = np.maximum(right * self.light[0] + down * self.light[1] + near * self.light[2], 0)
        edge = np.float32(0.6) + np.float32(0.4) * near  # limbs stand out from what is behind them
        if self.steps:
            lit = np.round(lit * self.steps) / np.float32(self.steps)
            edge = np.where(near < 0.42, np.float32(0.72), np.float32(1))
        strength = (self.ambient + (1 - self.ambient) * lit) * edge
        return pixels, colour * strength[:, None] * self.tint


def reduced(fine: np.ndarray) -> np.ndarray:
    """A fine picture ``[2H, 2W, 3]`` of any type as float32 ``[H, W, 3]``."""
    rows = fine[0::2].astype(np.float32) + fine[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25)
