"""COCO keypoints (json): results or annotations with x, y, score or visibility, as AlphaPose, MMPose, PoseTrack write.

What is read, by its shape:

* results: a list of ``image_id`` (number or file name), ``keypoints`` (51 numbers: x, y and confidence of 17 joints)
  and perhaps ``track_id`` or AlphaPose's ``idx``;
* annotations: ``images``, ``annotations``, and ``categories`` that name the joints; PoseTrack and J-HMDB besides have
  ``vid_id`` and ``track_id``, and ``videos`` may tell ``fps`` (:mod:`kineme.io._coco_writer` writes such files).
  Visibility 1 (hidden) and 2 count as seen, 0 as a guess or, at (0, 0), as missing;
* MMPose's own: ``instance_info`` with ``meta_info``, or the list alone: ``frame_id`` and ``instances``, each with
  ``keypoints`` ``[V, 2]`` and ``keypoint_scores``; with ``[V, 3]`` they are a motion in space. Its unit and up axis,
  which the file does not tell, are those that bodies of such a size and posture have, and are noted.

**Videos.** Images are frames of one video if they have the same ``vid_id`` (``video_id``), else if their file names
differ in one number only (:mod:`kineme.io._frame_names`); numeric ids count as such numbers. Every video is a clip,
called ``FILE#VIDEO`` where there are several. Images are single photographs, each a clip of one frame, if their names
tell of no video, or if COCO says where they were found on the web; setting ``images=video`` makes one of all images
of a folder, ``images=photos`` takes every image by itself. Videos and photographs in which nobody is seen are no
clips.

**People** are followed by their track, else by position (:mod:`kineme.io._tracking`); box and score of a whole person
are passed over. **Layout**: what the joints are called, else their number (17 ``coco17``, 133 ``coco_wholebody133``,
26 and 136 ``halpe26`` and ``halpe136``), unless their places tell of another order; setting ``keypoints`` names it.
Feet, face and hands of COCO-WholeBody, which its files have beside the body (``foot_kpts``), are put behind it. Other
names give a free layout. A joint that is NaN or null is missing; an entry that cannot be read is left out and counted.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _bodies, _detections, _frame_names, _tracking
from ._coco_writer import write as write
from ._coco_writer import write_file as write_file

suffixes = (".json",)
settings = {"images": ("video", "photos"), "keypoints": skeleton.layouts}

WHAT = "COCO json: a list of image_id and keypoints, or images and annotations"
WEB = ("coco_url", "flickr_url")
TRACKS = ("track_id", "tracking_id", "idx")
LEFT_OUT = "annotations that cannot be read, left out"
NO_IMAGE = "image entries that cannot be read, left out"
BY_ID = "videos whose image names are no row of numbers: their frames are in the order of ids or names"
SPACE = 3  # coordinates
H36M = {"root": "hip", "neck_base": "neck_nose"}  # MMPose's names for two joints of h36m17


@dataclass(frozen=True)
class Image:
    """An image: its name, what the file says of its video and its number there, its size."""

    name: str
    video: str | None = None
    number: int | None = None
    size: tuple[int, int] | None = None
    from_web: bool = False
    fps: float | None = None


@dataclass
class Clip:
    """The images (their ids) of a video or photograph in order, and the numbers of the frames."""

    name: str
    keys: list[Any]
    numbers: list[int]
    is_video: bool
    fps: float | None = None


@dataclass
class Content:
    """A file, its variants made equal: images by id, and of each person the image, the keypoints and the track."""

    images: dict[Any, Image]
    layout: skeleton.Layout | None = None
    where: list[Any] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    tracks: list[Any] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    notes: _detections.Notes = field(default_factory=Counter)
    faults: list[InputError] = field(default_factory=list)
    coords: int = 2


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".json":
        return False
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"[":
        people = (b'"image_id"' in head and b'"keypoints"' in head) or (
            b'"instances"' in head and b'"frame_id"' in head
        )
        return people or (b'"instances"' in head and b'"keypoints"' in head)
    return start == b"{" and (
        b'"instance_info"' in head
        or b'"meta_info"' in head
        or any(
            {first, second} <= set(re.findall(rb'"\w+"(?=\s*:)', head))
            for first, second in (
                (b'"images"', b'"file_name"'),
                (b'"annotations"', b'"image_id"'),
                (b'"categories"', b'"keypoints"'),
                (b'"info"', b'"licenses"'),
            )
        )
    )


def read(path: Path, options: Options) -> Iterator[Motion]:
    """A motion ``[T, M, V, 2]`` for each video, ``[1, M, V, 2]`` for each photograph, in the order of the file; 3
    coordinates where the file has them.
    """
    asked = options.table or {}
    content = _content(path, _detections.document(path, WHAT))
    points, kept, layout = _points(path, content, options)
    notes = content.notes  # those of the file go to its first clip
    in_space = points.shape[2] == SPACE + 1
    unit, coordinates = (None, None) if in_space else _detections.unit(points)
    of: dict[Any, list[int]] = defaultdict(list)  # rows of an image
    for row, i in enumerate(kept):
        of[content.where[i]].append(row)
    clips = _clips(content.images, asked.get("images"), notes)
    seen_in = np.any(points[..., -1] > 0, axis=1)
    clips = [clip for clip in clips if any(seen_in[row] for key in clip.keys for row in of[key])]
    if not clips:
        raise InputError(path, f"nobody is seen in any of {len(content.images)} images", "a person, at least once")
    for clip in clips:
        rows = [row for key in clip.keys for row in of[key]]
        joints, seen, extra = _tracking.clip(
            f"{path}, {clip.name}" if clip.name else path,
            clip.numbers,
            [number for key, number in zip(clip.keys, clip.numbers) for _ in of[key]],
            points[rows],
            [content.tracks[kept[row]] for row in rows],
            notes=notes,
        )
        extra |= {"video": clip.name or None} if clip.is_video else {"image": clip.name}
        size = None
        up: str | None = "-y"
        if in_space:
            unit, up = _bodies.in_space(points[rows], layout, options, notes)
        else:
            sizes = {content.images[key].size for key in clip.keys} - {None}
            size = sizes.pop() if len(sizes) == 1 else None
            extra["coordinates"] = coordinates
            notes["videos whose images are of several sizes: none is taken"] += bool(sizes)
        if not clip.is_video and asked.get("images") != "photos":
            notes[_frame_names.PHOTOGRAPHS] += 1
        yield Motion(
            joints,
            layout,
            seen,
            fps=clip.fps and clip.fps / extra["frame_step"],
            up=up,
            unit=unit or "1",
            image_size=size,
            source=f"{path.name}#{clip.name}" if len(clips) > 1 else path.name,
            extra=extra,
            notes=notes,
        )
        notes = Counter()


def _clips(images: Mapping[Any, Image], wanted: str | None, notes: _detections.Notes) -> list[Clip]:
    """The videos and photographs among images, in their order."""
    place = {key: i for i, key in enumerate(images)}
    clips: list[Clip] = []
    stated: dict[str, list[Any]] = defaultdict(list)
    free, alone = [], []
    for key, image in images.items():
        if wanted == "photos" or (image.from_web and image.video is None and wanted is None):
            alone.append(key)
        elif image.video is not None:
            stated[image.video].append(key)
        else:
            free.append(key)
    for name, keys in stated.items():
        clips.append(_stated(name, keys, images, notes))
    videos, rest = _frame_names.videos([images[key].name for key in free])
    for video in videos:
        clips.append(Clip(video.name, [free[i] for i in video.members], video.numbers, True, video.fps))
        notes[_frame_names.AGAIN] += len(video.again)
    if wanted == "video":
        folders: dict[str, list[Any]] = defaultdict(list)
        for i in rest:
            folders[_frame_names.folder(images[free[i]].name)].append(free[i])
        for name, keys in folders.items():
            keys.sort(key=lambda key: _frame_names.natural(images[key].name))
            clips.append(Clip(name, keys, list(range(len(keys))), True))
    else:
        alone += [free[i] for i in rest]
    clips += [Clip(images[key].name, [key], [_number(images[key].name)], False) for key in alone]
    return sorted(clips, key=lambda clip: min(place[key] for key in clip.keys))


def _stated(name: str, keys: list[Any], images: Mapping[Any, Image], notes: _detections.Notes) -> Clip:
    """A video that the file states: by the numbers in the names of its images, else by those that it gives, else by the
    order of the names.
    """
    videos, rest = _frame_names.videos([images[key].name for key in keys], _tracking.SPARSE)
    fps = images[keys[0]].fps
    if len(videos) == 1 and not rest:
        video = videos[0]
        notes[_frame_names.AGAIN] += len(video.again)
        return Clip(name, [keys[i] for i in video.members], video.numbers, True, fps or video.fps)
    given = [images[key].number for key in keys]
    if len(keys) == 1:
        name_of = images[keys[0]].name
        given = [_number(name_of) if any(map(str.isdigit, name_of)) else given[0] or 0]
    else:
        notes[BY_ID] += 1
    if None in given or len(set(given)) < len(given):
        keys = sorted(keys, key=lambda key: _frame_names.natural(images[key].name))
        return Clip(name, keys, list(range(len(keys))), True, fps)
    order = sorted(range(len(keys)), key=given.__getitem__)  # type: ignore[arg-type]
    return Clip(name, [keys[i] for i in order], [given[i] or 0 for i in order], True, fps)


def _number(name: str) -> int:
    """The last number in the name of an image, 0 where there is none."""
    digits = re.findall(r"\d{1,18}", PurePosixPath(name.replace("\\", "/")).stem)
    return int(digits[-1]) if digits else 0


def _points(path: Path, content: Content, options: Options) -> tuple[np.ndarray, np.ndarray, skeleton.Layout]:
    """Coordinates and confidence of people ``[D, V, C + 1]``, which of the entries they are, what the joints are."""
    if not content.rows:
        raise InputError(path, f"nobody in any of {len(content.images)} images", "a person, at least once")
    width = content.coords + 1
    named = content.layout if "keypoints" not in (options.table or {}) else None
    if named is None:
        points, kept = _bodies.keypoints(content.places, content.rows, width, "keypoints", options.table, content.notes)
    else:
        count = len(named)
        what = f"keypoints of {width} x {count} numbers"
        shapes = {(width * count,), (count, width)}
        rows, kept = _detections.table(content.places, content.rows, shapes, what, content.notes)
        points = rows.reshape(len(rows), count, width)
    points = _detections.stated(_detections.gaps(points, content.notes))
    if named is None:
        layout, points = _bodies.order(points, options.table, content.notes)
    else:
        layout = named
    return points, kept, layout


# ------------------------------------------------------------------------------------------------ variants of the file


def _content(path: Path, data: Any) -> Content:
    if isinstance(data, list) and any(isinstance(entry, dict) and "instances" in entry for entry in data[:9]):
        return _instances(path, data, None)
    if isinstance(data, list):
        content = Content({})
        for place, entry in _each(path, data, "entry", content, LEFT_OUT):
            with _counting(content):
                key = _key(place, entry.get("image_id"))
                if key not in content.images:
                    content.images[key] = _image(place, key, {}, {}, content.notes)
                _take(content, place, key, entry)
        return _sound(content, len(data), LEFT_OUT)
    if "instance_info" in data:
        return _instances(path, data["instance_info"], _layout(path, data.get("meta_info")))
    if "annotations" not in data or "images" not in data:
        raise InputError(path, f"JSON of another kind, with {', '.join(data)[:200]}", WHAT)
    layout, categories = _categories(path, data.get("categories"))
    content = Content({}, layout)
    videos = [entry for entry in data.get("videos") or () if isinstance(entry, dict)]
    rates = {str(entry.get("id")): _detections.rate(entry.get("fps"), content.notes) for entry in videos}
    for place, entry in _each(path, data["images"], "image", content, NO_IMAGE):
        with _counting(content):
            key = _key(place, entry.get("id"))
            if key in content.images:
                raise InputError(place, f"image id {key} once more", "an id for each image")
            content.images[key] = _image(place, key, entry, rates, content.notes)
    if not content.images and not content.faults:
        raise InputError(path, "no images", WHAT)
    _sound(content, len(data["images"]), NO_IMAGE)
    for place, entry in _each(path, data["annotations"], "annotation", content, LEFT_OUT):
        with _counting(content):
            key = _key(place, entry.get("image_id"))
            if key not in content.images:
                raise InputError(place, f"image_id {key}, which is none of the images", "the id of an image")
            if "keypoints" in entry and (categories is None or entry.get("category_id", categories[0]) in categories):
                _take(content, place, key, entry)
    return _sound(content, len(data["annotations"]), LEFT_OUT)


def _instances(path: Path, frames: Any, layout: skeleton.Layout | None) -> Content:
    """MMPose: a list of frames."""
    content = Content({}, layout)
    found = list(_each(path, frames, "frame", content, _detections.NUMBERS))
    if not found:
        raise InputError(path, "no frames", WHAT)
    ids = [frame.get("frame_id") for _, frame in found]
    numbers = _detections.numbering([place for place, _ in found], "frame_id", ids, content.notes)
    people = []
    for number, (place, frame) in zip(numbers, found):
        if number is not None:
            content.images[number] = Image(str(number), "", number)
            inside = _detections.some(place, frame.get("instances"), "instances", content.notes)
            people += [(place, number, person, _instance(person)) for _, person in inside]
    widths = Counter(row.shape[1] for *_, row in people if row is not None)
    content.coords = SPACE if widths[SPACE + 1] > widths[3] else 2
    for place, number, person, row in people:
        if row is None:
            found_keys = f"its keys are {', '.join(map(str, person))[:200]}" if person else "it is empty"
            expected = "keypoints [V, 2] (in space [V, 3]) and as many keypoint_scores"
            content.faults.append(InputError(place, f"an instance without keypoints ({found_keys})", expected))
        else:
            _take(content, place, number, {**person, "keypoints": row.tolist()})
    return _sound(content, len(people), LEFT_OUT)


def _instance(person: Mapping[str, Any]) -> np.ndarray | None:
    """Coordinates and score ``[V, C + 1]`` of a person of MMPose, however nested; None where there are none."""
    points, scores = (_detections.array(person.get(key)) for key in ("keypoints", "keypoint_scores"))
    if (
        points is None
        or points.ndim < 2
        or points.shape[-1] not in (2, SPACE)
        or points.size > points[..., -1].size * SPACE
    ):
        return None
    points = points.reshape(-1, points.shape[-1]) if all(side == 1 for side in points.shape[:-2]) else points
    if person.get("keypoint_scores") is None:
        scores = np.ones(len(points))
        if points.shape[1] == SPACE and _is_share(points[:, 2]) and np.nanmax(np.abs(points[:, :2])) > 2:
            points, scores = points[:, :2], points[:, 2]  # pixels with their score, not a body in space
    if points.ndim != 2 or scores is None or scores.size != len(points):
        return None
    return np.concatenate([points, scores.reshape(-1, 1)], axis=1)


def _is_share(values: np.ndarray) -> bool:
    """Whether all numbers, of those that are there, are from 0 to 1, and not all 0."""
    known = values[np.isfinite(values)]
    return len(known) > 0 and bool((known >= 0).all() and (known <= 1).all() and known.any())


@contextlib.contextmanager
def _counting(content: Content) -> Iterator[None]:
    """What is wrong with one entry is noted; :func:`_sound` says what comes of it."""
    try:
        yield
    except InputError as error:
        content.faults.append(error)


def _sound(content: Content, entries: int, words: str) -> Content:
    """The content, if most of its entries can be read; the others are counted.

    Raises:
        InputError: the first fault of too many.
    """
    if content.faults and 2 * len(content.faults) >= entries:
        raise content.faults[0]
    content.notes[words] += len(content.faults)
    content.faults.clear()
    return content


def _each(path: Path, value: Any, what: str, content: Content, words: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and object of each entry of a list; what is no object is a fault of the content."""
    if not isinstance(value, list):
        raise InputError(path, f"{what} entries that are no list of objects", f"{what} entries: [{{...}}, ...]")
    for k, entry in enumerate(value):
        if isinstance(entry, dict):
            yield f"{path}, {what} {k}", entry
        else:
            content.faults.append(InputError(f"{path}, {what} {k}", "no object", WHAT))


def _take(content: Content, place: str, key: Any, entry: Mapping[str, Any]) -> None:
    """One person more."""
    tracks = (entry[name] for name in TRACKS if type(entry.get(name)) in (int, str, float))
    content.where.append(key)
    row = entry.get("keypoints")
    if isinstance(row, list) and not _bodies.PARTS.keys().isdisjoint(entry):
        row, content.layout = _bodies.joined(row, entry), None
    content.rows.append(row)
    content.tracks.append(next(tracks, None))
    content.places.append(place)


def _key(place: str, value: Any) -> int | str:
    if type(value) is str:
        return value
    return _detections.whole(place, "an image id", value)


def _image(
    place: str, key: int | str, entry: Mapping[str, Any], rates: Mapping[str, float | None], notes: _detections.Notes
) -> Image:
    """What is known of an image from its entry, or from its id alone."""
    name = entry.get("file_name", key)
    if type(name) not in (int, str):
        raise InputError(place, f"file_name {str(name)[:40]}", "text")
    said = next((entry[key] for key in ("vid_id", "video_id") if type(entry.get(key)) in (int, str)), None)
    return Image(
        str(name).replace("\\", "/"),
        None if said is None else str(said),
        next((entry[key] for key in ("frame_id", "id") if type(entry.get(key)) is int and entry[key] >= 0), None),
        _detections.size(entry.get("width"), entry.get("height"), notes),
        any(key in entry for key in WEB),
        rates.get(str(said)),
    )


# ------------------------------------------------------------------------------------------------ names of the joints


def _categories(path: Path, categories: Any) -> tuple[skeleton.Layout | None, list[int] | None]:
    """The layout that the categories with keypoints share, and their ids; (None, None) if none names any."""
    if categories is None:
        return None, None
    named = [
        entry for _, entry in _detections.some(path, categories, "categories", Counter()) if entry.get("keypoints")
    ]
    layouts = {str(entry["keypoints"]): entry for entry in named}
    if len(layouts) > 1:
        raise InputError(
            path,
            f"categories with {len(layouts)} sets of keypoints",
            "one, that of people",
            "Leave one category in the file",
        )
    if not named:
        return None, None
    if not all(type(entry.get("id")) is int for entry in named):
        raise InputError(path, "a category without a number", "an id for each category")
    edges = named[0].get("skeleton")
    return _named(path, named[0]["keypoints"], edges, 1), [entry["id"] for entry in named]


def _layout(path: Path, meta: Any) -> skeleton.Layout | None:
    """The layout that MMPose's ``meta_info`` names: by the names of its joints, else by that of its data set."""
    if not isinstance(meta, dict):
        return None
    names = meta.get("keypoint_id2name")
    if not isinstance(names, dict):
        dataset = re.sub("[^a-z0-9]", "", str(meta.get("dataset_name", "")).lower())
        return skeleton.layout("h36m17") if dataset in ("h36m", "human36m") else None
    ordered = [names[key] for key in sorted(names, key=_detections.number)]
    known = skeleton.identify([H36M.get(name, name) if isinstance(name, str) else "" for name in ordered])
    return known or _named(path, ordered, meta.get("skeleton_links"), 0)


def _named(path: Path, names: Any, edges: Any, base: int) -> skeleton.Layout:
    """The layout of these joints; ``edges`` are pairs of joints counted from ``base``."""
    if not isinstance(names, list) or not 0 < len(names) <= MAX_JOINTS or not all(type(name) is str for name in names):
        raise InputError(path, "names of keypoints that are no list of texts", f"1 to {MAX_JOINTS} names")
    return skeleton.identify(names) or skeleton.free(names, _tree(path, len(names), edges, base))


def _tree(path: Path, count: int, edges: Any, base: int) -> list[int]:
    """Parents of joints, by a walk along the edges from the first joint on; what would close a ring is left out."""
    beside: list[list[int]] = [[] for _ in range(count)]
    for edge in edges if isinstance(edges, list) else []:
        if not (
            isinstance(edge, list)
            and len(edge) == 2
            and all(type(end) is int for end in edge)
            and all(0 <= end - base < count for end in edge)
        ):
            raise InputError(path, f"the edge {str(edge)[:40]} between keypoints", f"two numbers of {count} keypoints")
        beside[edge[0] - base].append(edge[1] - base)
        beside[edge[1] - base].append(edge[0] - base)
    parents: dict[int, int] = {}
    for start in range(count):
        parents.setdefault(start, -1)
        waiting = [start] if parents[start] == -1 else []
        while waiting:
            joint = waiting.pop()
            fresh = [other for other in beside[joint] if other not in parents]
            parents |= dict.fromkeys(fresh, joint)
            waiting += fresh
    return [parents[joint] for joint in range(count)]
