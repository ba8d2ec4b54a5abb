"""How the two domains look: what is drawn for a subject and for a clip; nothing is rendered here."""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np

from ...motion.layout import PARTS
from ...utils.errors import InputError
from ...utils.registry import did_you_mean
from .figure import SLOTS
from .raster import TILE
from .scene import Box, Frame, Room, bitten, texture

Range = tuple[float, float]


class Domain(NamedTuple):
    """Ranges of a domain; angles in degrees, lengths in metres, shares of the picture's width.

    Attributes:
        azimuth: of the camera, 0 before the person; ``height`` of the camera; ``field`` of view.
        room: how much farther away the camera stands than it takes to hold all of the motion.
        roll, shake: of the camera; the shake is a wandering of this size.
        limbs, girth: factors of bone lengths (each body part) and of thickness.
        grain: sensor noise, of 255 steps.
        ambient: share of the light from everywhere; ``steps``: shades of a flat-shaded body, 0 for smooth.
        exposure: brightness.
        occluders: chances of 0, 1 and 2 things before the person.
        jitter: of the detector, in torso lengths; ``swaps``: chance that a clip has sides exchanged for some frames.
    """

    azimuth: Range
    height: Range
    field: Range
    room: Range
    roll: float
    shake: float
    limbs: Range
    girth: Range
    grain: Range
    ambient: Range
    steps: int
    exposure: Range
    occluders: tuple[float, float, float]
    jitter: float
    swaps: float


DOMAINS = {
    "game": Domain(
        azimuth=(-50, 50),
        height=(1.3, 1.6),
        field=(46, 46),
        room=(1.0, 1.1),
        roll=0,
        shake=0,
        limbs=(1, 1),
        girth=(1, 1),
        grain=(0, 0),
        ambient=(0.62, 0.62),
        steps=2,
        exposure=(1, 1),
        occluders=(1, 0, 0),
        jitter=0.015,
        swaps=0,
    ),
    "real": Domain(
        azimuth=(-75, 75),
        height=(0.6, 2.4),
        field=(40, 64),
        room=(1.0, 1.35),
        roll=4,
        shake=0.012,
        limbs=(0.86, 1.14),
        girth=(0.85, 1.4),
        grain=(3, 9),
        ambient=(0.45, 0.7),
        steps=0,
        exposure=(1.0, 1.35),
        occluders=(0.35, 0.45, 0.2),
        jitter=0.03,
        swaps=0.25,
    ),
}

LEAST = 0.8  # metres that people keep from a camera before which something stands
WALL, FLOOR, PLANK = (0.72, 0.80, 0.86), (0.55, 0.62, 0.60), (0.50, 0.57, 0.55)  # the room of domain game
OUTFITS = (  # of domain game: shirt, trousers
    ((0.86, 0.27, 0.25), (0.22, 0.30, 0.52)),
    ((0.20, 0.47, 0.80), (0.25, 0.25, 0.30)),
    ((0.95, 0.74, 0.20), (0.30, 0.36, 0.60)),
    ((0.25, 0.62, 0.40), (0.48, 0.36, 0.28)),
    ((0.58, 0.34, 0.70), (0.20, 0.22, 0.34)),
    ((0.92, 0.50, 0.20), (0.24, 0.42, 0.44)),
)
SKINS = ((0.96, 0.80, 0.69), (0.88, 0.67, 0.52), (0.74, 0.53, 0.38), (0.55, 0.37, 0.26), (0.36, 0.24, 0.17))
HAIRS = ((0.08, 0.06, 0.05), (0.25, 0.15, 0.09), (0.45, 0.30, 0.16), (0.75, 0.60, 0.35), (0.55, 0.53, 0.52))
CLOTH = ("plain", "stripes", "bars", "checks", "dots", "patches", "rough")
WALLS = ("plain", "stripes", "checks", "bricks", "rough", "patches", "tiles")
FLOORS = ("planks", "tiles", "checks", "rough", "patches")


class Wear(NamedTuple):
    """One subject: textures of the slots ``[S, TILE, TILE, 3]``, factors of bones by body part, thickness, hair."""

    textures: np.ndarray
    sizes: dict[str, float]
    girth: float
    hair: float  # cosine from which on the head is hairy


def domain(name: str) -> Domain:
    """The ranges of a domain.

    Raises:
        InputError: no domain of that name.
    """
    if name not in DOMAINS:
        known = ", ".join(DOMAINS)
        raise InputError(f"domain {name!r}", "no such domain", f"one of {known}", did_you_mean(str(name), DOMAINS))
    return DOMAINS[name]


def draw_wear(name: str, rng: np.random.Generator) -> Wear:
    """What a subject looks like in a domain."""
    ranges = domain(name)
    if name == "game":
        shirt, trousers = OUTFITS[int(rng.integers(len(OUTFITS)))]
        plain = dict.fromkeys(SLOTS, SKINS[0]) | {"hair": HAIRS[1], "shirt": shirt, "sleeve": shirt}
        plain |= {"trousers": trousers, "shin": trousers, "shoe": (0.25, 0.22, 0.22)}
        whole = [np.broadcast_to(np.array(plain[slot], np.float32), (TILE, TILE, 3)) for slot in SLOTS]
        return Wear(np.stack(whole), {}, 1.0, 0.25)
    arms, legs, trunk = rng.uniform(*ranges.limbs, 3)
    sizes = {part: float(arms if "arm" in part else legs if "leg" in part else trunk) for part in PARTS}
    skin = np.array(SKINS[int(rng.integers(len(SKINS)))]) * rng.uniform(0.9, 1.05)
    bare = texture("rough", rng, skin, 0.85 * skin)
    hair = np.array(HAIRS[int(rng.integers(len(HAIRS)))])
    above, below = _cloth(rng), _cloth(rng)
    shoe = texture("plain", rng, *2 * [_colour(rng)])
    of = dict.fromkeys(SLOTS, bare) | {"hair": texture("rough", rng, hair, 0.5 * hair), "shoe": shoe}
    of |= {"shirt": above, "sleeve": above, "forearm": above if rng.random() < 0.5 else bare}
    of |= {"trousers": below, "shin": below if rng.random() < 0.7 else bare}
    made = np.stack([bitten(of[slot], rng, 0.25) for slot in SLOTS])
    return Wear(made, sizes, float(rng.uniform(*ranges.girth)), float(rng.uniform(-0.1, 0.45)))


def draw_room(name: str, rng: np.random.Generator, reach: float, eye_at: np.ndarray, light: np.ndarray) -> Room:
    """The room of a clip.

    Args:
        reach: metres from the middle of the floor within which the people stay.
        eye_at: where the camera stands ``[3]``; the room holds it.
        light: unit vector towards the light, in the world.
    """
    back = np.arctan2(eye_at[0], eye_at[2])
    depth, width = float(np.hypot(eye_at[0], eye_at[2])) + 0.3, reach + 1.2
    if name == "game":
        wall, floor, plank = (np.array(colour) for colour in (WALL, FLOOR, PLANK))
        plain = texture("plain", rng, wall, wall)
        textures = (texture("tiles", np.random.default_rng(2), floor, plank), *4 * [plain])
        half = (max(width + 0.6, depth), reach + 1.6)
        return Room(half, 0.0, textures, (), (), light, 0.7, 0.0)
    turn = back + rng.uniform(-0.35, 0.35)
    half = (max(width + rng.uniform(0, 1.5), 0.45 * depth), reach + rng.uniform(0.6, 2.5))
    textures = tuple(
        bitten(texture(str(rng.choice(kinds)), rng, *_pair(rng)), rng, 0.4)
        for kinds in (FLOORS, ("rough",), *3 * [WALLS])
    )
    frames = tuple(
        Frame(
            int(rng.integers(2, 5)),
            (rng.uniform(-2.5, 2.5), rng.uniform(1.1, 2.1)),
            (rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.45)),
            texture("picture", rng, _colour(rng), _colour(rng)),
        )
        for _ in range(int(rng.integers(3, 9)))
    )
    boxes = [_furniture(rng, back, reach) for _ in range(int(rng.integers(4, 10)))]
    return Room(half, turn, textures, frames, tuple(boxes), light, rng.uniform(0.45, 0.75), rng.uniform(0, 0.5))


def draw_occluders(name: str, rng: np.random.Generator, eye_at: np.ndarray, field: float, reach: float) -> list[Box]:
    """Things between the camera and the people: poles, and low pieces that hide the legs in part.

    There are none where people come so near to the camera that nothing has its place between.
    """
    boxes: list[Box] = []
    away = float(np.hypot(eye_at[0], eye_at[2]))
    if away - reach < LEAST:
        return boxes
    toward = np.array((-eye_at[0], 0, -eye_at[2])) / away
    aside = np.array((toward[2], 0, -toward[0]))
    for _ in range(int(rng.choice(3, p=domain(name).occluders))):
        along = (away - reach) * rng.uniform(0.45, 0.75)
        wide = along * np.tan(np.radians(field) / 2)
        place = eye_at + toward * along + aside * wide * rng.uniform(0.15, 0.8) * rng.choice([-1, 1])
        if rng.random() < 0.4:
            half = (rng.uniform(0.02, 0.05), 1.35, rng.uniform(0.02, 0.05))
        else:
            half = (wide * rng.uniform(0.12, 0.3), rng.uniform(0.3, 0.5), 0.1)
        half = (half[0], min(half[1], 1.35 if half[1] > 1 else max(eye_at[1] - 0.3 * along, 0.4) / 2), half[2])
        boxes.append(Box((float(place[0]), half[1], float(place[2])), half, rng.uniform(-0.5, 0.5), _worn(rng)))
    return boxes


def _furniture(rng: np.random.Generator, back: float, reach: float) -> Box:
    """A piece behind or beside the people, seen from the camera's side."""
    angle = back + np.pi + rng.uniform(-1.3, 1.3)
    away = reach + rng.uniform(0.5, 1.6)
    high, wide, deep = rng.uniform(0.15, 0.95), rng.uniform(0.12, 0.6), rng.uniform(0.1, 0.35)
    place = (float(away * np.sin(angle)), float(high), float(away * np.cos(angle)))
    return Box(place, (wide, high, deep), float(angle + rng.uniform(-0.4, 0.4)), _worn(rng))


def _colour(rng: np.random.Generator, value: Range = (0.3, 0.8)) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.8) ** 1.5, rng.uniform(*value)))


def _pair(rng: np.random.Generator, value: Range = (0.3, 0.8), apart: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    first = _colour(rng, value)
    return first, np.clip((1 - apart) * first + apart * _colour(rng, (0.1, 1.0)), 0, 1)


def _cloth(rng: np.random.Generator) -> np.ndarray:
    """Lighter or darker than most walls."""
    value = (0.75, 1.0) if rng.random() < 0.65 else (0.18, 0.35)
    return texture(str(rng.choice(CLOTH)), rng, *_pair(rng, value, 0.55))


def _worn(rng: np.random.Generator) -> np.ndarray:
    return bitten(texture(str(rng.choice(WALLS + FLOORS)), rng, *_pair(rng)), rng, 0.4)
