"""Share of frames whose camera a linear probe tells: from the view code, and, as leakage, from the pose code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from ...utils.errors import InputError
from ...views.random_cameras import CameraSettings
from ..task import Task, require_frame_model
from . import _camera_pairs, cross_view, linear

CHANCE = "chance"


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        cameras: ``recorded``: those that the clip table names; ``drawn``: one of its own for each 3-D pose, told by the
            sector from which it sees the body; ``auto``: drawn for stores of 3-D poses, recorded for others.
        column: of the clip table; values of several together name a camera.
        frames: taken of each clip, evenly spread.
        poses: around which cameras are drawn, on either side.
        sectors: of the circle around the body; the first has its front in the middle.
        C: inverse strength of the probe's penalty, see ``linear``.
        draw: how cameras are drawn.
    """

    cameras: Literal["auto", "recorded", "drawn"] = "auto"
    column: tuple[str, ...] = ("camera",)
    frames: int = 4
    poses: int = 4000
    sectors: int = 8
    C: float = 0.05
    draw: CameraSettings = field(default_factory=CameraSettings)

    def __post_init__(self) -> None:
        for name, least in (("frames", 1), ("poses", 2), ("sectors", 2)):
            if getattr(self, name) < least:
                raise InputError(f"viewpoint.{name}", str(getattr(self, name)), f"{least} or more")


def score(task: Task, settings: Settings) -> dict[str, float]:
    """Logistic regression on the codes of training frames, tested on test frames.

    Returns:
        ``view code`` (of a run that has one), ``pose code``, and ``chance``: the share that always naming the camera
        gets that is most frequent in training.

    Raises:
        InputError: a run with one vector per clip; no two cameras in training, or none of them on the test side.
    """
    require_frame_model(task.model)
    how = resolve(settings, task)
    sides = [
        _drawn(task, rows, how, 2 * task.seed + k) if how.cameras == "drawn" else _recorded(task, rows, how)
        for k, rows in enumerate((task.train, task.test))
    ]
    known = np.unique(sides[0].names)
    if len(known) < 2 or not np.isin(sides[1].names, known).any():
        raise InputError(
            f"viewpoint of {task.store.path}",
            f"cameras {', '.join(known) or 'none'} in training, "
            f"{', '.join(np.unique(sides[1].names)) or 'none'} on the test side",
            "two cameras or more in training, and these on the test side",
            "Choose a split by people, not by cameras",
        )
    labels = np.searchsorted(known, sides[0].names)
    found = {
        f"{part} code": linear.logistic(codes, labels, sides[1].codes[part], how.C).argmax(1)
        for part, codes in sides[0].codes.items()
    }
    found[CHANCE] = np.full(len(sides[1].names), np.bincount(labels).argmax())
    return {metric: float(np.mean(known[label] == sides[1].names)) for metric, label in found.items()}


def resolve(settings: Settings, task: Task) -> Settings:
    """Where the cameras come from, if that was left open."""
    if settings.cameras != "auto":
        return settings
    return dataclasses.replace(settings, cameras="drawn" if task.store.coords == 3 else "recorded")


def is_stochastic(settings: Settings) -> bool:
    """Poses and cameras are drawn; recorded ones are what they are."""
    return settings.cameras != "recorded"


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The normalised keypoints, beside both codes."""
    return "keypoints", settings


def higher_is_better(metric: str) -> bool | None:
    """A view code that knows the camera, a pose code that does not."""
    return {"view code": True, "pose code": False}.get(metric)


@dataclass(frozen=True)
class _Side:
    """Frames of one side: the name of each one's camera, object ``[n]``, and its codes, part -> ``[n, D]``."""

    names: np.ndarray
    codes: dict[str, np.ndarray]


def _recorded(task: Task, rows: np.ndarray, how: Settings) -> _Side:
    """Some frames of each clip in which a person is seen, of clips whose camera is known."""
    camera = cross_view.cameras(task.store, how.column)[rows]
    rows, camera = rows[camera != ""], camera[camera != ""]
    share = np.linspace(0, 1, how.frames + 2)[1:-1]
    place = (share * task.store.lengths[rows, None]).astype(np.int64)
    shown = task.store.confidence[(task.store.offsets[rows, None] + place).ravel(), 0].any(1)

    def take(part: str) -> np.ndarray:
        found, offsets = task.codes(rows, part)
        return found[(offsets[:-1, None] + place).ravel()[shown]]

    return _Side(np.repeat(camera, how.frames)[shown], _each(take))


def _drawn(task: Task, rows: np.ndarray, how: Settings, seed: int) -> _Side:
    """Poses of these clips before cameras of their own; the name of a camera is the number of its sector."""
    if task.store.coords != 3:
        raise InputError("viewpoint.cameras", f"drawn, for {task.store.path} of 2-D poses", "a store of 3-D poses")
    shots = _camera_pairs.draw(task.store, rows, how.poses, how.draw, torch.Generator().manual_seed(seed))
    assert shots.azimuth is not None
    sector = (shots.azimuth / (2 * torch.pi) * how.sectors + 0.5).floor().long() % how.sectors
    model = require_frame_model(task.model)
    return _Side(
        np.array([f"sector {number}" for number in sector.tolist()], object),
        _each(lambda part: model.frames(shots.first, part=part)[0]),
    )


def _each(take: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """View code and pose code, or the latter alone where a run has no other."""
    pose = {"pose": take("pose")}
    try:
        return {"view": take("view")} | pose
    except InputError as error:
        if error.where != "part":
            raise
        return pose
