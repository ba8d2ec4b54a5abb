"""Pose estimators: a picture in, the people in it out; one file for each kind of model, and the loop over a video.

An estimator is one file in this folder (or a plug-in); its name is the one on the command line, the first line of its
docstring the description. It defines

* ``fits(signature) -> bool``: whether a model is one of its kind, by its inputs and outputs
  (:class:`kineme.io.estimators._onnx.Signature`);
* ``load(models) -> Estimator``: the estimator with these files (:class:`Models`). It finds :class:`Session`,
  :func:`letterbox` and :func:`layout_of` here;
* optionally ``brings_model = True``: it needs no file, and is taken where it is named.

The models are the user's; none comes with Kineme.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...motion.layout import Layout
from ...motion.layout import layout as built_in
from ...motion.motion import Motion
from ...utils import files, registry
from ...utils.errors import InputError
from .. import _bodies, _detections, _tracking
from .._video import Video
from . import _onnx
from ._onnx import Session as Session
from ._onnx import letterbox as letterbox

SAVE_SECONDS = 20.0  # what a killed process loses at most
VERSION = 1  # of the file of an unfinished video


@dataclass(frozen=True)
class Models:
    """The files that the user points at.

    Attributes:
        model: what finds joints; None: the estimator brings its own.
        boxes: what finds people first, for models that look at one person; None: the whole picture is one.
        layout: the joints of the model, if their number does not tell them.
        min_confidence: of a person, at least.
        python: the interpreter of another environment, for an estimator whose package does not fit into this one.
    """

    model: Path | None
    boxes: Path | None = None
    layout: str | None = None
    min_confidence: float = 0.25
    python: Path | None = None

    @property
    def file(self) -> Path:
        """The model of an estimator that brings none."""
        assert self.model is not None
        return self.model


class Estimator(ABC):
    """What finds people in a picture.

    Attributes:
        layout: the joints that it finds.
        version: what the result depends on beside the files and the settings.
    """

    layout: Layout
    version: str = ""

    def begin(self) -> None:  # noqa: B027 - most remember nothing
        """A new video begins: what is remembered of pictures is forgotten."""

    @abstractmethod
    def people(self, picture: np.ndarray) -> np.ndarray:
        """x, y in pixels and confidence of the joints of everybody, float32 ``[N, V, 3]``.

        Args:
            picture: uint8 ``[H, W, 3]``, red, green, blue.
        """


def load(models: Models, name: str | None = None) -> tuple[str, Estimator]:
    """The estimator with these files and its name; by default the first whose model it can be.

    Raises:
        InputError: no such estimator, no model, or one that fits none.
    """
    if name is not None and _brings_model(name):
        if models.model is not None:
            raise InputError("--model", str(models.model), f"no file: {name} brings its own model")
        return name, registry.load("io.estimators", name).load(models)
    known = [name] if name is not None else list(registry.names("io.estimators"))
    if models.model is None:
        own = [each for each in registry.names("io.estimators") if _brings_model(each)]
        hint = f"Or name an estimator that brings its own: --estimator {' or '.join(own)}"
        raise InputError("--model", "no file", "the model that finds joints (.onnx)", hint)
    signature = _onnx.signature(models.model)
    for each in known:
        module = registry.load("io.estimators", each)
        if module.fits(signature):
            return each, module.load(models)
    raise InputError(models.model, f"a model with {signature}", f"one for {' or '.join(known)}")


def _brings_model(name: str) -> bool:
    return getattr(registry.load("io.estimators", name), "brings_model", False)


def layout_of(joints: int, models: Models) -> Layout:
    """The layout of a model of so many joints.

    Raises:
        InputError: their number tells none, or another one than was named.
    """
    if models.layout is not None:
        layout = built_in(models.layout)
        if len(layout) != joints:
            raise InputError("--layout", f"{layout.name} of {len(layout)} joints", f"one of {joints}, as the model has")
        return layout
    if joints not in _bodies.ORDERS:
        known = ", ".join(map(str, _bodies.ORDERS))
        raise InputError(models.file, f"a model of {joints} joints", f"one of {known}", "Name them: --layout LAYOUT")
    return built_in(_bodies.ORDERS[joints][0][0])


def poses(
    video: Video,
    estimator: Estimator,
    unfinished: Path | None = None,
    key: str = "",
    report: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Motion | None:
    """The poses of everybody in a video, people followed by position.

    Args:
        unfinished: file in which what is done is kept now and then, and from which it is gone on with.
        key: what the result depends on; a file with another key is not used.
        report: told how many frames are done, of how many.
        stop: asked before each frame whether to leave it at that.

    Returns:
        ``[T, M, V, 2]`` in pixels, T the frames of the video; None if it was stopped.

    Raises:
        InputError: a damaged frame, nobody in any frame.
    """
    found, done = _kept(unfinished, key, len(estimator.layout))
    saved = time.monotonic()
    estimator.begin()
    for number, picture in enumerate(video.frames(range(done, len(video))), done):
        if stop():
            _keep(unfinished, key, found, number, len(estimator.layout))
            return None
        found.append(_sound(estimator.people(picture), len(estimator.layout)))
        if report is not None:
            report(number + 1, len(video))
        if time.monotonic() - saved > SAVE_SECONDS:
            _keep(unfinished, key, found, number + 1, len(estimator.layout))
            saved = time.monotonic()
    points = np.concatenate(found)
    frame = np.repeat(np.arange(len(video)), [len(people) for people in found])
    notes: _detections.Notes = _detections.Notes()
    joints, seen, extra = _tracking.clip(video.path, np.arange(len(video)), frame, points, notes=notes)
    if unfinished is not None:
        unfinished.unlink(missing_ok=True)
    return Motion(
        joints,
        estimator.layout,
        seen,
        fps=video.fps,
        up="-y",
        unit="px",
        image_size=(video.width, video.height),
        source=video.path.name,
        extra={**extra, "coordinates": "px"},
        notes=notes,
    )


def _sound(people: np.ndarray, joints: int) -> np.ndarray:
    """Finite numbers; a joint without is missing, and so is whoever has none."""
    people = np.asarray(people, np.float32).reshape(-1, joints, 3)
    people = np.where(np.isfinite(people).all(-1, keepdims=True), people, np.float32(0))
    people = people[(people[..., 2] > 0).any(1)]
    return people[np.argsort(-people[..., 2].sum(1), kind="stable")][: _tracking.MAX_PEOPLE]


def _keep(path: Path | None, key: str, found: list[np.ndarray], done: int, joints: int) -> None:
    if path is None:
        return
    points = np.concatenate(found) if found else np.zeros((0, joints, 3), np.float32)
    counts = np.array([len(people) for people in found], np.int64)
    with files.atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, key=np.array(f"{VERSION} {key}"), points=points, counts=counts, done=np.array(done))


def _kept(path: Path | None, key: str, joints: int) -> tuple[list[np.ndarray], int]:
    """What an earlier call found in the first frames, and how many these are."""
    if path is None or not path.is_file():
        return [], 0
    try:
        kept: dict[str, Any] = files.read_npz(path)
        counts, points, done = kept["counts"], kept["points"], int(kept["done"])
        good = str(kept["key"]) == f"{VERSION} {key}" and points.shape == (counts.sum(), joints, 3)
        good = good and done == len(counts) and bool((counts >= 0).all())
    except (InputError, KeyError, ValueError, TypeError):  # damaged: begun anew
        return [], 0
    return (np.split(points, np.cumsum(counts)[:-1]), done) if good and done else ([], 0)
