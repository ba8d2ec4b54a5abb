"""MediaPipe Pose landmarks as json or csv: 33 landmarks per frame, in metres (world) or in the image.

MediaPipe (BlazePose; Bazarevsky et al., 2020) writes no files itself; this is how its results are kept. Case and
underscores of names do not count:

* json: a list of frames, or an object with ``frames`` and perhaps ``fps``, ``width``, ``height``, ``landmark_names``.
  A frame has ``landmarks`` (``pose_landmarks``) and ``world_landmarks`` (``pose_world_landmarks``), and its number in
  ``frame`` or its time (``timestamp_ms``, ...). Landmarks are 33 times ``[x, y, z, visibility]`` or ``{"x": ...}``,
  by name (``{"nose": {...}}``), wrapped in an object (``{"landmark": [...]}``), a list of such for several people, or
  empty where nobody was found;
* csv: a row for each frame, columns ``nose_x``, ``nose_y``, ``nose_z``, ``nose_visibility`` ... and perhaps ``frame``
  or a time. Other columns are passed over. A csv beside a json of the same name is the same recording once more, so
  ``prepare`` takes the json only.

World landmarks become a 3-D motion in metres, the middle of the hips at the origin of every frame, so a walk goes
nowhere. Files without them, or with ``image=True``, give a 2-D motion: in pixels where the file tells the
size of the image, else as shares of its width and height (unit ``1``). Columns ``landmarks`` (``world`` or ``image``)
and ``coordinates`` (``m``, ``px``, ``0..1``) say which. The z of image landmarks, which is no length, is passed over.
Confidence is the visibility.

Where no name says which landmarks they are, the numbers do (:func:`_in_space`): x and y within the image are image
landmarks, a body around the origin is world landmarks, and a body of another size or place was measured in space; its
unit and up axis are those of a body of such size and posture, and are noted. Else the setting ``landmarks`` has to say
it (``world`` or ``image``). A landmark without x or y (NaN, null, an empty cell) is missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout, size
from ..motion.motion import Motion
from ..utils.errors import InputError
from ..utils.files import write_json
from . import Options, _bodies, _detections, _frame_names, _landmarks, _tracking

suffixes = (".json", ".csv")
settings = {"landmarks": ("image", "world")}

LAYOUT = layout.layout("mediapipe33")
GUESSED = "recordings whose landmarks are taken to be in space, by their numbers"


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() == ".csv":
        names = {_landmarks.plain(name.decode("latin-1")) for name in re.split(rb'[",;\t\r]+', head.split(b"\n", 1)[0])}
        return {"nosex", "lefthipy"} <= names and not names.isdisjoint(
            {"lefteyeinnerx", "leftfootindexx", "mouthleftx"}
        )
    if path.suffix.lower() != ".json":
        return False
    return bool(_landmarks.LANDMARKS.search(head)) or (
        bool(_landmarks.BROWSER.search(head)) and b'"left_eye_inner"' in head
    )


def side(path: Path, head: bytes) -> bool:
    """A csv beside a json of the same name."""
    twin = path.with_suffix(".json")
    try:
        with open(twin, "rb") as file:
            return path.suffix.lower() == ".csv" and sniff(path, head) and sniff(twin, file.read(len(head) or 1))
    except OSError:
        return False


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion: ``[T, M, 33, 3]`` from world landmarks, ``[T, M, 33, 2]`` from those in the image."""
    wanted = (options.table or {}).get("landmarks")
    is_table = path.suffix.lower() == ".csv"
    found = _landmarks.from_csv(path) if is_table else _landmarks.from_json(path)
    notes, points, frame = found.notes, found.points, found.frame
    asked = wanted or ("image" if options.image else None)
    if not len(points["world"]) and wanted != "image" and _in_space(path, found, asked):
        points["world"], points["image"] = points["image"], points["world"]
        frame["world"], frame["image"] = frame["image"], frame["world"]
    by = points["image"]
    kind = asked if asked and len(points[asked]) else "world" if len(points["world"]) else "image"
    if wanted == "world" and kind == "image" and len(by):
        raise InputError(path, "no world landmarks", "world_landmarks in every frame", "Take those in the image")
    together = len(by) == len(points[kind]) and frame["image"] == frame[kind]
    fps = _times(found)
    people = _detections.gaps(_vouched(points[kind][..., [0, 1, 3]] if kind == "image" else points[kind]), notes)
    place = _detections.gaps(_vouched(by[..., [0, 1, 3]]), Counter()) if together else None
    joints, seen, extra = _tracking.clip(path, found.numbers, found.frame[kind], people, by=place)
    extent, unit, coordinates = None, "m", "m"
    up: str | None = "-y"
    if kind == "image":
        extent = _landmarks.size(found.about, notes)
        unit, coordinates = _detections.unit(people)
        if extent and unit == "1":
            joints, unit, coordinates = joints * np.array(extent, np.float32), "px", "px"
    elif not found.stated:
        told: _detections.Notes = Counter()
        unit, up = _bodies.in_space(people, LAYOUT, options, told)
        if unit == "m" and up in (None, "-y") and _origin(people).all():  # as no other landmarks are
            up = "-y"
        else:
            notes.update(told)
        coordinates = unit
    fps = _detections.rate(_landmarks.first(found.about, _landmarks.RATE), notes) or fps
    yield Motion(
        joints,
        LAYOUT,
        seen,
        fps=fps / extra["frame_step"] if fps else None,
        up=up,
        unit=unit,
        image_size=extent,
        source=path.name,
        extra={**extra, "landmarks": kind, "coordinates": coordinates},
        notes=notes,
    )


def _in_space(path: Path, found: _landmarks.Found, asked: str | None) -> bool:
    """Whether landmarks of no certain kind were measured in space: as is asked for, else as their numbers say.

    In the image x and y are shares of it, or pixels within its size, and z begins at the hips; a body in space is
    somewhere else, or around the origin, and has the size and posture of one.

    Raises:
        InputError: it cannot be told, and the user does not say it.
    """
    points = found.points["image"]
    there = np.isfinite(points[..., :2]).all(-1)
    if found.stated or not there.any():  # its name says that it is the image
        return False
    x, y = (points[there, axis] for axis in (0, 1))
    z = points[there, 2]
    if not (np.isfinite(z).any() and np.nanmax(np.abs(z)) > 0):  # two coordinates
        return False
    people = _detections.gaps(_vouched(points), Counter())
    origin = _origin(people)
    extent = _landmarks.size(found.about, Counter())
    wide, high = extent or (1, 1)
    inside = (np.abs(x / wide - 0.5) < 1) & (np.abs(y / high - 0.5) < 1)
    shares = (np.abs(x - 0.5) < 1) & (np.abs(y - 0.5) < 1)
    visible = bool(np.isfinite(points[..., 3]).any())
    if not origin.all():
        of_image = inside.mean() > 0.95 and extent is not None
        of_image |= shares.mean() > 0.95 and (visible or bool(origin[2]))
        if of_image:
            return False
    if asked == "world":
        return True
    unit, up = _bodies.in_space(people, LAYOUT, Options(), Counter())
    if origin.all() or (unit != "1" and up is not None and not (origin[2] and up == "-y")):
        found.notes[GUESSED] += 1
        return True
    if asked == "image" or found.usual:
        return False
    raise InputError(
        path,
        f"landmarks with z (x from {x.min():.4g} to {x.max():.4g}, y from {y.min():.4g} to {y.max():.4g}) that may be "
        "in the image or in space",
        "image landmarks from 0 to 1 or with the size of the image, or a body in space",
        "Say which: --read landmarks=image or landmarks=world (in Python: kineme.read(path, landmarks='image'))",
    )


def _origin(people: np.ndarray) -> np.ndarray:
    """Whether the middle of the hips ``[D, 33, 4]`` is at the origin, along each axis: bool ``[3]``."""
    hips = list(LAYOUT.root)
    whole = (people[:, hips, 3] > 0).all(1)
    seen = people[..., 3] > 0
    if not whole.any():
        return np.zeros(3, bool)
    span = np.median(np.ptp(people[seen][:, :3], axis=0)) if seen.any() else 0
    return np.median(np.abs(people[whole][:, hips, :3].mean(1)), axis=0) < 0.05 * span


def _vouched(points: np.ndarray) -> np.ndarray:
    """The same landmarks; where a file states no visibility at all, those that are there count as seen."""
    if np.isfinite(points[..., -1]).any():
        return points
    return np.concatenate([points[..., :-1], np.ones_like(points[..., -1:])], axis=-1)


def _times(found: _landmarks.Found) -> float | None:
    """Frames per second by the times of frames; without numbers of their own frames are put where they were taken."""
    times = np.array([_detections.number(time) for time in found.times])
    if len(times) < 2 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        return None
    middle = float(np.median(np.diff(times) / np.maximum(np.diff(found.numbers), 1)))
    second = found.second or next((k for k in (1.0, 1e-3, 1e-6, 1e-9) if 1e-3 <= middle * k < 1.0), None)
    if second is None or not 0.1 <= 1 / (middle * second) <= 1000:
        return None
    timed = _frame_names.times((times - times[0]).tolist(), 1 / second) if found.counted else None
    if timed is None:
        return 1 / (middle * second)
    number = dict(zip(found.numbers, timed[0]))
    found.numbers = timed[0]
    found.frame = {kind: [number[k] for k in at] for kind, at in found.frame.items()}
    return timed[1]


def fits(motion: Motion) -> Motion:
    """The motion as 33 landmarks: in space in metres, y down; in the image as it is."""
    motion = motion if motion.layout.name == LAYOUT.name else motion.to_layout(LAYOUT)
    return size.turned(size.metric(motion), "-y") if motion.coords == 3 else motion


def write(folder: str | Path, motions: Iterable[Motion]) -> Path:
    """One ``NAME.json`` per clip: frames of ``world_landmarks`` (3-D) or ``landmarks`` (2-D), a list of people in each.

    Landmarks in the image are shares of it where its size is known. Missing landmarks are 0.

    Raises:
        InputError: other joints, or other units, than :func:`fits` gives.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for clip in motions:
        if clip.layout.name != LAYOUT.name or (clip.coords == 3 and (clip.unit, clip.up) != ("m", "-y")):
            found = f"layout {clip.layout.name}, {clip.coords}-D, unit {clip.unit}, up {clip.up}"
            raise InputError(clip.source, found, "mediapipe33, in space in metres with -y up")
        key = "world_landmarks" if clip.coords == 3 else "landmarks"
        scale = np.array(clip.image_size) if clip.coords == 2 and clip.image_size and clip.unit == "px" else 1
        values = clip.joints.astype(np.float64) / scale
        if clip.coords == 2:
            values = np.concatenate([values, np.zeros_like(values[..., :1])], -1)
        values = np.concatenate([values, clip.confidence[..., None]], -1)
        values = np.where(values[..., 3:] > 0, values, 0)
        here = np.any(clip.confidence, axis=2)
        frames = [
            {
                "frame": frame,
                key: [
                    [[float(f"{value:.9g}") for value in point] for point in values[frame, person].tolist()]
                    for person in np.flatnonzero(here[frame])
                ],
            }
            for frame in range(len(clip))
        ]
        about: dict[str, Any] = dict(zip(("width", "height"), clip.image_size or ()))
        about |= {"fps": clip.fps} if clip.fps else {}
        write_json(folder / f"{clip.source.replace('/', '_')}.json", {**about, "frames": frames})
    return folder
