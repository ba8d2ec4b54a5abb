"""COCO keypoints (json): results or annotations with x, y, score or visibility, as AlphaPose, MMPose, PoseTrack write.

What is read, by its shape:

* results: a list of ``image_id`` (number or file name), ``keypoints`` (51 numbers: x, y and confidence of 17 joints)
  and perhaps ``track_id`` or AlphaPose's ``idx``;
* annotations: ``images``, ``annotations``, and ``categories`` that name the joints; PoseTrack and J-HMDB besides have
  ``vid_id`` and ``track_id``. Joints of visibility 0 are missing, 1 (hidden) and 2 count as seen;
* MMPose's own: ``instance_info`` with ``meta_info``, or the list alone: ``frame_id`` and ``instances``, each with
  ``keypoints`` ``[V, 2]`` and ``keypoint_scores``.

**Videos.** Images are frames of one video if they have the same ``vid_id`` (``video_id``), else if their file names
differ only in the number at the end; numeric ids count as such numbers. Every video is a clip, called ``FILE#VIDEO``
where there are several. Images are single photographs, each a clip of one frame, if their name has no number, if COCO
says where they were found on the web, or if fewer than one number in twenty is there. Videos and photographs in which
nobody is seen are no clips.

**People** are followed by their track where everybody has one, else by position (:mod:`kineme.io._tracking`); box and
score of a whole person are passed over. **Layout**: what the joints are called, else their number: 17 ``coco17``; of
Halpe's 26 and 136 and COCO-WholeBody's 133 COCO's 17, which stand first. Other names give a free layout.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _tracking

suffixes = (".json",)

WHAT = "COCO json: a list of image_id and keypoints, or images and annotations"
ENDING = re.compile(r"(.*?)[_. -]*(\d{1,18})")
PHOTOGRAPHS = 20  # numbers for each image from which on images are no video
WEB = ("coco_url", "flickr_url")
TRACKS = ("track_id", "tracking_id", "idx")


@dataclass(frozen=True)
class Image:
    """An image: its name, the video it may belong to, and its number there (None: a photograph)."""

    name: str
    video: str
    number: int | None
    size: tuple[int, int] | None = None
    stated: bool = False  # whether the file says that it is of that video


@dataclass
class Content:
    """A file, its variants made equal: images by id, and of each person the image, the keypoints and the track."""

    images: dict[Any, Image]
    layout: skeleton.Layout | None = None
    where: list[Any] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    tracks: list[Any] = field(default_factory=list)
    places: list[str] = field(default_factory=list)


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".json":
        return False
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"[":
        return b'"keypoints"' in head and (b'"image_id"' in head or b'"instances"' in head)
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
    """A motion ``[T, M, V, 2]`` for each video, ``[1, M, V, 2]`` for each photograph, in the order of the file."""
    content = _content(path, _tracking.document(path, WHAT))
    points, layout = _points(path, content)
    unit, coordinates = _tracking.unit(points)
    videos: dict[str, list[Any]] = defaultdict(list)  # ids of images
    for key, image in content.images.items():
        videos[image.video].append(key)
    of: dict[Any, list[int]] = defaultdict(list)  # rows of an image
    for row, key in enumerate(content.where):
        of[key].append(row)
    clips = [clip for video, keys in videos.items() for clip in _clips(path, video, keys, content.images)]
    kept = [clip for clip in clips if any((points[row, :, 2] > 0).any() for key in clip[1] for row in of[key])]
    if not kept:
        raise InputError(path, f"nobody is seen in any of {len(content.images)} images", "a person, at least once")
    for name, keys, video in kept:
        images = [content.images[key] for key in keys]
        rows = [row for key in keys for row in of[key]]
        frame = [images[k].number or 0 for k, key in enumerate(keys) for _ in of[key]]
        joints, seen, extra = _tracking.clip(
            f"{path}, {name}" if name else path,
            [image.number or 0 for image in images],
            frame,
            points[rows],
            [content.tracks[row] for row in rows],
        )
        sizes = {image.size for image in images}
        extra |= {"video": name or None} if video else {"image": name}
        yield Motion(
            joints,
            layout,
            seen,
            up="-y",
            unit=unit,
            image_size=sizes.pop() if len(sizes) == 1 else None,
            source=f"{path.name}#{name}" if len(kept) > 1 else path.name,
            extra={**extra, "coordinates": coordinates},
        )


def _clips(path: Path, video: str, keys: list[Any], images: Mapping[Any, Image]) -> list[tuple[str, list[Any], bool]]:
    """What the images of one name are: (name, ids of images, whether it is a video)."""
    numbers = [images[key].number for key in keys]
    known = [number for number in numbers if number is not None]
    if not all(images[key].stated for key in keys) and (
        len(known) < len(keys) or max(known) - min(known) >= PHOTOGRAPHS * len(known)
    ):
        return [(images[key].name, [key], False) for key in keys]
    if len(set(known)) < len(known):
        twice = next(number for number in known if known.count(number) > 1)
        raise InputError(path, f"two images with number {twice} in video {video!r}", "a number for each frame")
    return [(video, keys, True)]


def _points(path: Path, content: Content) -> tuple[np.ndarray, skeleton.Layout]:
    """x, y, confidence of every person ``[D, V, 3]``, and what the joints are."""
    layout = content.layout
    if not content.rows:
        raise InputError(path, f"nobody in any of {len(content.images)} images", "a person, at least once")
    sizes = {len(layout)} if layout else {size for size, (name, _) in _tracking.BODY.items() if name == "coco17"}
    rows = _tracking.table(
        content.places,
        content.rows,
        {(3 * size,) for size in sizes},
        f"keypoints of 3 x {' or '.join(map(str, sorted(sizes)))} numbers",
    )
    points = _tracking.stated(rows.reshape(len(rows), -1, 3))
    if layout is None or (len(layout) > 17 and skeleton.identify(layout.joints[:17]) == skeleton.layout("coco17")):
        return points[:, :17], skeleton.layout("coco17")
    return points, layout


# ------------------------------------------------------------------------------------------------ variants of the file


def _content(path: Path, data: Any) -> Content:
    if isinstance(data, list) and isinstance(data[0], dict) and "instances" in data[0]:
        return _instances(path, data, None)
    if isinstance(data, list):
        content = Content({})
        for place, entry in _entries(path, data, "entry"):
            key = _key(place, entry.get("image_id"))
            if key not in content.images:
                content.images[key] = _image(place, key, {})
            _take(content, place, key, entry)
        return content
    if "instance_info" in data:
        return _instances(path, data["instance_info"], _layout(path, data.get("meta_info")))
    if "annotations" not in data or "images" not in data:
        raise InputError(path, "JSON of another kind", WHAT)
    layout, categories = _categories(path, data.get("categories"))
    content = Content({}, layout)
    for place, entry in _entries(path, data["images"], "image"):
        key = _key(place, entry.get("id"))
        if key in content.images:
            raise InputError(place, f"image id {key} once more", "an id for each image")
        content.images[key] = _image(place, key, entry)
    for place, entry in _entries(path, data["annotations"], "annotation"):
        key = _key(place, entry.get("image_id"))
        if key not in content.images:
            raise InputError(place, f"image_id {key}, which is none of the images", "the id of an image")
        if "keypoints" in entry and (categories is None or entry.get("category_id", categories[0]) in categories):
            _take(content, place, key, entry)
    if not content.images:
        raise InputError(path, "no images", WHAT)
    return content


def _instances(path: Path, frames: Any, layout: skeleton.Layout | None) -> Content:
    """MMPose: a list of frames."""
    content = Content({}, layout)
    for place, frame in _entries(path, frames, "frame"):
        number = _tracking.whole(place, "frame_id", frame.get("frame_id"))
        if number in content.images:
            raise InputError(place, f"frame_id {number} once more", "one entry for each frame")
        content.images[number] = Image(str(number), "", number, stated=True)
        for person in _tracking.items(place, frame.get("instances"), "instances"):
            xy, scores = person.get("keypoints"), person.get("keypoint_scores")
            if not (isinstance(xy, list) and isinstance(scores, list) and len(xy) == len(scores)):
                raise InputError(place, "an instance without keypoints [V, 2] and as many keypoint_scores", WHAT)
            flat = [
                value
                for joint, score in zip(xy, scores)
                for value in ((*joint, score) if isinstance(joint, list) and len(joint) == 2 else [None])
            ]
            _take(content, place, number, {**person, "keypoints": flat})
    if not content.images:
        raise InputError(path, "no frames", WHAT)
    return content


def _entries(path: Path, value: Any, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and object of each entry of a list."""
    for k, entry in enumerate(_tracking.items(path, value, f"{what} entries")):
        yield f"{path}, {what} {k}", entry


def _take(content: Content, place: str, key: Any, entry: Mapping[str, Any]) -> None:
    """One person more."""
    tracks = (entry[name] for name in TRACKS if type(entry.get(name)) in (int, str, float))
    content.where.append(key)
    content.rows.append(entry.get("keypoints"))
    content.tracks.append(next(tracks, None))
    content.places.append(place)


def _key(place: str, value: Any) -> int | str:
    if type(value) is str:
        return value
    return _tracking.whole(place, "an image id", value)


def _image(place: str, key: int | str, entry: Mapping[str, Any]) -> Image:
    """What is known of an image from its entry, or from its id alone."""
    name = entry.get("file_name", key)
    if type(name) not in (int, str):
        raise InputError(place, f"file_name {str(name)[:40]}", "text")
    where = PurePosixPath(str(name).replace("\\", "/"))
    known = ENDING.fullmatch(where.stem)
    number = (
        int(known[2])
        if known
        else next((entry[key] for key in ("frame_id", "id") if "vid_id" in entry and type(entry.get(key)) is int), None)
    )
    folder = "" if str(where.parent) == "." else str(where.parent)
    video = "/".join(part for part in (folder, known[1] if known else where.stem) if part)
    said = next((entry[key] for key in ("vid_id", "video_id") if type(entry.get(key)) in (int, str)), None)
    if said is None and any(key in entry for key in WEB):
        number = None
    size = _tracking.size(entry.get("width"), entry.get("height"))
    stated = said is not None and number is not None
    return Image(str(where), video if said is None else str(said), number, size, stated)


# ------------------------------------------------------------------------------------------------ names of the joints


def _categories(path: Path, categories: Any) -> tuple[skeleton.Layout | None, list[int] | None]:
    """The layout that the categories with keypoints share, and their ids; (None, None) if none names any."""
    if categories is None:
        return None, None
    named = [entry for _, entry in _entries(path, categories, "category") if entry.get("keypoints")]
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
    """The layout that MMPose's ``meta_info`` names."""
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict):
        return None
    links = meta.get("skeleton_links")
    return _named(path, list(names.values()), links, 0)


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
