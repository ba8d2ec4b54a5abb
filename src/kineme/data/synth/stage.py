"""Who does what, when and where: takes are drawn, and played as bodies in a room."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from .actions import PAIRS, SINGLE, idle
from .body import Person, body, draw_person, meet, reach, sides, stand
from .performance import DRAWS, Performance

SHORTEST, LONGEST = 2.0, 3.0  # seconds of a clip


FACING = 28.0  # degrees to either side that people may face away from the first camera


class Take(NamedTuple):
    """One performance: who does what for which time; ``normals`` are its draws, the partner's follow."""

    action: str
    subject: int
    partner: int
    repetition: int
    frames: int
    scene: np.ndarray  # [3] heading, place
    normals: np.ndarray  # [2, DRAWS]


def generator(*key: int | str) -> np.random.Generator:
    """A generator of its own for everything that is drawn; actions count by name, so new ones change nothing."""
    return np.random.default_rng([int.from_bytes(part.encode()) if isinstance(part, str) else part for part in key])


def draw_take(seed: int, names: tuple[str, ...], number: int, subjects: int, fps: float) -> Take:
    lap, place = divmod(number, len(names))
    repetition, subject = divmod(lap, subjects)
    action = names[place]
    rng = generator(seed, 1, action, subject, repetition)
    frames = round(rng.uniform(SHORTEST, LONGEST) * fps)
    scene = rng.uniform((-FACING, -0.3, -0.3), (FACING, 0.3, 0.3)).astype(np.float32)
    partner = (subject + 1 + int(rng.integers(max(subjects - 1, 1)))) % max(subjects, 2)
    return Take(action, subject, partner, repetition, frames, scene, rng.standard_normal((2, DRAWS), np.float32))


@functools.lru_cache(maxsize=4096)
def subject_of(seed: int, subject: int) -> Person:
    return draw_person(generator(seed, 2, subject))


@functools.lru_cache(maxsize=4096)
def _habits(seed: int, subject: int, action: str) -> np.ndarray:
    """How this subject does this action, [DRAWS]."""
    return generator(seed, 3, action, subject).standard_normal(DRAWS, np.float32)


def perform(takes: list[Take], seed: int, fps: float, restless: float) -> np.ndarray:
    """Bodies in the world: float32 [n, M, V, 3, T], all points of the made body, T the frames of the longest clip.

    An absent partner is 0. Every take is computed over all T frames, so it does not depend on its neighbours.
    """
    persons = 2 if any(take.action in PAIRS for take in takes) else 1
    made = np.zeros((len(takes), persons, len(body()), 3, round(LONGEST * fps)), np.float32)
    for action in dict.fromkeys(take.action for take in takes):
        rows = [i for i, take in enumerate(takes) if take.action == action]
        for person, points in enumerate(_play([takes[i] for i in rows], seed, fps, restless, made.shape[-1])):
            for joint, name in enumerate(body().joints):
                made[rows, person, joint] = points[name].swapaxes(0, 1)
    return made


def _play(takes: list[Take], seed: int, fps: float, restless: float, frames: int) -> list[dict[str, np.ndarray]]:
    """Many takes of one action: for each person the points [3, n, T] by name, placed in the room."""
    action = takes[0].action
    parts = PAIRS[action] if action in PAIRS else (SINGLE[action],)
    length = np.array([[take.frames / fps] for take in takes], np.float32)
    clock = np.broadcast_to(np.arange(frames, dtype=np.float32) / np.float32(fps), (len(takes), frames))
    valid = clock < length - np.float32(0.5 / fps)
    heading = np.array([take.scene[:1] for take in takes])
    acts: list[Performance] = []
    poses = []
    for role, part in enumerate(parts):
        who = [take.partner if role else take.subject for take in takes]
        people = [subject_of(seed, subject) for subject in who]
        lengths = {name: np.array([[p.lengths[name]] for p in people], np.float32) for name in people[0].lengths}
        habits = np.stack([_habits(seed, subject, action) for subject in who])
        act = Performance(
            people,
            habits,
            np.stack([take.normals[role] for take in takes]),
            clock,
            length,
            restless,
            lead=acts[0] if acts else None,
        )
        left = np.array([[p.left_handed] for p in people]) ^ act.chance(0.3)  # mostly the preferred hand,
        left &= len(parts) == 1  # but hands that are to meet are right hands
        idle(act)
        part(act)
        acts.append(act)
        poses.append(stand(sides(act.curves, left), lengths, heading + 180 * role, valid, fps))
    bodies = [reach(poses[0])] if len(parts) == 1 else meet(poses, acts[0].touch, heading, palms=action == "push")
    count = np.float32(len(bodies)) * valid.sum(1, keepdims=True)
    centre = sum((each["pelvis"] * valid).sum(2, keepdims=True) for each in bodies) / count
    place = np.array([take.scene[1:] for take in takes]).T[:, :, None]
    shift = np.stack([place[0] - centre[0], 0 * centre[1], place[1] - centre[2]])
    return [{name: point + shift for name, point in each.items()} for each in bodies]
