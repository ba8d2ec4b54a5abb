"""ONNX models by ONNX Runtime (optional): opened, described and run; pictures scaled for them; boxes of people."""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.errors import InputError

WHAT = "an ONNX model of a pose estimator"
SIDE = 640  # of pictures, where a model takes any
GREY = 114  # around pictures of another shape
PROVIDERS = ("CUDAExecutionProvider", "CoreMLExecutionProvider", "CPUExecutionProvider")
OVERLAP = 0.7  # of two boxes, their intersection by their union, from which on they are one person
MANY = 300  # people of a picture that are looked at, at most
MAX_SIDE = 4096  # pixels of a model's picture


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a model: shapes, None for sides of any length, and what it says of itself."""

    inputs: tuple[tuple[int | None, ...], ...]
    outputs: tuple[tuple[int | None, ...], ...]
    about: dict[str, str]

    def __str__(self) -> str:
        def said(shapes: tuple[tuple[int | None, ...], ...]) -> str:
            return ", ".join(str([side or "any" for side in shape]).replace("'", "") for shape in shapes)

        return f"inputs {said(self.inputs)} and outputs {said(self.outputs)}"

    @property
    def takes_pictures(self) -> bool:
        """Whether its only input is a picture of three colours."""
        return len(self.inputs) == 1 and len(self.inputs[0]) == 4 and self.inputs[0][1] == 3

    @property
    def joints(self) -> int | None:
        """Joints of a YOLO-pose model by what it says of itself, else by the smaller side of its output."""
        if self.about.get("task", "pose") != "pose" or len(self.outputs) != 1 or len(self.outputs[0]) != 3:
            return None
        sides = [side for side in self.outputs[0][1:] if side is not None]
        width = min(sides, default=0)
        count = (width - 5) // 3 if (width - 5) % 3 == 0 else (width - 6) // 3 if width % 3 == 0 else 0
        return count if count >= 5 else None


class Session:
    """A model that is open.

    Raises:
        InputError: no ONNX Runtime, no such file, no model, one that fails.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        runtime = _library()
        if not self.path.is_file():
            raise InputError(path, "no such file", WHAT)
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        providers = [name for name in PROVIDERS if name in runtime.get_available_providers()]
        try:
            self._session = runtime.InferenceSession(str(self.path), options, providers=providers)
            about = dict(self._session.get_modelmeta().custom_metadata_map)
        except Exception as error:  # the library has several kinds, all of its own
            raise InputError(path, f"not to be opened ({_first(error)})", WHAT) from None
        shapes = [
            tuple(tuple(side if isinstance(side, int) and side > 0 else None for side in each.shape) for each in group)
            for group in (self._session.get_inputs(), self._session.get_outputs())
        ]
        self.signature = Signature(shapes[0], shapes[1], about)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures that it takes."""
        height, width = (side or SIDE for side in self.signature.inputs[0][2:])
        if not 0 < max(width, height) <= MAX_SIDE:
            raise InputError(self.path, f"pictures of {width} x {height}", f"at most {MAX_SIDE}")
        return width, height

    def run(self, picture: np.ndarray) -> list[np.ndarray]:
        """The outputs for one picture, float32 ``[3, H, W]``."""
        try:
            return list(self._session.run(None, {self._session.get_inputs()[0].name: picture[None]}))
        except Exception as error:
            raise InputError(self.path, f"the model fails ({_first(error)})", WHAT) from None


def signature(path: Path) -> Signature:
    """Inputs and outputs of a model."""
    return Session(path).signature


def letterbox(picture: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float, np.ndarray]:
    """A picture scaled into another shape, in its middle, grey around it.

    Returns:
        float32 ``[3, H, W]`` from 0 to 1; the factor; where its corner is, ``[2]``.
    """
    from PIL import Image

    height, width = picture.shape[:2]
    factor = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * factor)), max(1, round(height * factor))
    corner = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.full((size[1], size[0], 3), GREY, np.uint8)
    scaled = np.asarray(Image.fromarray(picture).resize(inner, Image.Resampling.BILINEAR))
    canvas[corner[1] : corner[1] + inner[1], corner[0] : corner[0] + inner[0]] = scaled
    return np.ascontiguousarray(canvas.transpose(2, 0, 1), np.float32) / 255, factor, np.array(corner, np.float32)


def yolo_rows(session: Session, picture: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The rows ``[N, C]`` of a YOLO model for a picture, and how it was scaled."""
    scaled, factor, corner = letterbox(picture, session.size)
    rows = np.asarray(session.run(scaled)[0], np.float32)
    if rows.ndim != 3 or len(rows) != 1:
        raise InputError(session.path, f"an output of shape {list(rows.shape)}", "[1, values, places]")
    rows = rows[0].T if rows.shape[1] < rows.shape[2] else rows[0]
    return rows[np.isfinite(rows).all(1)], factor, corner


def yolo_people(session: Session, picture: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People that a YOLO model finds: boxes ``[N, 4]`` (corners, pixels), confidence ``[N]``, what stands behind
    (``[N, K]``, as the model has it, places already in pixels if they are those of joints).
    """
    rows, factor, corner = yolo_rows(session, picture)
    pose = session.signature.joints is not None
    width = rows.shape[1]
    if width < 5:
        raise InputError(session.path, f"rows of {width} values", "a box and a confidence, at least")
    if (pose and width % 3 == 0) or (not pose and width == 6):  # corners, confidence, class: ready
        person = rows[:, 5] == _person(session.signature)
        boxes, confidence, rest = rows[:, :4], rows[:, 4] * person, rows[:, 6:]
    else:
        half = rows[:, 2:4] / 2
        boxes = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)
        confidence = rows[:, 4] if pose else rows[:, 4 + min(_person(session.signature), width - 5)]
        rest = rows[:, 5:] if pose else rows[:, :0]
    kept = np.flatnonzero(confidence >= least)
    kept = kept[np.argsort(-confidence[kept], kind="stable")][: 10 * MANY]
    kept = kept[_distinct(boxes[kept])]
    boxes, rest = (boxes[kept] - np.tile(corner, 2)) / factor, rest[kept].copy()
    if pose:
        joints = rest.reshape(len(rest), rest.shape[1] // 3, 3)
        joints[..., :2] = (joints[..., :2] - corner) / factor
        rest = joints.reshape(len(rest), rest.shape[1])
    return boxes, confidence[kept], rest


def _person(about: Signature) -> int:
    """The number of the class of people, by the names that the model states."""
    try:
        names = ast.literal_eval(about.about.get("names", "{}"))
        return next((int(k) for k, name in names.items() if name == "person"), 0)
    except (ValueError, SyntaxError, AttributeError, MemoryError, RecursionError):
        return 0


def _distinct(boxes: np.ndarray) -> np.ndarray:
    """Which of these boxes, the best first, are no other one's again (non-maximum suppression)."""
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    kept: list[int] = []
    waiting = np.arange(len(boxes))
    while len(waiting) and len(kept) < MANY:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        low, high = np.maximum(boxes[waiting, :2], boxes[best, :2]), np.minimum(boxes[waiting, 2:], boxes[best, 2:])
        both = np.prod(np.maximum(high - low, 0), axis=1)
        waiting = waiting[both <= OVERLAP * np.maximum(area[waiting] + area[best] - both, 1e-9)]
    return np.array(kept, np.int64)


def _library() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError:
        raise InputError(
            "ONNX Runtime", "not installed", "it, to run pose estimators", "pip install 'kineme[poses]'"
        ) from None


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
