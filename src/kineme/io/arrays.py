"""Labelled set as arrays (NAME.npz with NAME.json beside it): all clips one after the other, one motion for each.

The ``.npz`` holds ``joints`` ``[sum T, V, C]`` or ``[sum T, M, V, C]`` (float16 becomes float32), ``offsets``
``[N + 1]``, and per clip ``labels`` (index into ``class_names`` of the json, -1 for none), ``subjects`` (0 = not
known), ``views`` (camera number; or an index into ``view_names`` where it counts from 0), ``reps`` and ``names``. The
``.json`` holds ``joint_names``, ``parents``, ``class_names``, ``units``, ``up``, ``fps`` and ``splits``.

What else the ``.npz`` holds:

* an array with one entry per clip becomes a column under its own name (``name_0``, ``name_1`` ... for ``[N, k]``); an
  index into a list of the json becomes the name (``styles`` -> ``style_names``); ``dimensions`` ``[N, >=2]`` (height,
  width) also gives the image size;
* ``visibility`` or ``confidence`` ``[sum T, V]`` or ``[sum T, M, V]`` becomes the confidence. A joint of confidence 0
  that has a place all the same is a guess (:data:`kineme.motion.motion.UNSURE`); one without coordinates or at a place
  that stands for none (all of them 0, 1 or -1) is missing, and with ``faithful`` both are. Without a confidence a body
  whose joints are all 0 in a frame is missing there. NaN is missing, in joints and in confidence;
* ``ids`` ``[sum T, M]`` (or ``track_ids``, ``body_ids``) says who stands in each of the M places, a negative number or
  an empty text nobody known. Where people change places they are put back (:mod:`kineme.io._following`; column
  ``followed``), but not with ``faithful`` or the setting ``people`` = ``listed``. Without ids person m is the same one
  in every frame;
* other arrays per frame, or with offsets of their own such as ``bbox``, are passed over.

Columns that every clip gets besides: ``dataset`` (the file's stem), ``name`` (its entry of ``names``), ``repetition``
(from ``reps``), and ``performance`` where names show what was filmed from several sides at once. PKU-MMD publishes no
subjects: in its set ``subjects`` is the number of the video, and ``dev_xvideo`` is a rule over it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion import units
from ..motion.motion import UNSURE, UPS, Motion
from ..utils import files
from ..utils.errors import InputError
from ..utils.files import atomic, write_json
from . import MAX_JOINTS, Options
from ._following import MAX_POINTS, listed, settle

suffixes = (".npz",)
together = True
settings = {"people": ("followed", "listed")}

WHAT = "NAME.npz with joints and offsets, and NAME.json beside it"
KNOWN = {"joints", "offsets", "labels", "subjects", "views", "reps", "names", "visibility", "confidence"}
MAX_SIZE = 3 * MAX_POINTS  # coordinates of a clip
IDS = ("ids", "track_ids", "body_ids")
PERFORMANCES = (re.compile(r"(a\d+_s\d+_e\d+)_v\d+()"), re.compile(r"(\d{4})-[LMR](#\d+)"))  # without the camera
RULES = (  # what the splits of a json say in words -> column, test, values
    (re.compile(r"(?:views?|cameras?) ([\d, ]+)"), "camera", "in"),
    (re.compile(r"subjects? ([\d, ]+)"), "subject", "in"),
    (re.compile(r"video numbers? < (\d+)"), "subject", "lt"),
    (re.compile(r"video numbers? >= (\d+)"), "subject", "ge"),
    (re.compile(r"names starting with (\S+)"), "name", "prefix"),
    (re.compile(r"(?P<column>\w+) == (-?\d+)"), "", "in"),
)
TESTS = {"in", "lt", "ge", "prefix"}


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".npz":
        return False
    if path.with_suffix(".json").is_file():
        return True
    return {"joints", "offsets"} <= files.npz_names(path)


def side(path: Path, head: bytes) -> bool:
    """The json beside an ``.npz``."""
    return path.suffix.lower() == ".json" and path.with_suffix(".npz").is_file()


def read(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """All clips ``[T, M, V, C]`` in file order; ``source`` is their entry of ``names``."""
    about = _about(path)
    arrays = files.read_npz(path)
    offsets = _offsets(path, arrays)
    joints, seen = _joints(path, arrays)
    ids = _ids(path, arrays, joints.shape)
    clips = len(offsets) - 1
    layout, order = _layout(path, about, joints.shape[2])
    told = {} if order is None else {f"sets whose joints are those of {layout.name} in another order, put in order": 1}
    names = [str(name) for name in _per_clip(path, arrays, "names", [f"{path.name}#{k}" for k in range(clips)])]
    labels = _labels(path, about, _per_clip(path, arrays, "labels", [-1] * clips))
    subjects = [subject or None for subject in _whole(_per_clip(path, arrays, "subjects", [None] * clips))]
    cameras = _cameras(about, _whole(_per_clip(path, arrays, "views", [None] * clips)))
    columns = _columns(path, arrays, about, clips)
    fps, up, unit = _said(path, about)
    for k, (start, end) in enumerate(itertools.pairwise(offsets)):
        extra: dict[str, Any] = {"dataset": path.stem, "name": names[k], "performance": _performance(names[k])}
        extra |= {key: values[k] for key, values in columns.items()}
        width, height = extra.get("dimensions_1"), extra.get("dimensions_0")
        label = labels[k]
        if isinstance(label, InputError):
            yield InputError(names[k], label.found, label.expected)
            continue
        if not 0 < joints[start:end].size <= MAX_SIZE:
            found = f"{end - start} frames" if start < end else "no frames"
            yield InputError(names[k], found, f"one or more in every clip, and at most {MAX_SIZE} coordinates")
            continue
        place, given = joints[start:end], None if seen is None else seen[start:end]
        confidence = _confidence(place, given, options.faithful)
        if order is not None:
            place, confidence = place[:, :, order], confidence[:, :, order]
        followed: dict[str, Any] = {}
        notes: dict[str, int] = {}
        if ids is not None:
            place, confidence, followed, notes = settle(place, confidence, ids[start:end], listed(options))
        try:
            yield Motion(
                place,
                layout,
                confidence,
                fps=fps,
                up=up,
                unit=unit,
                image_size=(width, height) if width and height else None,
                label=label,
                subject=subjects[k],
                camera=cameras[k],
                source=names[k],
                extra=extra | followed,
                notes={**notes, **told},
            )
        except InputError as error:  # of this clip alone
            yield InputError(names[k], error.found, error.expected, error.hint)
        else:
            told = {}


def splits(path: str | os.PathLike) -> dict[str, dict[str, Any] | str]:
    """The splits of the json as rules over columns; those that it only describes as their description.

    Raises:
        InputError: a part of a split that is neither a rule nor in the known words.
    """
    path = Path(path)
    said = _about(path).get("splits") or {}
    found: dict[str, dict[str, Any] | str] = {}
    if not isinstance(said, dict):
        raise InputError(path.with_suffix(".json"), f"splits = {str(said)[:60]}", "an object, one split per name")
    for name, split in said.items():
        if isinstance(split, dict) and {"train", "test"} <= split.keys():
            where = f"{path.with_suffix('.json')}, split {name!r}"
            found[name] = {part: _rule(where, split[part]) for part in ("train", "test")}
        elif name not in ("note", "notes"):
            found[name] = split if isinstance(split, str) else json.dumps(split)
    return found


def _about(path: Path) -> dict[str, Any]:
    where = path.with_suffix(".json")
    if not where.is_file():
        raise InputError(path, f"{where.name} is missing beside it", WHAT)
    about = files.read_json(where, "the description of a labelled set")
    if not isinstance(about, dict):
        raise InputError(where, f"a {type(about).__name__}", "an object with joint_names, parents, class_names, ...")
    return about


def _offsets(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    for key in ("joints", "offsets"):
        if key not in arrays:
            raise InputError(path, f"no array {key!r}", WHAT)
    offsets, joints = arrays["offsets"], arrays["joints"]
    if joints.ndim not in (3, 4) or joints.shape[-1] not in (2, 3) or joints.dtype.kind != "f":
        raise InputError(
            path,
            f"joints of shape {list(joints.shape)} and type {joints.dtype}",
            "floats [frames, (persons,) joints, 2 or 3]",
        )
    if offsets.ndim != 1 or len(offsets) < 2 or offsets.dtype.kind not in "iu":
        raise InputError(path, f"offsets of shape {list(offsets.shape)}, type {offsets.dtype}", "integers [clips + 1]")
    offsets = offsets.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != len(joints):
        raise InputError(path, f"offsets from {offsets[0]} to {offsets[-1]}", f"0 to {len(joints)}, as many as frames")
    if (np.diff(offsets) < 0).any():
        raise InputError(path, f"clip {np.argmax(np.diff(offsets) < 0)} ends before it begins", "offsets that ascend")
    return offsets


def _joints(path: Path, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Joints ``[F, M, V, C]`` and, where it is given, confidence ``[F, M, V]`` of all clips, as they stand."""
    joints = arrays["joints"]
    joints = joints[:, None] if joints.ndim == 3 else joints
    given = next((key for key in ("confidence", "visibility") if key in arrays), None)
    if given is None:
        return joints, None
    seen = arrays[given]
    seen = seen[:, None] if seen.ndim == 2 else seen
    of_kind = seen.shape == joints.shape[:3] and seen.dtype.kind in "fiub"
    beyond = (seen < 0) | (seen > 1) if of_kind else np.ones(1, bool)
    if beyond.mean() > 0.01:  # on another scale
        raise InputError(
            path,
            f"{given} of shape {list(seen.shape)} and type {seen.dtype}",
            f"numbers from 0 to 1, {list(joints.shape[:3])} as joints has them",
        )
    return joints, np.clip(seen, 0, 1) if beyond.any() else seen


def _ids(path: Path, arrays: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray | None:
    """Who stands where, objects ``[F, M]``, if it is told."""
    key = next((key for key in IDS if key in arrays), None)
    if key is None:
        return None
    ids = arrays[key]
    if ids.shape not in (shape[:2], (*shape[:2], 1)[:: 2 if shape[1] == 1 else 1]) or ids.dtype.kind not in "iufU":
        raise InputError(path, f"{key} of shape {list(ids.shape)} and type {ids.dtype}", f"{list(shape[:2])} ids")
    return ids.reshape(shape[:2]).astype(object)


def _confidence(joints: np.ndarray, given: np.ndarray | None, faithful: bool) -> np.ndarray:
    """Confidence ``[T, M, V]`` of a clip: as given; without it that of bodies that are somewhere."""
    if given is None:
        return np.repeat((joints != 0).any(axis=(2, 3))[..., None], joints.shape[2], axis=2).astype(np.float32)
    if faithful:
        return given.astype(np.float32)
    somewhere = (np.abs(joints) <= np.finfo(np.float32).max).all(-1)
    somewhere &= (joints != joints[..., :1]).any(-1) | ~np.isin(joints[..., 0], (-1, 0, 1))  # (1, 1) is no place
    return np.where((given == 0) & somewhere, np.float32(UNSURE), given.astype(np.float32))


def _layout(path: Path, about: dict[str, Any], joints: int) -> tuple[skeleton.Layout, list[int] | None]:
    """The layout, and where its joints stand in the file if not in its order."""
    where, names, parents = path.with_suffix(".json"), about.get("joint_names"), about.get("parents")
    if joints > MAX_JOINTS:
        raise InputError(path, f"{joints} joints", f"at most {MAX_JOINTS}")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) != joints:
        raise InputError(where, f"joint_names = {str(names)[:60]}", f"the names of the {joints} joints of {path.name}")
    known, other = skeleton.identify(names), skeleton.reordered(names)
    if known is not None:
        return known, None
    if other is not None:
        return other
    if not isinstance(parents, list) or not all(type(parent) is int for parent in parents) or len(parents) != joints:
        raise InputError(where, f"parents = {str(parents)[:60]}", f"{joints} joint numbers, -1 where the tree begins")
    try:
        return skeleton.free(names, parents), None
    except InputError as error:
        raise InputError(where, f"joint_names or parents: {error.found}", error.expected, error.hint) from None


def _said(path: Path, about: dict[str, Any]) -> tuple[float | None, str | None, str]:
    fps, up, said = about.get("fps"), about.get("up"), about.get("units", about.get("unit"))
    unit = units.find(said)
    wrong = {
        f"fps = {str(fps)[:40]}": fps is not None and not (type(fps) in (int, float) and 0 < fps < 1e5),
        f"up = {str(up)[:40]}": up is not None and up not in UPS,
        f"units = {str(said)[:40]}": unit is None,
    }
    if any(wrong.values()) or unit is None:
        raise InputError(
            path.with_suffix(".json"),
            next(found for found, is_wrong in wrong.items() if is_wrong),
            f"fps above 0, up one of {' '.join(UPS)}, each or null; units {units.SAID}",
        )
    return fps, up, unit


def _per_clip(path: Path, arrays: dict[str, np.ndarray], key: str, otherwise: list[Any]) -> list[Any]:
    """Entries of an array, one for each clip, as Python values; ``otherwise`` where there is no such array."""
    if key not in arrays:
        return otherwise
    if arrays[key].ndim != 1 or len(arrays[key]) != len(otherwise) or arrays[key].dtype.kind not in "iufbU":
        raise InputError(
            path,
            f"{key} of shape {list(arrays[key].shape)}, type {arrays[key].dtype}",
            f"a number or text for each of {len(otherwise)} clips",
        )
    return _plain(arrays[key])


def _labels(path: Path, about: dict[str, Any], labels: list[Any]) -> list[str | InputError | None]:
    """The name of each clip's class, None without one; an error for an index that is none, which costs its clip.

    Raises:
        InputError: half of them or more are no index, or they count from 1.
    """
    classes = about.get("class_names") or []
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise InputError(path.with_suffix(".json"), f"class_names = {str(classes)[:60]}", "a list of names")
    expected = f"indices into the {len(classes)} class_names of the json, from 0"
    found: list[str | InputError | None] = []
    for label in labels:
        at = int(label) if isinstance(label, float) and label.is_integer() else -1 if label is None else label
        if type(at) is int and at < len(classes):
            found.append(classes[at] if at >= 0 else None)
        else:
            found.append(InputError(path, f"label {at}", expected))
    wrong = [error for error in found if isinstance(error, InputError)]
    from_one = {f"label {len(classes)}"} == {error.found for error in wrong} and classes[0] not in found
    if wrong and (from_one or 2 * len(wrong) >= len(found)):
        raise wrong[0]
    return found


def _cameras(about: dict[str, Any], views: list[Any]) -> list[Any]:
    names = about.get("view_names")
    is_index = isinstance(names, list) and all(type(view) is int and 0 <= view < len(names) for view in views)
    return [names[view] for view in views] if names and is_index and 0 in views else views


def _columns(path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any], clips: int) -> dict[str, list[Any]]:
    """Values per clip of what becomes a column of the clip table."""
    columns = {"repetition": _whole(_per_clip(path, arrays, "reps", [None] * clips))}
    for key in sorted(arrays.keys() - KNOWN):
        values = arrays[key]
        if values.ndim not in (1, 2) or len(values) != clips or values.dtype.kind not in "iufbU":
            continue
        names = about.get(f"{key}_names") or about.get(f"{key.removesuffix('s')}_names")
        if values.ndim == 2:
            columns |= {f"{key}_{k}": _plain(column) for k, column in enumerate(values.T)}
        elif isinstance(names, list) and values.dtype.kind in "iu" and (values < len(names)).all():
            columns[key] = [names[value] if value >= 0 else None for value in values]
        else:
            columns[key] = _plain(values)
    return columns


def _plain(values: np.ndarray) -> list[Any]:
    """Python values of an array; NaN becomes None."""
    return [None if value != value else value for value in values.tolist()]


def _whole(values: list[Any]) -> list[Any]:
    """Whole numbers as such (floats have room for NaN), an empty text as None."""
    plain = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    return [None if value == "" else value for value in plain]


def _performance(name: str) -> str | None:
    found = (pattern.fullmatch(name) for pattern in PERFORMANCES)
    return next((match[1] + match[2] for match in found if match), None)


def _rule(where: str, said: Any) -> dict[str, Any]:
    if isinstance(said, dict) and isinstance(said.get("column"), str) and len(said) == 2 and said.keys() & TESTS:
        return said
    words = re.sub(r"\s*\([^)]*\)", "", said).strip() if isinstance(said, str) else ""
    for pattern, column, test in RULES:
        match = pattern.fullmatch(words)
        if match:
            column, value = match.groupdict().get("column", column), match[len(match.groups())]
            values: Any = value if test == "prefix" else [int(number) for number in re.findall(r"-?\d+", value)]
            return {"column": column, test: values[0] if test in ("lt", "ge") else values}
    raise InputError(
        where,
        f"{str(said)[:60]!r}",
        'a rule such as {"column": "camera", "in": [1, 2]}, or words such '
        "as 'views 1, 2', 'subjects 1,3', 'names starting with train/', 'split == 1'",
    )


def write(folder: str | Path, motions: Iterable[Motion], name: str = "synth") -> Path:
    """``NAME.npz`` and ``NAME.json``: all clips one after the other, with splits by subject and by camera.

    Raises:
        InputError: no motions, or motions that differ in layout, rate, unit, axes or image size.
    """
    folder, clips = Path(folder), list(motions)
    if not clips:
        raise InputError(folder, "no motions to write", "at least one")
    first, persons = clips[0], max(clip.persons for clip in clips)
    for clip in clips:
        for what in ("layout", "fps", "unit", "up", "coords", "image_size"):
            if getattr(clip, what) != getattr(first, what):
                expected = f"{getattr(first, what)}, as {first.source} has it"
                raise InputError(clip.source, f"{what} {getattr(clip, what)}", expected)
    offsets = np.cumsum([0, *map(len, clips)], dtype=np.int64)
    joints = np.zeros((offsets[-1], persons, len(first.layout), first.coords), np.float32)
    seen = np.zeros(joints.shape[:3], np.float32)
    for clip, start, end in zip(clips, offsets[:-1], offsets[1:]):
        joints[start:end, : clip.persons], seen[start:end, : clip.persons] = clip.joints, clip.confidence
    styles = [clip.extra.get("style") for clip in clips]
    names = {"class": _known([clip.label for clip in clips]), "style": _known(styles)}
    arrays = {
        "joints": joints if persons > 1 else joints[:, 0],
        "offsets": offsets,
        "labels": _indices(names["class"], [clip.label for clip in clips]),
        "names": np.array([str(clip.source or f"clip {k}") for k, clip in enumerate(clips)]),
    }
    told = {
        "subjects": [clip.subject for clip in clips],
        "views": [clip.camera for clip in clips],
        "reps": [clip.extra.get("repetition") for clip in clips],
    }
    arrays |= {key: _numbers_or_names(values) for key, values in told.items() if any(v is not None for v in values)}
    if names["style"]:
        arrays["style"] = _indices(names["style"], styles)
    if seen.min() < 1:
        arrays["confidence"] = seen if persons > 1 else seen[:, 0]
    if first.image_size:
        arrays["dimensions"] = np.tile(np.array(first.image_size[::-1], np.int32), (len(clips), 1))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / f"{name}.npz") as path, open(path, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    write_json(folder / f"{name}.json", _description(name, clips, names, joints.shape))
    return folder


def _known(values: list[Any]) -> list[str]:
    """Names that occur, sorted."""
    return sorted({str(value) for value in values if value is not None})


def _indices(names: list[str], values: list[Any]) -> np.ndarray:
    """Where each value stands among the names, -1 for None."""
    return np.array([-1 if value is None else names.index(str(value)) for value in values], np.int16)


def _numbers_or_names(values: list[Any]) -> np.ndarray:
    """Whole numbers where all are, else text; what is not known is NaN or an empty text."""
    if all(isinstance(value, int) for value in values):
        return np.array(values, np.int16 if max(map(abs, values)) < 1 << 15 else np.int64)
    if all(value is None or isinstance(value, (int, float)) for value in values):
        return np.array([np.nan if value is None else value for value in values])
    return np.array(["" if value is None else str(value) for value in values])


def _description(name: str, clips: list[Motion], names: dict[str, list[str]], shape: tuple[int, ...]) -> dict:
    first, count = clips[0], Counter(str(clip.label) for clip in clips if clip.label is not None)
    subjects, views = (
        sorted(
            {each for clip in clips if (each := getattr(clip, what)) is not None},
            key=lambda each: (isinstance(each, str), each),
        )
        for what in ("subject", "camera")
    )
    splits = {}
    if len(subjects) > 1:
        splits["xsub"] = {"train": _rule_of("subjects", subjects[::2]), "test": _rule_of("subjects", subjects[1::2])}
    if len(views) > 1:
        splits["xview"] = {"train": _rule_of("views", views[:-1]), "test": _rule_of("view", views[-1:])}
    flat = first.coords == 2
    return {
        "name": name,
        "joint_names": list(first.layout.joints),
        "parents": list(first.layout.parents),
        "coordinates": "image pixels, x right, y down" if flat else "camera space, x to its left, y up, z away from it",
        "up": first.up,
        "fps": first.fps,
        "units": first.unit,
        "dims": ["x", "y", "z"][: first.coords],
        "class_names": names["class"],
        "style_names": names["style"],
        "style_note": "the hand that the subject prefers",
        "n_subjects": len(subjects),
        "n_views": len(views),
        "splits": splits,
        "n_sequences": len(clips),
        "n_frames_total": shape[0],
        "sequences_per_class": dict(sorted(count.items())),
        "original": "written by kineme",
    }


def _rule_of(word: str, values: list[Any]) -> str | dict[str, Any]:
    """In words as published sets have it; names, and numbers that words would not keep, as a rule."""
    if all(isinstance(value, int) and value >= 0 for value in values):
        return f"{word} {', '.join(map(str, values))}"
    return {"column": "subject" if word == "subjects" else "camera", "in": values}
