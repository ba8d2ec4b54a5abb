"""Made motions of made people before made cameras: the built-in data of the demo and of the tests.

``synth_body`` holds proportions and kinematics, ``synth_act`` and ``synth_actions`` what people do, ``synth_files``
the ways to disk; here is who does it when, which camera sees it and what its sensor loses. Everything follows from the
seed, and a clip does not depend on how many clips are made.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...motion import camera
from ...motion.layout import Layout, joint_map
from ...motion.layout import layout as built_in
from ...motion.motion import Motion
from ...utils.errors import InputError
from ...utils.registry import did_you_mean
from .actions import PAIRS, SINGLE, idle
from .body import Person, body, draw_person, meet, reach, sides, stand
from .files import write_arrays, write_bvh, write_ntu
from .performance import DRAWS, Act

SHORTEST, LONGEST = 2.0, 3.0  # seconds of a clip
BLOCK = 256  # performances that are computed together
PICTURES = ("coco17", "openpose18", "body25", "penn13", "pose13")  # layouts of images: 2-D unless asked otherwise
FOCAL = 0.552  # focal length in image widths: the colour camera of the Kinect v2
CAMERAS = np.array(
    [  # azimuth and elevation in degrees, distance in metres
        (0, 6, 3.3),
        (40, 14, 3.6),
        (-40, 10, 3.1),
        (80, 8, 3.5),
        (-80, 16, 3.3),
        (150, 10, 3.7),
        (-150, 6, 3.4),
        (25, 24, 4.0),
    ]
)
DRIFT = np.array([9, 4, 0.35, 2])  # how far a camera may be moved between performances: the same, and roll
FACING = 28.0  # degrees to either side that people may face away from the first camera
SOLIDS = (  # what hides joints from a camera: capsules between two points, radius in metres
    ("pelvis", "chest", 0.12),
    ("neck", "head_top", 0.09),
    *(
        (f"{side}_{first}", f"{side}_{second}", radius)
        for side in ("left", "right")
        for first, second, radius in (
            ("hip", "knee", 0.07),
            ("knee", "ankle", 0.05),
            ("shoulder", "elbow", 0.05),
            ("elbow", "hand", 0.04),
        )
    ),
)


class Take(NamedTuple):
    """One performance: who does what for which time; ``normals`` are its draws, the partner's follow."""

    action: str
    subject: int
    partner: int
    repetition: int
    frames: int
    scene: np.ndarray  # [3] heading, place
    normals: np.ndarray  # [2, DRAWS]


def actions(persons: int | None = None) -> tuple[str, ...]:
    """Names of the actions: those of one person, then those of two; ``persons`` = 1 or 2 gives one kind only."""
    return (tuple(SINGLE) if persons != 2 else ()) + (tuple(PAIRS) if persons != 1 else ())


def generate(
    clips: int,
    actions: Sequence[str] | None = None,
    subjects: int = 10,
    cameras: int = 3,
    layout: str | Layout = "ntu25",
    seed: int = 0,
    noise: float = 0.0,
    dropout: float = 0.0,
    occlusion: float = 0.0,
    fps: float = 30.0,
    coords: int | None = None,
    image_size: tuple[int, int] = (1920, 1080),
    restless: float = 1.0,
    start: int = 0,
) -> Iterator[Motion]:
    """Make motions. Clip k is camera k mod ``cameras`` of performance k // ``cameras``; performances walk through the
    actions first, then the subjects, then repetitions. The same seed gives the same bits.

    Args:
        clips: how many clips, from number ``start`` on.
        actions: names from :func:`actions`; by default those of one person (16).
        subjects: how many people; each has proportions, a preferred hand, tempo, posture and ways of their own.
        cameras: how many places they are filmed from, up to 8; 0: no camera, joints in the room (floor y = 0) as
            motion capture gives them, one clip for each performance.
        layout: any layout; joints it has and the made body has not get confidence 0.
        noise: sensor jitter; 1 is a centimetre at 3 m, growing with the square of the depth, larger along it.
        dropout: share of the joints that is missing, in runs of frames; a quarter of it as whole frames.
        occlusion: chance that a joint hidden behind a body part is lost; joints that are hidden and not lost have
            confidence 0.5 and three times the jitter. Noise and occlusion need a camera.
        fps: frames per second.
        coords: 3: metres in the camera's frame (x to its left, y up, z away from it, as the Kinect has it); 2: pixels;
            by default 2 for the layouts of image detectors, else 3.
        image_size: (width, height) for 2-D.
        restless: how much idle limbs and the head do beside the action; 0 is none.

    Yields:
        motions of 2 to 3 seconds with label, subject, camera, source and, in ``extra``, dataset, repetition,
        performance (shared by all cameras) and style (the preferred hand). Two people wherever an action has two.

    Raises:
        InputError: an unknown action or layout, or a number out of range.
    """
    names = _names(actions)
    _within(
        clips=(clips, 0, 10**9),
        subjects=(subjects, 1, 10**4),
        cameras=(cameras, 0, len(CAMERAS)),
        start=(start, 0, 10**12),
        seed=(seed, 0, 2**64),
        noise=(noise, 0, 100),
        dropout=(dropout, 0, 0.9),
        occlusion=(occlusion, 0, 1),
        fps=(fps, 5, 240),
        coords=(coords or 3, 2, 3),
        restless=(restless, 0, 2),
    )
    target = built_in(layout) if isinstance(layout, str) else layout
    flat = (2 if target.name in PICTURES else 3) if coords is None else coords
    sensor = Sensor(noise, dropout, occlusion, image_size if flat == 2 else None)
    if not cameras and (noise or occlusion or sensor.image_size):
        raise InputError("cameras", "0, with noise, occlusion or 2-D joints", "a camera for what only a camera can see")
    views: Sequence[int | None] = range(cameras) if cameras else [None]
    first, last = start // len(views), -(-(start + clips) // len(views))
    for block in range(first, last, BLOCK):
        numbers = range(block, min(block + BLOCK, last))
        takes = [_take(seed, names, number, subjects, fps) for number in numbers]
        made = _perform(takes, seed, fps, restless)
        stage = Stage(takes, made, target, *_joints(made, target), seed, fps)
        films = [_film(stage, view, sensor) for view in views]
        for i, number in enumerate(numbers):
            for k, film in enumerate(films, number * len(views)):
                if start <= k < start + clips:
                    yield film[i]


def write(
    folder: str | Path, clips: int | Iterable[Motion], name: str = "synth", format: str = "arrays", **options: Any
) -> Path:
    """Make motions and write them as a set that ``kineme prepare`` reads.

    Args:
        folder: made if missing.
        clips: how many, or the motions themselves.
        name: the set's name (``arrays`` only).
        format: ``arrays`` (NAME.npz and NAME.json), ``ntu`` (one .skeleton file per clip) or ``bvh`` (one file per
            clip and person).
        options: those of :func:`generate`.

    Returns:
        the folder.
    """
    motions = clips if isinstance(clips, Iterable) else generate(clips, **options)
    writers: dict[str, Callable[..., Path]] = {
        "arrays": functools.partial(write_arrays, name=name),
        "ntu": write_ntu,
        "bvh": write_bvh,
    }
    if format not in writers:
        raise InputError(
            f"format {format!r}", "no such format", f"one of {', '.join(writers)}", did_you_mean(format, writers)
        )
    return writers[format](folder, motions)


def difficulty(clips: int = 960, subjects: int = 20, seed: int = 0, **options: Any) -> dict[str, float]:
    """How far raw joints get on made motions: root-centred in every frame, resampled to 32 frames, flattened.

    Trained on every second subject before all cameras but the last, tested on the other subjects before the last.

    Args:
        clips, subjects, seed, options: of :func:`generate`.

    Returns:
        accuracy of ``1-NN`` (Euclidean) and of ``linear`` (multinomial logistic regression, standardised, C = 0.05).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = list(generate(clips, subjects=subjects, seed=seed, **options))
    joints = np.stack([motion.centre().resize(32).joints.ravel() for motion in made])
    columns = ("label", "subject", "camera")
    label, subject, view = (np.array([getattr(motion, what) for motion in made]) for what in columns)
    train, test = (subject % 2 == 1) & (view < view.max()), (subject % 2 == 0) & (view == view.max())
    probes = {
        "1-NN": KNeighborsClassifier(1),
        "linear": make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500)),
    }
    fitted = {name: probe.fit(joints[train], label[train]) for name, probe in probes.items()}
    return {name: float(probe.score(joints[test], label[test])) for name, probe in fitted.items()}


def _names(chosen: Sequence[str] | None) -> tuple[str, ...]:
    names = actions(1) if chosen is None else tuple(chosen)
    for name in names or ("",):
        if name not in actions():
            raise InputError(
                f"action {name!r}", "no such action", f"one of {', '.join(actions())}", did_you_mean(name, actions())
            )
    return names


def _within(**limits: tuple[float, float, float]) -> None:
    for what, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise InputError(what, f"{value}", f"a number from {low} to {high}")


# Performances


def _rng(*key: int | str) -> np.random.Generator:
    """A generator of its own for everything that is drawn; actions count by name, so new ones change nothing."""
    return np.random.default_rng([int.from_bytes(part.encode()) if isinstance(part, str) else part for part in key])


def _take(seed: int, names: tuple[str, ...], number: int, subjects: int, fps: float) -> Take:
    lap, place = divmod(number, len(names))
    repetition, subject = divmod(lap, subjects)
    action = names[place]
    rng = _rng(seed, 1, action, subject, repetition)
    frames = round(rng.uniform(SHORTEST, LONGEST) * fps)
    scene = rng.uniform((-FACING, -0.3, -0.3), (FACING, 0.3, 0.3)).astype(np.float32)
    partner = (subject + 1 + int(rng.integers(max(subjects - 1, 1)))) % max(subjects, 2)
    return Take(action, subject, partner, repetition, frames, scene, rng.standard_normal((2, DRAWS), np.float32))


@functools.lru_cache(maxsize=4096)
def _person(seed: int, subject: int) -> Person:
    return draw_person(_rng(seed, 2, subject))


@functools.lru_cache(maxsize=4096)
def _habits(seed: int, subject: int, action: str) -> np.ndarray:
    """How this subject does this action, [DRAWS]."""
    return _rng(seed, 3, action, subject).standard_normal(DRAWS, np.float32)


def _perform(takes: list[Take], seed: int, fps: float, restless: float) -> np.ndarray:
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
    acts: list[Act] = []
    poses = []
    for role, part in enumerate(parts):
        who = [take.partner if role else take.subject for take in takes]
        people = [_person(seed, subject) for subject in who]
        lengths = {name: np.array([[p.lengths[name]] for p in people], np.float32) for name in people[0].lengths}
        habits = np.stack([_habits(seed, subject, action) for subject in who])
        act = Act(
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


# Cameras and sensors


class Stage(NamedTuple):
    """Takes as they were played: ``made`` from :func:`_perform`, ``known`` and ``joints`` from :func:`_joints`."""

    takes: list[Take]
    made: np.ndarray
    layout: Layout
    known: np.ndarray
    joints: np.ndarray
    seed: int
    fps: float


def _film(stage: Stage, view: int | None, sensor: Sensor) -> list[Motion]:
    """What one camera sees; without a view, what is there."""
    takes, made, joints = stage.takes, stage.made, stage.joints
    number = len(CAMERAS) if view is None else view
    rngs = [_rng(stage.seed, 4, take.action, take.subject, take.repetition, number) for take in takes]
    n, frames, persons = joints.shape[:3]
    hidden = np.zeros(joints.shape[:4], bool)
    if view is not None:
        azimuth, elevation, distance, roll = _stations(view, rngs)
        eyes = camera.orbit(azimuth, elevation, distance, np.tile(np.array((0, 1, 0), np.float32), (n, 1)), roll)
        joints = camera.see(joints.reshape(n, -1, 3), eyes).reshape(joints.shape)
    if sensor.occlusion:
        ends = [[body().joints.index(name) for name in solid[:2]] for solid in SOLIDS]
        solids = camera.see(made[:, :, ends].transpose(0, 5, 1, 2, 3, 4).reshape(n, -1, 3), eyes)
        hidden = _behind(joints, solids.reshape(n, frames, persons * len(SOLIDS), 2, 3))
    up, unit = ("+y", "m") if sensor.image_size is None else ("-y", "px")
    motions = []
    for i, (take, rng) in enumerate(zip(takes, rngs)):
        shape = slice(take.frames), slice(2 if take.action in PAIRS else 1)
        xyz, confidence = sensor.sense(joints[i][shape], hidden[i][shape], rng)
        confidence *= stage.known
        xyz[confidence == 0] = 0
        performance = f"a{actions().index(take.action) + 1:02d}_s{take.subject + 1:02d}_e{take.repetition:02d}"
        style = "left" if _person(stage.seed, take.subject).left_handed else "right"
        motions.append(
            Motion(
                xyz,
                stage.layout,
                confidence,
                fps=float(stage.fps),
                up=up,
                unit=unit,
                image_size=sensor.image_size,
                label=take.action,
                subject=take.subject + 1,
                camera=None if view is None else view + 1,
                source=performance if view is None else f"{performance}_v{view + 1:02d}",
                extra={"dataset": "synth", "repetition": take.repetition, "performance": performance, "style": style},
            )
        )
    return motions


def _stations(view: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Azimuth, elevation, distance (metres) and roll of one camera for each take: float32 [4, n], radians."""
    base = np.array([*CAMERAS[view], 0.0])
    drawn = base + DRIFT * np.stack([rng.uniform(-1, 1, 4) for rng in rngs])
    return (drawn * [np.pi / 180, np.pi / 180, 1, np.pi / 180]).astype(np.float32).T


def _joints(made: np.ndarray, target: Layout) -> tuple[np.ndarray, np.ndarray]:
    """The layout's joints, taken or averaged from the body's points: known [V] 0 or 1, joints [n, T, M, V, 3].

    One joint at a time instead of a matrix product: sums in a fixed order give the same bits for any n.
    """
    weights = joint_map(body(), target).weights
    n, persons, _, _, frames = made.shape
    joints = np.zeros((n, frames, persons, len(target), 3), np.float32)
    for joint, row in enumerate(weights):
        for source in np.flatnonzero(row):
            joints[:, :, :, joint] += row[source] * made[:, :, source].transpose(0, 3, 1, 2)
    return np.asarray(weights.any(1), np.float32), joints


def _behind(joints: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which joints lie behind a body part as the camera sees it.

    Args:
        joints: [n, T, M, V, 3] in the camera's frame.
        ends: [n, T, M * S, 2, 3] ends of the solid parts there.

    Returns:
        bool [n, T, M, V]
    """
    depth = np.sqrt((joints * joints).sum(-1))
    ray = joints / np.maximum(depth, 1e-6)[..., None]
    hidden = np.zeros(depth.shape, bool)
    for solid in range(ends.shape[2]):
        first, second = (ends[:, :, solid, None, None, end] for end in (0, 1))
        radius = np.float32(SOLIDS[solid % len(SOLIDS)][2])
        near, far = (first * ray).sum(-1), (second * ray).sum(-1)  # along the ray
        start, along = first - near[..., None] * ray, (second - first) - (far - near)[..., None] * ray
        share = np.clip(-(start * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-9), 0, 1)
        miss = start + share[..., None] * along
        hidden |= ((miss * miss).sum(-1) < radius * radius) & (near + share * (far - near) < depth - radius - 0.03)
    return hidden


class Sensor(NamedTuple):
    """What comes between a body and its record; see :func:`generate`."""

    noise: float
    dropout: float
    occlusion: float
    image_size: tuple[int, int] | None

    def sense(self, joints: np.ndarray, hidden: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Joints [T, M, V, 3] in the camera's frame, and which are hidden -> joints [T, M, V, 2 or 3], confidence."""
        confidence = np.where(hidden, np.float32(0.5), np.float32(1))
        if self.noise:
            size = 0.01 * self.noise * (joints[..., 2:] / 3) ** 2 * np.where(hidden, 3, 1)[..., None] * (1, 1, 1.5)
            joints = joints + size.astype(np.float32) * rng.standard_normal(joints.shape, np.float32)
        if self.occlusion:
            confidence[hidden & (rng.random(joints.shape[1:3]) < self.occlusion)] = 0
        if self.dropout:
            confidence[_runs(rng, joints.shape[:3], self.dropout)] = 0
        if self.image_size is None:
            return np.array(joints), confidence
        image = camera.pixels(joints, FOCAL * self.image_size[0], self.image_size)
        confidence[((image < 0) | (image > self.image_size)).any(-1)] = 0
        return image, confidence


def _runs(rng: np.random.Generator, shape: tuple[int, ...], share: float, run: int = 6) -> np.ndarray:
    """Missing joints [T, M, V]: runs of frames, a quarter of the share as whole frames; one frame always stays."""
    frames = share / 4
    alone = 1 - (1 - share) / (1 - frames)
    missing = np.zeros(shape, bool)
    for part, place in ((alone, shape[1:]), (frames, (1, 1))):
        begin = rng.random((shape[0] + run - 1, *place)) < 1 - (1 - part) ** (1 / run)
        missing |= np.logical_or.reduce([begin[i : i + shape[0]] for i in range(run)])
    if missing.all():
        missing[shape[0] // 2] = False
    return missing
