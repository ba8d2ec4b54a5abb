"""VideoPose3D and Human3.6M poses (.npz): positions_2d or positions_3d by subject and action; or S and imgname.

Three kinds of file:

* ``positions_2d`` with ``metadata`` (Pavllo et al., CVPR 2019; ``data_2d_*.npz``): ``{subject or video: {action:
  [an array [T, V, 2] for each camera]}}`` in pixels; ``metadata`` names the layout (``coco``, ``h36m``) and the sizes
  of the videos;
* ``positions_3d`` (``data_3d_*.npz``): ``{subject: {action: [T, V, 3]}}`` in metres, +z up; of 32 joints the 17 that
  are used are taken;
* ``S`` ``[N, 17, 4]`` (metres in the frame of the camera, y down), ``part`` ``[N, 17, 3]`` (pixels) and ``imgname``, as
  MMPose keeps Human3.6M: the poses of each folder of images are a clip. With ``image=True`` those in pixels.

The first two are pickles inside an archive; these are only taken apart (:mod:`kineme.utils.plain_pickle`).
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils import files, plain_pickle
from ..utils.errors import InputError
from . import Options, _bodies, _detections, _tracking
from ._following import MAX_POINTS

suffixes = (".npz",)
settings = {"keypoints": skeleton.layouts}

WHAT = "an .npz file with positions_2d and metadata, with positions_3d, or with S and imgname"
JOINTS = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]  # of the 32 of Human3.6M, as h36m17 has them
NAMES = {"coco": "coco17", "h36m": "h36m17"}
ACTION = re.compile(r"(?P<label>.+?)[ _](?P<repetition>\d+)")
IMAGE = re.compile(r"(?:.*/)?S(?P<subject>\d+)_(?P<action>.+)\.(?P<camera>\d+)")


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".npz":
        return False
    names = files.npz_names(path)
    return bool(names & {"positions_2d", "positions_3d"}) or {"S", "imgname"} <= names


def read(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """A motion ``[T, 1, V, 2 or 3]`` for each subject, action and camera, in the order of the file."""
    names = files.npz_names(path)
    if not names:
        raise InputError(path, "not readable as arrays", WHAT)
    if "imgname" in names:
        yield from _pictures(path, options)
        return
    space = "positions_2d" not in names
    if space and "positions_3d" not in names:
        raise InputError(path, f"arrays {', '.join(sorted(names))[:80]}", WHAT)
    clips = list(_clips(path, _object(path, "positions_3d" if space else "positions_2d")))
    if not clips:
        raise InputError(path, "no poses", WHAT)
    metadata = _object(path, "metadata") if "metadata" in names else {}
    metadata = metadata if isinstance(metadata, dict) else {}
    for name, subject, action, camera, array in clips:
        source = f"{path.name}#{name}" if len(clips) > 1 else path.name
        try:
            yield _motion(source, subject, action, camera, array, metadata, options)
        except InputError as error:
            yield InputError(source, error.found, error.expected, error.hint)


def _object(path: Path, key: str) -> Any:
    """The one Python object of an array, of plain containers and arrays.

    Raises:
        InputError: damaged, too large, or anything that would have to be executed.
    """
    try:
        with zipfile.ZipFile(path) as file:
            member = file.getinfo(f"{key}.npy")
            files.fits(path, member.file_size)
            data = file.read(member)
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        raise InputError(path, f"{key}: not readable ({str(error)[:100]})", WHAT) from None
    if not dtype.hasobject or shape != ():
        raise InputError(path, f"{key}: an array of shape {list(shape)} and type {dtype}", WHAT)
    value = plain_pickle.loads(path, data[stream.tell() :], WHAT)
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _clips(path: Path, positions: Any) -> Iterator[tuple[str, str, str, int | None, Any]]:
    """Name, subject, action, camera (from 1, None where there is one only) and array of every clip."""
    if not isinstance(positions, dict) or not all(isinstance(actions, dict) for actions in positions.values()):
        raise InputError(path, "positions that are no {subject: {action: array}}", WHAT)
    for subject, actions in positions.items():
        for action, views in actions.items():
            several = views if isinstance(views, (list, tuple)) else [views]
            for camera, array in enumerate(several, 1):
                name = f"{subject}/{action}" + (f"/{camera}" if len(several) > 1 else "")
                yield name, str(subject), str(action), camera if len(several) > 1 else None, array


def _motion(
    source: str, subject: str, action: str, camera: int | None, array: Any, metadata: dict[str, Any], options: Options
) -> Motion:
    wanted = "an array [frames, joints, 2 or 3] of numbers"
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim != 3 or 0 in array.shape:
        found = (
            f"shape {list(array.shape)}, type {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        )
        raise InputError(source, f"poses of {found}", wanted)
    if array.shape[2] not in (2, 3) or array.size > 3 * MAX_POINTS:
        raise InputError(source, f"poses of shape {list(array.shape)}", f"{wanted}, at most {3 * MAX_POINTS}")
    notes: _detections.Notes = Counter()
    array = array[:, JOINTS] if array.shape[1:] == (32, 3) else array
    points = np.concatenate([array, np.ones((*array.shape[:2], 1))], -1)
    with np.errstate(over="ignore"):
        points = _detections.gaps(points.astype(np.float32), notes)
    asked = dict(options.table or {})
    named = NAMES.get(str(metadata.get("layout_name")))
    if "keypoints" not in asked and named and len(skeleton.layout(named)) == array.shape[1]:
        asked["keypoints"] = named
    layout, points = _bodies.by_number(source, points, asked, notes)
    video = metadata.get("video_metadata")
    video = video.get(subject) if isinstance(video, dict) else None
    video = video if isinstance(video, dict) else {}
    space = array.shape[2] == 3
    known = ACTION.fullmatch(action)
    number = re.fullmatch(r"S(\d{1,9})", subject)
    return Motion(
        points[:, None, :, :-1],
        layout,
        points[:, None, :, -1],
        fps=_detections.rate(video.get("fps"), notes),
        up="+z" if space else "-y",
        unit="m" if space else _detections.unit(points)[0],
        image_size=None if space else _detections.size(video.get("w"), video.get("h"), notes),
        label=None if action == "custom" else known["label"] if known else action,
        subject=int(number[1]) if number else None,
        camera=camera,
        source=source,
        extra={"repetition": int(known["repetition"])} if known and len(known["repetition"]) < 10 else {},
        notes=notes,
    )


def _pictures(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """The poses of each folder of images, as MMPose keeps them."""
    key = "part" if options.image else "S"
    arrays = files.read_npz(path, ("imgname", key))
    poses, names = arrays[key], arrays["imgname"]
    width = 3 if options.image else 4
    if poses.ndim != 3 or poses.shape[1:] != (17, width) or poses.dtype.kind != "f" or not len(poses):
        raise InputError(
            path, f"{key} of shape {list(poses.shape)}, type {poses.dtype}", f"floats [poses, 17, {width}]"
        )
    if names.shape != poses.shape[:1] or names.dtype.kind != "U":
        raise InputError(path, f"imgname of shape {list(names.shape)}, type {names.dtype}", "a text for each pose")
    folders: dict[str, list[int]] = {}
    for k, name in enumerate(names.tolist()):
        folders.setdefault(name.rpartition("/")[0], []).append(k)
    for folder, rows in folders.items():
        source = f"{path.name}#{folder}" if len(folders) > 1 else path.name
        try:
            yield _taken(source, folder, [names[k] for k in rows], poses[rows], options.image)
        except InputError as error:
            yield InputError(source, error.found, error.expected, error.hint)


def _taken(source: str, folder: str, names: list[str], poses: np.ndarray, image: bool) -> Motion:
    notes: _detections.Notes = Counter()
    ends = [re.search(r"(\d{1,15})\D*$", name.rpartition("/")[2].rsplit(".", 1)[0]) for name in names]
    numbers = _detections.numbering(names, "frame", [end and end[1] for end in ends], notes)
    kept = [k for k, number in enumerate(numbers) if number is not None]
    frames = [int(numbers[k] or 0) for k in kept]
    with np.errstate(over="ignore"):
        points = _detections.gaps(poses[kept].astype(np.float32), notes)
    joints, seen, extra = _tracking.clip(source, frames, frames, points, notes=notes)
    known = IMAGE.fullmatch(folder)
    action = ACTION.fullmatch(known["action"]) if known else None
    return Motion(
        joints,
        skeleton.layout("h36m17"),
        seen,
        up="-y",
        unit="px" if image else "m",
        label=action["label"] if action else known["action"] if known else None,
        subject=int(known["subject"]) if known and len(known["subject"]) < 10 else None,
        camera=known["camera"] if known else None,
        source=source,
        extra={
            **extra,
            **({"repetition": int(action["repetition"])} if action and len(action["repetition"]) < 10 else {}),
        },
        notes=notes,
    )
