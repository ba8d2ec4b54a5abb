"""A plain array (.npy): [frames, joints, coordinates] or [frames, persons, joints, coordinates], as FreeMoCap writes.

Two coordinates are pixels or shares of an image, three a place in space; a fourth is the confidence. NaN is missing.
What the array does not say is in ``NAME.json`` beside it, if there is one (as :func:`write` makes it):
``joint_names``, ``parents``, ``dims`` (the last one may be ``confidence``), ``fps``, ``units``, ``up``, ``label``,
``image_size``, ``subject``, ``camera``. Without it the number of joints tells the layout, unless their places say
otherwise, and setting ``keypoints`` names it; unit and up axis in space are taken from the size and the posture of the
bodies, and are noted. FreeMoCap's arrays of 75, 543 or 553 points begin with the 33 of MediaPipe, which are taken;
they are in millimetres where they have the names that it gives (``*_skeleton_3d.npy``, ``*_3d_xyz.npy``).
Nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion import units
from ..motion.layout import Layout
from ..motion.motion import UPS, Motion
from ..utils.errors import InputError
from ..utils.files import atomic, write_json
from . import MAX_JOINTS, Options, _bodies, _detections, _text
from ._following import MAX_POINTS, listed, settle

suffixes = own = (".npy",)
settings = {"keypoints": skeleton.layouts, "people": ("followed", "listed")}

WHAT = "an array [frames, joints, 2 or 3] or [frames, persons, joints, 2 or 3] of numbers"
CUT = "The file may be cut short"
MOST = 1 << 33  # bytes
MILLIMETRES = re.compile(r"(_skeleton_3d|_3d_xyz|_spatialxyz|mediapipeskel_3d\w*)$", re.IGNORECASE)  # FreeMoCap
KEYS = ("joint_names", "parents", "dims", "fps", "units", "up", "image_size", "label", "subject", "camera")


def sniff(path: Path, head: bytes) -> bool:
    return head[:6] == b"\x93NUMPY"


def side(path: Path, head: bytes) -> bool:
    """The json beside an ``.npy``."""
    return path.suffix.lower() == ".json" and path.with_suffix(".npy").is_file()


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, M, V, C]``."""
    notes: _detections.Notes = Counter()
    joints, seen, about = _array(path, notes)
    layout, joints, seen = _layout(path, about, joints, seen, options, notes)
    unit, up = about.get("units"), about.get("up")
    if joints.shape[3] == 3 and not about and MILLIMETRES.search(path.stem):
        unit = "mm"
    if joints.shape[3] == 3 and (unit is None or up is None):
        points = np.concatenate([joints, seen[..., None]], -1).reshape(-1, len(layout), 4)
        said = Options(unit=options.unit or unit, up=options.up or up)
        told = _bodies.in_space(points[(points[..., 3] > 0).any(1)], layout, said, notes)
        unit, up = unit or told[0], up or told[1]
    elif joints.shape[3] == 2:
        unit = unit or _detections.unit(np.concatenate([joints, seen[..., None]], -1).reshape(-1, len(layout), 3))[0]
        up = up or "-y"
    followed: dict[str, Any] = {}
    if not about:
        joints, seen, followed, counts = settle(joints, seen, None, listed(options))
        notes.update(counts)
    yield Motion(
        joints,
        layout,
        seen,
        fps=about.get("fps"),
        up=up,
        unit=unit or "1",
        image_size=about.get("image_size"),
        label=about.get("label"),
        subject=about.get("subject"),
        camera=about.get("camera"),
        source=path.name,
        extra=followed,
        notes=notes,
    )


def _array(path: Path, notes: _detections.Notes) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Joints ``[T, M, V, C]``, confidence ``[T, M, V]``, and what the json beside it says."""
    values, about = _load(path), _about(path)
    if values.dtype.kind not in "fiu" or values.ndim not in (3, 4) or values.shape[-1] not in (2, 3, 4):
        raise InputError(path, f"an array of shape {list(values.shape)} and type {values.dtype}", WHAT)
    if 0 in values.shape or math.prod(values.shape[:-1]) > MAX_POINTS:
        raise InputError(path, f"an array of shape {list(values.shape)}", f"{WHAT}, 1 to {MAX_POINTS} joints in all")
    with np.errstate(over="ignore"):
        values = (values[:, None] if values.ndim == 3 else values).astype(np.float32)
    stated = values.shape[3] == 4 or (about.get("dims") or [""])[-1] == "confidence"
    joints, score = (values[..., :-1], values[..., -1]) if stated else (values, np.ones(values.shape[:3], np.float32))
    if joints.shape[3] < 2:
        raise InputError(path, "one coordinate beside the confidence", WHAT)
    gone = ~np.isfinite(joints).all(-1) | np.isnan(score)
    notes[_detections.GAPS] += int((gone & ~gone.all(-1, keepdims=True)).sum())
    joints, score = np.where(gone[..., None], np.float32(0), joints), np.where(gone, np.float32(0), score)
    if not (score.min() >= 0 and score.max() <= 1):
        raise InputError(
            path, f"confidence from {score.min():g} to {score.max():g}", "0 to 1, as the last of four numbers"
        )
    if not stated and not about:
        score[~joints.any(-1)] = 0  # at the origin, where many programs put what they do not see
    return joints, score, about


def _load(path: Path) -> np.ndarray:
    """The array, if the file is as large as it claims."""
    data = _text.raw(path, WHAT, MOST)
    try:
        file = io.BytesIO(data)
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, by_columns, dtype = header[version](file)
    except Exception as error:  # NumPy raises many kinds for damaged headers
        raise InputError(path, f"no header of an .npy file ({str(error)[:100]})", WHAT) from None
    if dtype.hasobject:
        raise InputError(path, "an array of Python objects", f"{WHAT}; nothing is unpickled")
    body = data[file.tell() :]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(body):
        raise InputError(
            path, f"claims {list(shape)} values of type {dtype} in {len(body)} bytes", WHAT, "Is it cut short?"
        )
    return np.frombuffer(body, dtype).reshape(shape, order="F" if by_columns else "C")


def _about(path: Path) -> dict[str, Any]:
    """What the json beside an array says, checked."""
    where = path.with_suffix(".json")
    if not where.is_file():
        return {}
    about = _text.document(where, "the description of an array")
    if not isinstance(about, dict):
        raise InputError(where, f"a {type(about).__name__}", f"an object with {', '.join(KEYS)}")
    fps, up, unit, size = (about.get(key) for key in ("fps", "up", "units", "image_size"))
    sides = size if isinstance(size, list) else [size]
    right = {
        "joint_names": _is_text(about.get("joint_names")),
        "dims": _is_text(about.get("dims")),
        "fps": fps is None or (type(fps) in (int, float) and 0 < fps < 1e5),
        "up": up is None or up in UPS,
        "units": unit is None or units.find(unit) is not None,
        "image_size": size is None or (len(sides) == 2 and all(type(side) is int and side > 0 for side in sides)),
        "label": about.get("label") is None or isinstance(about["label"], str),
        **{key: about.get(key) is None or type(about[key]) in (str, int) for key in ("subject", "camera")},
    }
    for key, is_right in right.items():
        if not is_right:
            raise InputError(where, f"{key} = {str(about[key])[:60]}", f"{', '.join(KEYS)}; see kineme.io.npy")
    known = {key: about.get(key) for key in KEYS}
    known["units"] = units.find(unit) if unit is not None else None
    known["image_size"] = tuple(size) if size else None
    return known


def _is_text(value: Any) -> bool:
    """None, or a list of texts with something in it."""
    return value is None or (isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value))


def _layout(
    path: Path, about: dict[str, Any], joints: np.ndarray, seen: np.ndarray, options: Options, notes: _detections.Notes
) -> tuple[Layout, np.ndarray, np.ndarray]:
    names, parents = about.get("joint_names"), about.get("parents")
    if not names:
        points = np.concatenate([joints, seen[..., None]], -1)
        people = points.reshape(-1, *points.shape[2:])
        layout, _ = _bodies.by_number(path, people, options.table, notes)
        return layout, joints[:, :, : len(layout)], seen[:, :, : len(layout)]
    where = path.with_suffix(".json")
    if len(names) != joints.shape[2] or len(names) > MAX_JOINTS:
        raise InputError(
            where, f"{len(names)} joint_names", f"the names of the {joints.shape[2]} joints of {path.name}"
        )
    if (known := skeleton.identify(names)) is not None:
        return known, joints, seen
    if (other := skeleton.reordered(names)) is not None:
        return other[0], joints[:, :, other[1]], seen[:, :, other[1]]
    if parents is not None and not (isinstance(parents, list) and all(type(each) is int for each in parents)):
        raise InputError(where, f"parents = {str(parents)[:60]}", "joint numbers, -1 where the tree begins")
    try:
        return skeleton.free(names, skeleton.tree(names) if parents is None else parents), joints, seen
    except InputError as error:
        raise InputError(where, f"joint_names or parents: {error.found}", error.expected, error.hint) from None


def write(folder: str | Path, motions: Iterable[Motion]) -> Path:
    """One ``NAME.npy`` with ``NAME.json`` per clip: float32 ``[T, M, V, C]``, NaN where a joint is missing.

    Where confidence is neither 0 nor 1 everywhere it is the last of the coordinates (``dims`` says so). Reading gives
    the same motion back.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for clip in motions:
        values = np.where(clip.confidence[..., None] > 0, clip.joints, np.float32(np.nan))
        partly = bool(((clip.confidence > 0) & (clip.confidence < 1)).any())
        if partly:
            values = np.concatenate([values, clip.confidence[..., None]], -1)
        name = clip.source.replace("/", "_")
        with atomic(folder / f"{name}.npy") as path, open(path, "wb") as file:
            np.save(file, values, allow_pickle=False)
        about = {
            "joint_names": list(clip.layout.joints),
            "parents": list(clip.layout.parents),
            "dims": [*"xyz"[: clip.coords], *["confidence"] * partly],
            "fps": clip.fps,
            "units": clip.unit,
            "up": clip.up,
            "image_size": clip.image_size,
            "label": clip.label,
            "subject": clip.subject,
            "camera": clip.camera,
        }
        write_json(folder / f"{name}.json", json.loads(json.dumps(about)))
    return folder
