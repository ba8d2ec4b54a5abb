"""Rooms and what stands in them: textures, and a picture with depth cast ray by ray, once for each clip."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .raster import TILE, Eye

GRAIN = 32.0  # texture pixels in a metre of wall
FAR = 1e6  # metres
CEILING = 2.7


class Box(NamedTuple):
    """A box in the room: centre and half sizes in metres, turned about the vertical (radians), its texture."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    turn: float
    texture: np.ndarray


class Frame(NamedTuple):
    """Something that hangs on a wall: which (2 to 4), middle and half sizes along and up it, its picture."""

    wall: int
    middle: tuple[float, float]
    half: tuple[float, float]
    texture: np.ndarray


class Room(NamedTuple):
    """Walls, floor and things, all in metres; see :func:`cast`.

    Attributes:
        half: half the room's width, and how far its back wall is from the origin; it is open towards the camera.
        turn: the room about the vertical, radians.
        textures: five, of floor, ceiling, the walls at both sides and the one at the back.
        frames: on the walls.
        boxes: furniture, and what stands before the people.
        light: unit vector in the world, towards the light.
        ambient: share of light from everywhere.
        falloff: how much darker it is far from the light, 0 to 1.
    """

    half: tuple[float, float]
    turn: float
    textures: tuple[np.ndarray, ...]
    frames: tuple[Frame, ...]
    boxes: tuple[Box, ...]
    light: np.ndarray
    ambient: float
    falloff: float


class Scene(NamedTuple):
    """A picture without people: colour float32 ``[H, W, 3]`` in [0, 1], depth ``[H, W]`` in metres, floor or not."""

    colour: np.ndarray
    depth: np.ndarray
    floor: np.ndarray


def cast(room: Room, eye: Eye, width: int, height: int) -> Scene:
    """What a camera sees of an empty room; ``eye`` and the size in fine pixels."""
    x = (eye.centre[0] - np.arange(width, dtype=np.float32) - 0.5) / np.float32(eye.focal)
    y = (eye.centre[1] - np.arange(height, dtype=np.float32)[:, None] - 0.5) / np.float32(eye.focal)
    rows = eye.pose.rotation.astype(np.float32)  # left, up, forward
    rays = x[..., None] * rows[0] + y[..., None] * rows[1] + rows[2]
    start = eye.pose.position.astype(np.float32)
    colour, depth, floor = _walls(room, start, rays)
    for box in room.boxes:
        window = _window(box, eye, width, height)
        _box(box, room, start, rays[window], colour[window], depth[window], floor[window])
    return Scene(np.clip(colour, 0, 1), depth, floor)


def _walls(room: Room, start: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    start, rays = _turned(start, room.turn), _turned(rays, room.turn)
    depth = np.full(rays.shape[:2], np.float32(FAR))
    colour = np.zeros(rays.shape, np.float32)
    floor = np.zeros(rays.shape[:2], bool)
    planes = [(1, 0.0), (1, CEILING), (0, -room.half[0]), (0, room.half[0]), (2, -room.half[1])]
    for wall, (axis, at) in enumerate(planes):
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (np.float32(at) - start[axis]) / rays[..., axis]
        rows, columns = np.nonzero((reach > 1e-3) & (reach < depth))
        reach = reach[rows, columns]
        place = start + reach[:, None] * rays[rows, columns]
        u, v = place[:, 2 if axis == 0 else 0], place[:, 2 if axis == 1 else 1]
        seen = _looked_up(room.textures[wall], u, v)
        for frame in room.frames:
            if frame.wall == wall:
                left, up = (u - frame.middle[0]) / frame.half[0], (v - frame.middle[1]) / frame.half[1]
                on = (np.abs(left) < 1) & (np.abs(up) < 1)
                side = (TILE - 1) / 2
                seen[on] = frame.texture[(side - side * up[on]).astype(int), (side + side * left[on]).astype(int)]
        normal = np.zeros(3)
        normal[axis] = 1.0 if at <= 0 else -1.0  # into the room
        lit = max(float(normal @ _turned(room.light, room.turn)), 0.0)
        shade = room.ambient + (1 - room.ambient) * (0.35 + 0.65 * lit)
        away = np.linalg.norm(place - 2 * _turned(room.light, room.turn).astype(np.float32), axis=1)
        colour[rows, columns] = seen * (shade * (1 - room.falloff * np.clip(away / 7, 0, 0.9)))[:, None]
        depth[rows, columns] = reach
        floor[rows, columns] = wall == 0
    return colour, depth, floor


def _box(
    box: Box,
    room: Room,
    start: np.ndarray,
    rays: np.ndarray,
    colour: np.ndarray,
    depth: np.ndarray,
    floor: np.ndarray,
) -> None:
    start = _turned(start - np.asarray(box.centre, np.float32), box.turn)
    rays = _turned(rays, box.turn)
    low, high = [], []
    for axis, half in enumerate(box.half):
        with np.errstate(divide="ignore", invalid="ignore"):
            one, two = ((side * np.float32(half) - start[axis]) / rays[..., axis] for side in (-1, 1))
        low.append(np.minimum(one, two))
        high.append(np.maximum(one, two))
    enter = np.maximum(np.maximum(low[0], low[1]), low[2])
    leave = np.minimum(np.minimum(high[0], high[1]), high[2])
    rows, columns = np.nonzero((enter < leave) & (enter > 0.05) & (enter < depth))
    if not len(rows):
        return
    reach = enter[rows, columns]
    axis = np.stack([each[rows, columns] for each in low]).argmax(0)
    place = start + reach[:, None] * rays[rows, columns]
    side = np.arange(len(axis))
    u, v = place[side, np.where(axis == 0, 2, 0)], place[side, np.where(axis == 1, 2, 1)]
    light = _turned(room.light, box.turn)
    lit = np.maximum(np.sign(place[side, axis]) * light[axis], 0)
    colour[rows, columns] = _looked_up(box.texture, u, v) * (room.ambient + (1 - room.ambient) * lit)[:, None]
    depth[rows, columns] = reach
    floor[rows, columns] = False


def _window(box: Box, eye: Eye, width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns in which a box is seen; all of them where it reaches behind the camera."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners = eye.project(_turned(signs * np.asarray(box.half), -box.turn) + np.asarray(box.centre))[:, :2]
    if not np.isfinite(corners).all():
        return slice(None), slice(None)
    low = np.clip(np.floor(corners.min(0)) - 1, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 1, 0, (width, height)).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _turned(vectors: np.ndarray, angle: float) -> np.ndarray:
    """World vectors ``[..., 3]`` in axes that are turned about the vertical."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.stack([cos * x - sin * z, y, sin * x + cos * z], -1)


def _looked_up(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return texture[(v * GRAIN).astype(np.int32) % TILE, (u * GRAIN).astype(np.int32) % TILE]


# ------------------------------------------------------------------------------------------------------- textures


def noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Smooth noise in [0, 1] that repeats at its edges, ``[TILE, TILE]``; ``cells``: bumps along a side."""
    coarse = rng.random((cells, cells), np.float32)
    at = np.arange(TILE) * cells / TILE
    low, share = at.astype(int), (at % 1).astype(np.float32)
    share = share * share * (3 - 2 * share)
    high = (low + 1) % cells
    rows = coarse[low] * (1 - share)[:, None] + coarse[high] * share[:, None]
    return rows[:, low] * (1 - share) + rows[:, high] * share


def texture(kind: str, rng: np.random.Generator, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A texture of two colours that repeats at its edges: float32 ``[TILE, TILE, 3]``.

    Args:
        kind: ``plain``, ``stripes``, ``bars``, ``checks``, ``dots``, ``bricks``, ``planks``, ``tiles``, ``patches``,
            ``rough`` or ``picture``.
        first, second: colours ``[3]`` in [0, 1].
    """
    row, column = np.mgrid[0:TILE, 0:TILE]
    step = int(rng.choice([8, 16, 32]))
    mix: np.ndarray
    if kind == "plain":
        mix = np.zeros((TILE, TILE))
    elif kind in ("stripes", "bars"):
        mix = ((row if kind == "bars" else column) % step) < step // 2
    elif kind == "checks":
        mix = ((row // (step // 2)) + (column // (step // 2))) % 2
    elif kind == "dots":
        mix = ((row % 16 - 8) ** 2 + (column % 16 - 8) ** 2) < 14
    elif kind == "bricks":
        mix = (row % 8 == 0) | ((column + 8 * (row // 8 % 2)) % 16 == 0)
    elif kind == "planks":
        mix = np.clip(noise(rng, 8)[:, :1] * 0.6 + (column % 8 == 0), 0, 1) * np.ones((1, TILE))
    elif kind == "tiles":
        mix = (row % step == 0) | (column % step == 0)
    elif kind == "patches":
        mix = noise(rng, 8) > 0.5
    elif kind == "rough":
        mix = 0.6 * noise(rng, 16) + 0.4 * noise(rng, 4)
    elif kind == "picture":  # a view: sky over land, and something in it
        mix = np.clip(row / TILE + 0.25 * (noise(rng, 4) - 0.5), 0, 1)
    else:
        raise KeyError(kind)
    made = first + np.asarray(mix, np.float32)[..., None] * (second - first)
    if kind == "picture":
        made[((row - 40) ** 2 + (column - rng.integers(16, 48)) ** 2) < rng.integers(40, 200)] = rng.random(3)
        made[(np.minimum(row, column) < 4) | (np.maximum(row, column) > TILE - 5)] = 0.15
    return np.clip(made, 0, 1).astype(np.float32)


def bitten(made: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """A texture with wear: fine and coarse noise over it."""
    grain = 0.5 * noise(rng, 32) + 0.5 * noise(rng, 8) - 0.5
    return np.clip(made * (1 + strength * grain[..., None]), 0, 1).astype(np.float32)
