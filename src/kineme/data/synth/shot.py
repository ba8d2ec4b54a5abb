"""One clip before one camera: what is drawn for it at random, and its pictures, frame after frame."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...motion import camera
from ...motion.motion import Motion
from .figure import HEAD, INDEX, SLOTS, SOLIDS, Figure, figure
from .looks import Domain, Wear, domain, draw_occluders, draw_room, draw_wear
from .raster import FINE, Canvas, Eye, Surface, reduced
from .scene import Scene, cast
from .stage import generator

NEAREST, FARTHEST = 1.8, 6.0  # metres; a camera steps back so far to hold all of the motion
EDGE = 0.07  # share of the picture that stays free around the people, where that can be
SHADOW = 0.32  # metres: half width of the shadow beneath a person
ENDS = [[INDEX[name] for name in (solid.first, solid.second)] for solid in SOLIDS]


class Shot(NamedTuple):
    """All that is drawn at random for a clip, and its empty room.

    Attributes:
        figure: the people; ``ranges``: of the domain.
        eye: the camera; ``size``: pixels of a picture's side.
        scene: fine picture of the room, larger by ``margin`` fine pixels on every side.
        shake: int ``[T, 2]``, fine pixels by which the picture moves (x, y).
        surface: textures and light of everybody's solids.
        wear: each person's.
        grain: sensor noise of 255 steps; ``vignette``: ``[size, size, 1]`` brightness.
        rng: draws the noise.
    """

    figure: Figure
    ranges: Domain
    eye: Eye
    size: int
    scene: Scene
    margin: int
    shake: np.ndarray
    surface: Surface
    wear: tuple[Wear, ...]
    grain: float
    vignette: np.ndarray
    rng: np.random.Generator


class Film(NamedTuple):
    """What a shot shows.

    Attributes:
        pictures: uint8 ``[T, H, W, 3]``.
        places: float32 ``[T, M, V, 3]``: pixels (x, y) and depth in metres of the layout's joints; NaN behind
            the camera.
        covered: int8 ``[T, M, V]``: 0 in sight, 1 behind a body, 2 behind something else.
        focal: focal length in pixels.
    """

    pictures: np.ndarray
    places: np.ndarray
    covered: np.ndarray
    focal: float


def draw_shot(motion: Motion, name: str, size: int, seed: int) -> Shot:
    """Draw camera, room, light and clothes; the clip's own name and the seed decide, nothing else."""
    ranges = domain(name)
    rng = generator(seed, 7, name, motion.source)
    who = [f"{motion.extra.get('dataset', '')}/{motion.subject}/{person}" for person in range(motion.persons)]
    if motion.subject is None:
        who = [f"{motion.source}/{person}" for person in range(motion.persons)]
    wear = tuple(draw_wear(name, generator(seed, 8, name, person)) for person in who)
    made = figure(motion, wear[0].sizes)
    eye = _eye(made, ranges, size, rng)
    margin = round(3 * ranges.shake * size * FINE)
    at = eye.pose.position
    light = rng.uniform((-1, 0.6, 0.2), (1, 1.4, 1))  # right, up, near
    light = _unit(np.array((0.75, 0.9, 0.45)) if ranges.steps else light)
    world = _unit(-light[0] * eye.pose.rotation[0] + light[1] * eye.pose.rotation[1] - light[2] * eye.pose.rotation[2])
    reach = _reach(made)
    room = draw_room(name, rng, reach, at, world)
    field = 2 * np.degrees(np.arctan(size * FINE / 2 / eye.focal))
    room = room._replace(boxes=room.boxes + tuple(draw_occluders(name, rng, at, field, reach)))
    wide = eye._replace(centre=(eye.centre[0] + margin, eye.centre[1] + margin))
    scene = cast(room, wide, size * FINE + 2 * margin, size * FINE + 2 * margin)
    exposure = rng.uniform(*ranges.exposure)
    tint = np.ones(3) if ranges.steps else rng.uniform(0.85, 1.0, 3)
    scene = scene._replace(colour=np.clip(scene.colour * (exposure * tint), 0, 1).astype(np.float32))
    surface = Surface(
        np.concatenate([each.textures for each in wear]),
        np.concatenate(
            [[SLOTS.index(solid.slot) + person * len(SLOTS) for solid in SOLIDS] for person in range(len(wear))]
        ),
        np.array((light[0], -light[1], light[2]), np.float32),
        np.float32(rng.uniform(*ranges.ambient)),  # type: ignore[arg-type]
        ranges.steps,
        (exposure * tint).astype(np.float32),
    )
    shake = _shake(len(motion), ranges.shake * size * FINE, margin, rng)
    away = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    vignette = 1 - (0.0 if ranges.steps else rng.uniform(0, 0.2)) * (away + away[:, None])[..., None]
    return Shot(
        made,
        ranges,
        eye,
        size,
        scene,
        margin,
        shake,
        surface,
        wear,
        rng.uniform(*ranges.grain),
        vignette.astype(np.float32),
        rng,
    )


def shoot(shot: Shot) -> Film:
    """Draw all frames of a shot."""
    made, size = shot.figure, shot.size
    frames = len(made.present)
    points, joints = shot.eye.project(made.points), shot.eye.project(made.joints)
    points[..., :2] += shot.shake[:, None, None]
    joints[..., :2] += shot.shake[:, None, None]
    ground = made.points[:, :, INDEX["pelvis"]] * np.array((1, 0, 1), np.float32)
    ground = shot.eye.project(ground)
    ground[..., :2] += shot.shake[:, None]
    empty = {(x, y): _phase(shot, x, y) for x in range(FINE) for y in range(FINE)}
    grain = _grain(shot)
    pictures = np.empty((frames, size, size, 3), np.uint8)
    covered = np.zeros(joints.shape[:3], np.int8)
    for frame in range(frames):
        x, y = (shot.margin - int(step) for step in shot.shake[frame])  # corner of the picture in the scene
        picture = np.array(empty[x % FINE, y % FINE][y // FINE : y // FINE + size, x // FINE : x // FINE + size])
        box = _box(shot, points[frame], made.present[frame])
        canvas = _draw(shot, points[frame], made.present[frame], box, (x, y))
        _paint(shot, picture, canvas, points[frame], ground[frame], made.present[frame], box, (x, y))
        covered[frame] = _covered(canvas, joints[frame], made.scale)
        if shot.grain:
            picture = picture * shot.vignette
            across, down = shot.rng.integers(0, grain.shape[0] - size, 2)
            picture += grain[down : down + size, across : across + size]
        pictures[frame] = np.clip(picture, 0, 255)
    places = np.array(joints)
    places[..., :2] /= FINE
    return Film(pictures, places, covered, shot.eye.focal / FINE)


# ---------------------------------------------------------------------------------------------------- what is drawn


def _eye(made: Figure, ranges: Domain, size: int, rng: np.random.Generator) -> Eye:
    """A camera that looks at the middle of the motion, as far away as it takes to hold all of it."""
    body = made.points[made.present]  # [n, P, 3]
    low, high = body.min((0, 1)), body.max((0, 1))
    target = np.array((0.0, (low[1] + high[1]) / 2, 0.0))
    aside = 0.5 if made.present.any(0).sum() > 1 else 1.0  # two people are seen beside each other
    azimuth = np.radians(aside * rng.uniform(*ranges.azimuth))
    height, room = rng.uniform(*ranges.height), rng.uniform(*ranges.room)
    focal = size * FINE / 2 / np.tan(np.radians(rng.uniform(*ranges.field)) / 2)
    target = target + np.array((*rng.uniform(-0.1, 0.1, 2), 0.0)) * (ranges.steps == 0)
    roll = camera.rotation_matrix(np.radians(rng.uniform(-1, 1) * ranges.roll), "z")
    direction = np.array((np.sin(azimuth), 0, np.cos(azimuth)))

    def at(away: float) -> Eye:
        pose = camera.look_at(away * direction + (0, height, 0), target)
        return Eye(pose._replace(rotation=roll @ pose.rotation), float(focal), (size * FINE / 2, size * FINE / 2))

    away = NEAREST
    while away < FARTHEST:
        seen = at(away).project(body)[..., :2] / (size * FINE)
        if ((seen > EDGE) & (seen < 1 - EDGE)).mean() > 0.995:
            break
        away *= 1.05
    return at(min(away * room, FARTHEST))


def _reach(made: Figure) -> float:
    body = made.points[made.present]
    return float(np.percentile(np.hypot(body[..., 0], body[..., 2]), 99))


def _shake(frames: int, amount: float, margin: int, rng: np.random.Generator) -> np.ndarray:
    """A hand that wanders and trembles: whole fine pixels ``[T, 2]``."""
    made = np.zeros((frames, 2))
    clock = np.arange(frames)[:, None]
    for period, share in ((70.0, 0.8), (23.0, 0.5), (8.0, 0.25)):
        made += share * np.sin(2 * np.pi * (clock / (period * rng.uniform(0.8, 1.25, 2)) + rng.random(2)))
    return np.clip(np.round(amount * made), -margin, margin).astype(int)


def _grain(shot: Shot) -> np.ndarray:
    """Noise of a sensor, a sheet from which every frame takes a piece: colour and brightness."""
    side = shot.size + 61
    bright = shot.rng.standard_normal((side, side, 1), np.float32)
    return shot.grain * (0.8 * bright + 0.5 * shot.rng.standard_normal((side, side, 3), np.float32))


# --------------------------------------------------------------------------------------------------------- drawing


def _phase(shot: Shot, x: int, y: int) -> np.ndarray:
    """The empty room reduced, from fine pixel (x, y) on; float32 of 255."""
    colour = shot.scene.colour[y:, x:]
    high, wide = (length // FINE * FINE for length in colour.shape[:2])
    return 255 * reduced(colour[:high, :wide])


def _box(shot: Shot, points: np.ndarray, present: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the fine picture around all that is drawn; even numbers."""
    full = shot.size * FINE
    seen = points[present].reshape(-1, 3)
    seen = seen[np.isfinite(seen).all(1)]
    if not len(seen):
        return 0, 0, 0, 0
    rim = 0.4 * shot.eye.focal / max(float(seen[:, 2].min()), 0.5)
    low = np.clip(seen[:, :2].min(0) - rim, 0, full).astype(int) // FINE * FINE
    high = np.clip(seen[:, :2].max(0) + rim + FINE, 0, full).astype(int) // FINE * FINE
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _draw(
    shot: Shot, points: np.ndarray, present: np.ndarray, box: tuple[int, int, int, int], corner: tuple[int, int]
) -> Canvas:
    """All people of a frame in the canvas of its box."""
    x0, y0, x1, y1 = box
    window = shot.scene.depth[corner[1] + y0 : corner[1] + y1, corner[0] + x0 : corner[0] + x1]
    canvas = Canvas(window, (x0, y0), len(shot.wear) * len(SOLIDS))
    for person in np.flatnonzero(present):
        own = points[person].tolist()
        thick = shot.wear[person].girth * float(shot.figure.scale[person])
        for number, solid in enumerate(SOLIDS):
            first, second = own[ENDS[number][0]], own[ENDS[number][1]]
            grow = 1.0 if number == HEAD else thick
            radii = grow * solid.radii[0], grow * solid.radii[1]
            widths = [radius * shot.eye.focal / end[2] for radius, end in zip(radii, (first, second))]
            for end, name in enumerate(solid.wide):
                left, right = own[INDEX[f"left_{name}"]], own[INDEX[f"right_{name}"]]
                apart = 0.5 * math.hypot(left[0] - right[0], left[1] - right[1])
                widths[end] = max(widths[end], 0.85 * apart + 0.35 * widths[end])
            canvas.solid(first, second, (widths[0], widths[1]), radii, int(person) * len(SOLIDS) + number, solid.cap)
    return canvas


def _paint(
    shot: Shot,
    picture: np.ndarray,
    canvas: Canvas,
    points: np.ndarray,
    ground: np.ndarray,
    present: np.ndarray,
    box: tuple[int, int, int, int],
    corner: tuple[int, int],
) -> None:
    """Shadows and people over the picture of the empty room, within their box."""
    x0, y0, x1, y1 = box
    if x0 >= x1 or y0 >= y1:
        return
    rows, columns = slice(corner[1] + y0, corner[1] + y1), slice(corner[0] + x0, corner[0] + x1)
    fine = np.array(shot.scene.colour[rows, columns])
    floor = shot.scene.floor[rows, columns]
    for person in np.flatnonzero(present):
        x, y, depth = ground[person]
        if not np.isfinite(depth):
            continue
        wide = SHADOW * shot.eye.focal / depth
        tall = wide * min(max(float(shot.eye.pose.position[1]) / depth, 0.1), 1.0)
        left, top = max(int(x - wide) - x0, 0), max(int(y - tall) - y0, 0)
        under = (slice(top, max(int(y + tall) - y0 + 1, 0)), slice(left, max(int(x + wide) - x0 + 1, 0)))
        across = (np.arange(x0, x1, dtype=np.float32)[under[1]] - x) / wide
        down = (np.arange(y0, y1, dtype=np.float32)[under[0], None] - y) / tall
        dark = np.clip(1 - across * across - down * down, 0, 1)
        dark = (dark > 0) * np.float32(0.25) if shot.ranges.steps else np.float32(0.5) * dark
        fine[under] *= 1 - (dark * floor[under])[..., None]
    hair = np.zeros((len(shot.wear) * len(SOLIDS), 4), np.float32)
    hair[:, 3] = 2
    for person in np.flatnonzero(present):
        hair[person * len(SOLIDS) + HEAD] = _hair(shot, points[person], shot.wear[person].hair)
    pixels, colours = shot.surface.shade(canvas, hair)
    fine.reshape(-1, 3)[pixels] = np.minimum(colours, 1)
    picture[y0 // FINE : y1 // FINE, x0 // FINE : x1 // FINE] = 255 * reduced(fine)


def _hair(shot: Shot, points: np.ndarray, cosine: float) -> np.ndarray:
    """Up and to the back of a head, in the picture's axes, and the cosine from which on hair grows there."""
    metres = shot.eye.focal / points[INDEX["pelvis"], 2]

    def space(name: str) -> np.ndarray:
        x, y, depth = points[INDEX[name]]
        return np.array((x / metres, y / metres, -depth))

    up = _unit(space("crown") - space("head"))
    left = space("left_shoulder") - space("right_shoulder")
    back = _unit(np.cross(left, up))  # these axes are left-handed
    return np.array((*_unit(0.75 * up + 0.66 * back), cosine))


def _covered(canvas: Canvas, joints: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """What lies before each joint ``[M, V]``: 0 nothing but its own limb, 1 a body, 2 something else."""
    high, wide = canvas.depth.shape
    found = np.zeros(joints.shape[:2], np.int8)
    if not canvas.depth.size:
        return found
    finite = np.isfinite(joints).all(-1)
    place = np.where(finite[..., None], joints, 0)
    x = np.clip(place[..., 0].astype(int) - canvas.shift[0], 0, wide - 1)
    y = np.clip(place[..., 1].astype(int) - canvas.shift[1], 0, high - 1)
    before = place[..., 2] - canvas.depth[y, x] > 0.16 * scale[:, None]
    return np.where(before & finite, np.where(canvas.part[y, x] >= 0, 1, 2), found).astype(np.int8)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector), 1e-9)
