"""Synthetic motions of synthetic subjects before synthetic cameras: the built-in data of the demo and of the tests.

``body`` holds proportions and kinematics, ``performance`` and ``actions`` what people do, ``stage`` who does it when,
``sensor`` which camera sees it and what is lost; ``io`` writes it to disk. ``render`` draws motion as video: ``figure``
is the body in it, ``scene`` what stands around, ``raster`` draws, ``looks`` says how both domains look, ``shot`` makes
the pictures of a clip, ``detector`` the poses that are found in them. Everything follows from the seed, and a clip
does not depend on how many clips are generated.

Examples:
    >>> clips = list(kineme.synth.generate(6, seed=0))
    >>> clips[0].joints.shape[1:], clips[0].camera != clips[1].camera
    ((1, 25, 3), True)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...io import arrays, bvh, ntu
from ...motion.joint_map import joint_map
from ...motion.layout import Layout
from ...motion.layout import layout as built_in
from ...motion.motion import Motion
from ...utils.errors import InputError
from ...utils.registry import did_you_mean
from .actions import action_names
from .body import body, further
from .sensor import CAMERAS, Sensor, Stage, film
from .stage import draw_take, perform

BLOCK = 256  # performances that are computed together
PICTURES = (
    "coco17",
    "openpose18",
    "body25",
    "body25b",
    "penn13",
    "pose13",
    "halpe26",
    "jhmdb15",
    "coco_wholebody133",
    "halpe136",
)  # layouts of images: 2-D unless asked otherwise


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

    Examples:
        >>> a, b = kineme.synth.generate(2, cameras=2, noise=1.0)  # one performance before two cameras
        >>> a.label == b.label, a.extra["performance"] == b.extra["performance"]
        (True, True)
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
        takes = [draw_take(seed, names, number, subjects, fps) for number in numbers]
        made = perform(takes, seed, fps, restless)
        stage = Stage(takes, made, target, *_joints(made, target), seed, fps)
        films = [film(stage, view, sensor) for view in views]
        for i, number in enumerate(numbers):
            for k, seen in enumerate(films, number * len(views)):
                if start <= k < start + clips:
                    yield seen[i]


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

    Examples:
        >>> sorted(path.name for path in kineme.synth.write("clips", 4).iterdir())
        ['synth.json', 'synth.npz']
    """
    motions = clips if isinstance(clips, Iterable) else generate(clips, **options)
    writers: dict[str, Callable[..., Path]] = {
        "arrays": functools.partial(arrays.write, name=name),
        "ntu": functools.partial(ntu.write, actions=action_names()),
        "bvh": bvh.write,
    }
    if format not in writers:
        raise InputError(
            f"format {format!r}", "no such format", f"one of {', '.join(writers)}", did_you_mean(format, writers)
        )
    return writers[format](folder, motions)


def difficulty(clips: int = 960, subjects: int = 20, seed: int = 0, **options: Any) -> dict[str, float]:
    """How far raw joints get on synthetic motions: root-centred in every frame, resampled to 32 frames, flattened.

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
    names = action_names(1) if chosen is None else tuple(chosen)
    for name in names or ("",):
        if name not in action_names():
            raise InputError(
                f"action {name!r}",
                "no such action",
                f"one of {', '.join(action_names())}",
                did_you_mean(name, action_names()),
            )
    return names


def _within(**limits: tuple[float, float, float]) -> None:
    for what, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise InputError(what, f"{value}", f"a number from {low} to {high}")


# Performances


# Cameras and sensors


def _joints(made: np.ndarray, target: Layout) -> tuple[np.ndarray, np.ndarray]:
    """The layout's joints, taken or averaged from the body's points: known [V] 0 or 1, joints [n, T, M, V, 3].

    One joint at a time instead of a matmul: sums in a fixed order give the same bits for any n.
    """
    weights = joint_map(body(), target).weights.copy()
    for joint, name in enumerate(target.canonical_names):
        for point, share in (further(name) or {}).items():
            weights[joint, body().joints.index(point)] = share
    n, persons, _, _, frames = made.shape
    joints = np.zeros((n, frames, persons, len(target), 3), np.float32)
    for joint, row in enumerate(weights):
        for source in np.flatnonzero(row):
            joints[:, :, :, joint] += row[source] * made[:, :, source].transpose(0, 3, 1, 2)
    return np.asarray(weights.any(1), np.float32), joints
