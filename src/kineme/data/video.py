"""Videos with their poses: which pose track belongs to which video, and which frame to which pose."""

from __future__ import annotations

import functools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .. import io
from ..io import Video, open_video
from ..motion.layout import Layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import labels as tables
from .pictures import SIDE, scaled
from .store import Store
from .store_writer import Writer

HOW = (
    "A pose estimator (MediaPipe, OpenPose, AlphaPose, MMPose) finds the joints in every frame; give the folder of the "
    "files that it writes: kineme prepare VIDEOS STORE --poses FOLDER"
)
TOOLS = r"keypoints?|poses?|landmarks?|skeletons?|openpose|alphapose|mediapipe|results|predictions|rgb|2d|body"
BEFORE = re.compile(rf"^(({TOOLS})[-_. ]+)+", re.IGNORECASE)  # what tools write before the name of a video
BEHIND = re.compile(rf"([-_. ]+({TOOLS}))+$", re.IGNORECASE)
ALONE = re.compile(rf"({TOOLS})([-_. ]+({TOOLS}))*", re.IGNORECASE)  # instead of it: the folder has the name
SAME = 0.02  # rates and lengths may differ by so much and be meant as one
MULTIPLE = 8  # of the rate of a track, at most, where only lengths tell it
LISTED = "video"  # the column of a list that names them
Pair = tuple[str, str | None]  # file or folder of poses, and which of several recordings in it


@dataclass
class Film:
    """The frames of a video that belong to the poses of a recording.

    Attributes:
        video: opened.
        numbers: int64 ``[T]``, the frame of each pose.
        start: the ``start`` of the recording among its columns.
        size: width and height that pictures get.
        fault: why they could not be decoded, once it is known.
    """

    video: Video
    numbers: np.ndarray
    start: int
    size: tuple[int, int]
    fault: InputError | None = None

    def pictures(self, clip: Motion) -> Iterator[np.ndarray]:
        """Those of a clip that was cut out of the recording, or is all of it.

        Raises:
            InputError: a damaged frame; a clip that has lost frames on its way.
        """
        try:
            begin = int(clip.extra.get("start") or 0) - self.start
            end = int(clip.extra["end"]) - self.start if "end" in clip.extra else len(self.numbers)
            if end - begin != len(clip):
                raise InputError(
                    clip.source,
                    f"{len(clip)} poses of {end - begin} pictures: the normalisation leaves frames out",
                    "a pose for every picture",
                    "Take --normalise none",
                )
            yield from self.video.frames(self.numbers[begin:end], self.size)
        except InputError as error:
            self.fault = error
            raise


# ------------------------------------------------------------------------------------------------------- which track


def is_list(path: Path) -> bool:
    """Whether a file is a list of videos: CSV with a column ``video``."""
    try:
        if path.suffix.lower() not in (".csv", ".tsv") or not path.is_file():
            return False
        with path.open(encoding="utf-8-sig") as file:
            header = [cell.strip().strip('"').lower() for cell in re.split("[,;\t]", file.readline())]
    except (OSError, UnicodeDecodeError):
        return False
    return LISTED in header


def is_any(path: Path) -> bool:
    """Whether a path is a video, a list of videos, or a folder with a video in it."""
    if path.is_dir():
        return bool(videos(path))
    return path.is_file() and (is_list(path) or _is_video(path))


def videos(root: Path) -> list[str]:
    """Paths of all videos in a folder and the folders in it, in order; nothing hidden."""
    found, met = [], set()
    for folder, folders, names in os.walk(root, followlinks=True):
        here = Path(folder)
        if (real := os.path.realpath(here)) in met:  # a link to where we were already
            folders.clear()
            continue
        met.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [(here / name).relative_to(root).as_posix() for name in sorted(names) if _is_video(here / name)]
    return sorted(found)


def _is_video(path: Path) -> bool:
    """By its name or its first bytes: a damaged one is to be reported."""
    return not path.name.startswith(".") and (path.suffix.lower() in io.VIDEO_ENDINGS or io.is_video(path))


def listed(path: Path) -> tuple[list[str], dict[str, str]]:
    """The videos of a list that are there, and the poses that it names for some of them."""
    rows = [row for same in tables.read(path).values() for row in same]
    there = [row for row in sorted(rows, key=lambda row: row.line) if row.key and (path.parent / row.key).is_file()]
    named = {row.key: str(row.values["poses"]) for row in there if row.values.get("poses") is not None}
    return list(dict.fromkeys(row.key for row in there)), named


def pair(
    root: Path, units: Sequence[str], poses: Path | None, named: Mapping[str, str], format: str | None
) -> tuple[dict[str, Pair], list[dict[str, str]], list[str]]:
    """The pose track of each video.

    Args:
        root: folder to which the paths of videos are relative, and of a list.
        units: the videos.
        poses: folder (or file) of tracks; by default they are looked for beside the videos.
        named: tracks that a list names, relative to ``poses`` or ``root``.
        format: of the tracks.

    Returns:
        tracks by video; what is skipped (``file``, ``reason``); notes.

    Raises:
        InputError: no such folder; not one of the videos has a track.
    """
    place = poses or root
    if not place.exists():
        raise InputError("--poses", f"no such file or folder: {place}", "a folder of pose tracks", HOW)
    pairs: dict[str, Pair] = {}
    skipped: list[dict[str, str]] = []
    rest = [unit for unit in units if unit not in named]
    for unit in named.keys() & set(units):
        path = next((base / named[unit] for base in (place, root) if (base / named[unit]).exists()), None)
        if path is None:
            skipped.append({"file": unit, "reason": f"no such poses: {named[unit]}"})
        else:
            pairs[unit] = str(path), None
    notes: list[str] = []
    if rest:
        tracks = _Tracks(place, format)
        for unit in rest:
            found = tracks.of(unit)
            if isinstance(found, str):
                skipped.append({"file": unit, "reason": found})
            else:
                pairs[unit] = found
        if unused := tracks.unused(pairs.values()):
            shown = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
            notes.append(f"{len(unused)} pose tracks fit no video: {shown}")
    if not pairs:
        first = f"; the first is {skipped[0]['file']}: {skipped[0]['reason']}" if skipped else ""
        raise InputError(root, f"{len(units)} videos, none with a pose track in {place}{first}", hint=HOW)
    return pairs, sorted(skipped, key=lambda item: item["file"]), notes


class _Tracks:
    """The pose tracks of a folder by the names of videos that they may belong to."""

    def __init__(self, place: Path, format: str | None):
        self.place, self.format = place, format
        self.root = place if place.is_dir() else place.parent
        self.units = [unit for unit in io.search(place, format).units if not _is_video(unit)]
        self.by_name: dict[str, list[Pair]] = defaultdict(list)
        self.by_core: dict[str, list[Pair]] = defaultdict(list)  # without what tools add to names
        for unit in self.units:
            takes = _takes(unit)
            for name in _names(unit, self.root) if len(takes) < 2 else ():
                self._add(name, (str(unit), None))
            for take in takes:
                self._add(take, (str(unit), take if len(takes) > 1 else None))
        self._inside = False  # whether the files of several clips were looked into

    def _add(self, name: str, track: Pair) -> None:
        for table, key in ((self.by_name, name.lower()), (self.by_core, _core(name))):
            if key and track not in table[key]:
                table[key].append(track)

    def of(self, unit: str) -> Pair | str:
        """The track of a video, or why there is none."""
        path = PurePosixPath(unit)
        name, stem, core = path.name.lower(), path.stem.lower(), _core(path.stem)
        for table, key in ((self.by_name, name), (self.by_name, stem), (self.by_core, stem), (self.by_core, core)):
            if found := table.get(key):
                return self._one(path, found)
        if not self._inside:
            self._look_inside()
            return self.of(unit)
        return f"no pose track in {self.place.name} is called like it"

    def unused(self, pairs: Iterable[Pair]) -> list[str]:
        """Tracks that belong to no video."""
        used = {unit for unit, _ in pairs}
        return [unit.relative_to(self.root).as_posix() for unit in self.units if str(unit) not in used]

    def _one(self, video: PurePosixPath, found: Sequence[Pair]) -> Pair | str:
        """Of several tracks of one name the one that lies in the same folder as the video."""
        if len(found) > 1:
            near = [
                track for track in found if str(video.parent) in map(str, Path(track[0]).relative_to(self.root).parents)
            ]
            found = near if len(near) == 1 and str(video.parent) != "." else found
        if len(found) == 1:
            return found[0]
        shown = ", ".join(Path(unit).relative_to(self.root).as_posix() for unit, _ in found[:5])
        return f"{len(found)} pose tracks are called like it ({shown}); name one in a list with columns video, poses"

    def _look_inside(self) -> None:
        """The names of clips in files that hold several."""
        self._inside = True
        for unit in self.units:
            try:
                clips = _clips(str(unit), self.format, io.Options(image=True)) if unit.is_file() else ()
            except InputError:  # whoever reads it for its video says so
                continue
            for clip in clips if len(clips) > 1 else ():
                for name in {clip.source.partition("#")[2], str(clip.extra.get("video") or ""), clip.source} - {""}:
                    self._add(PurePosixPath(name).name, (str(unit), clip.source))
                    self._add(PurePosixPath(name).stem, (str(unit), clip.source))


def _core(name: str) -> str:
    """A name without what tools add to it, in lower case."""
    stem, ending = os.path.splitext(name)
    name = stem if ending.lower() in io.VIDEO_ENDINGS else name
    return BEHIND.sub("", BEFORE.sub("", name)).lower()


def _names(unit: Path, root: Path) -> list[str]:
    """What a track is called: by its file, or by its folder where the file's name tells of a tool only."""
    name = unit.name if unit.is_dir() else unit.stem
    if ALONE.fullmatch(name) and unit.parent != root:
        return [unit.parent.name]
    return [name]


def _takes(unit: Path) -> list[str]:
    """The recordings in a folder of one file for each frame."""
    if unit.is_dir():
        for reader in io.readers().values():
            if getattr(reader, "folder", False) and hasattr(reader, "takes") and reader.sniff(unit, b""):
                return [name for name in reader.takes(unit) if name] or [""]
    return []


@functools.lru_cache(maxsize=1)  # one file may hold the tracks of many videos
def _clips(unit: str, format: str | None, options: io.Options) -> tuple[Motion, ...]:
    return tuple(clip for clip in io.read_each(unit, format, options) if isinstance(clip, Motion))


# ------------------------------------------------------------------------------------------------------- which frame


def filmed(path: Path, track: Pair, format: str | None, options: io.Options, side: int = SIDE) -> tuple[Motion, Film]:
    """A video's poses, in pixels of its picture where they say no other size, and the frames that belong to them.

    Raises:
        InputError: poses or video that cannot be read, or do not belong together.
    """
    unit, name = track
    video = open_video(path)
    motion = _motion(unit, name, format, options)
    motion = _placed(motion, video)
    motion, numbers = together(motion, video)
    film = Film(video, numbers, int(motion.extra.get("start") or 0), scaled(video.width, video.height, side))
    return motion, film


def _motion(unit: str, name: str | None, format: str | None, options: io.Options) -> Motion:
    if name is None:
        found = list(io.read_each(unit, format, options))
        if len(found) == 1 and isinstance(found[0], InputError):
            raise found[0]
        clips = [clip for clip in found if isinstance(clip, Motion)]
    elif Path(unit).is_dir():
        clips = [
            clip
            for clip in io.read_each(unit, format, options)
            if isinstance(clip, Motion) and clip.extra.get("recording") == name
        ]
    else:
        clips = [clip for clip in _clips(unit, format, options) if clip.source == name]
    if len(clips) != 1:
        found_clips = f"{len(clips)} recordings" if clips else "no recording that can be read"
        raise InputError(unit, f"{found_clips}, for one video", "one", "Name them as their videos are named")
    return clips[0]


def _placed(motion: Motion, video: Video) -> Motion:
    """2-D poses in pixels, and the size of the picture that these refer to."""
    if motion.coords != 2:
        return motion
    size = np.array([video.width, video.height], np.float32)
    stated = motion.extra.get("coordinates")
    if motion.unit == "1" and stated in ("0..1", "-1..1"):
        shares = motion.joints if stated == "0..1" else (motion.joints + 1) / 2
        joints = np.where(motion.confidence[..., None] > 0, shares * size, 0).astype(np.float32)
        extra = {**motion.extra, "coordinates": "px"}
        return motion.with_(joints=joints, unit="px", extra=extra, image_size=(video.width, video.height))
    notes = dict(motion.notes)
    if motion.image_size is not None:
        width, height = motion.image_size
        if abs(width * video.height / (height * video.width) - 1) > SAME:
            notes["pose tracks of a picture of another shape than their video: was it turned, or cut?"] = 1
        return motion.with_(notes=notes)
    seen = motion.joints[motion.confidence > 0]
    if len(seen) and (np.quantile(seen, 0.9, axis=0) > size).any():
        notes["poses that reach beyond the picture: were they made from a larger copy of the video?"] = 1
    return motion.with_(image_size=(video.width, video.height), notes=notes)


def together(motion: Motion, video: Video) -> tuple[Motion, np.ndarray]:
    """The poses that have a picture, and the number of the frame of each, int64 ``[T]``.

    Poses are numbered as their format says (``first_frame``, ``frame_step``), else from 0. They belong to the frames of
    these numbers, if there are about as many; to the frames at their times, if their rate is another; and where a video
    is unevenly spaced, both are taken at even times. What has no partner is left out; ``Motion.notes`` says which.

    Raises:
        InputError: fewer than two poses with a picture.
    """
    first, step = int(motion.extra.get("first_frame") or 0), int(motion.extra.get("frame_step") or 1)
    last, frames, notes = first + (len(motion) - 1) * step, len(video), dict(motion.notes)
    base = int(first > 0 and (last == frames or (first == 1 and last != frames - 1)))
    if base:
        notes["pose tracks whose first frame is 1, taken for the video's first"] = 1
    at = first - base + np.arange(len(motion)) * step  # in frames of what the estimator saw
    seen = int(at[-1]) + 1
    rate = motion.fps * step if motion.fps else None
    share = _share(seen, rate, video)
    numbers = at if share == 1 else np.floor((at + 0.5) * share).astype(np.int64)
    fps = video.fps / (share * step)
    if share != 1:
        notes["pose tracks of another rate than their video: pictures are those at the poses' times"] = 1
    elif rate is not None and abs(rate / video.fps - 1) > SAME:
        notes["pose tracks that state another rate than their video, but have its frames: its rate is taken"] = 1
    chosen = np.arange(len(motion))
    if video.variable:
        nearest = even_frames(video, fps)
        chosen = np.clip(np.searchsorted(numbers, nearest, side="right") - 1, 0, len(motion) - 1)
        numbers = np.where(nearest <= numbers[-1], nearest, frames)
        notes["videos with uneven times between frames: frames and poses are taken at even times"] = 1
    there = (numbers >= 0) & (numbers < frames)
    if there.sum() < 2:
        found = f"poses of frames {numbers[0]} to {numbers[-1]} for a video of {frames}"
        raise InputError(video.path.name, found, "poses of at least 2 of its frames")
    if seen != round(frames / share):
        longer = "longer than" if seen > frames / share else "shorter than"
        notes[f"pose tracks {longer} their video, of which the common part is taken"] = 1
    chosen, numbers = chosen[there], numbers[there]
    kept = motion.with_(joints=motion.joints[chosen], confidence=motion.confidence[chosen], fps=fps, notes=notes)
    if (fault := io.nobody(kept)) is not None:
        raise fault
    return kept, numbers.astype(np.int64)


def even_frames(video: Video, fps: float) -> np.ndarray:
    """The frames of a video that are nearest to evenly spaced times, int64 ``[T]``."""
    even = np.arange(0, video.times[-1] + 0.5 / fps, 1 / fps)
    after = np.searchsorted(video.times, even).clip(1, len(video) - 1)
    return np.where(even - video.times[after - 1] <= video.times[after] - even, after - 1, after)


def _share(seen: int, rate: float | None, video: Video) -> float:
    """Frames of the video for each that the estimator saw: 1 where it saw the video's own.

    Lengths go before stated rates: these are often those of a template.
    """
    frames = len(video)
    other = video.fps if rate is None or abs(rate / video.fps - 1) <= SAME else rate
    off, off_by_rate = abs(seen - frames), abs(seen - frames * other / video.fps)
    if off <= max(2, SAME * frames) and off <= off_by_rate:
        return 1.0
    if other != video.fps:
        return video.fps / other
    ratio = frames / seen
    whole = round(max(ratio, 1 / ratio))
    if rate is None and 1 < whole <= MULTIPLE and abs(max(ratio, 1 / ratio) / whole - 1) <= SAME:
        return float(whole) if ratio > 1 else 1 / whole
    return 1.0


def without_poses(
    src: Path,
    dest: str | os.PathLike,
    layout: Layout,
    coords: int,
    normalise: Mapping[str, Any],
    up: str | None = None,
    side: int = SIDE,
) -> Store:
    """A store of videos with nobody in it, for whoever looks at the pictures only.

    Args:
        src: a video, a folder or a list of them.
        dest: the store's folder.
        layout, coords, normalise, up: of stores beside which it is to be used.
        side: pixels of the short side of pictures.

    Raises:
        InputError: not one video that can be read.
    """
    root, rows = (src if src.is_dir() else src.parent), tables.read(src) if is_list(src) else {}
    units = listed(src)[0] if rows else videos(src) if src.is_dir() else [src.name]
    faults: list[InputError] = []
    with Writer(dest, layout, 1, coords, normalise=normalise, picture_side=side) as writer:
        stored = 0
        for unit in units:
            try:
                for clip, film in _unposed(root / unit, unit, layout, coords, up, side, rows):
                    writer.add(clip, unit, film.pictures(clip))
                    stored += 1
            except InputError as error:
                faults.append(error)
                writer.skip(unit, str(error).removeprefix(f"{root / unit}: "))
        if not stored:
            raise faults[0] if faults else InputError(src, "no video that is there", "videos")
    return Store(dest)


def _unposed(
    path: Path, name: str, layout: Layout, coords: int, up: str | None, side: int, rows: Mapping[str, Any]
) -> Iterator[tuple[Motion, Film]]:
    video = open_video(path)
    numbers = even_frames(video, video.fps) if video.variable else np.arange(len(video))
    joints = np.zeros((len(numbers), 1, len(layout), coords), np.float32)
    size = video.width, video.height
    motion = Motion(joints, layout, joints[..., 0], fps=video.fps, up=up, image_size=size, source=name)
    film = Film(video, numbers, 0, scaled(*size, side))
    yield from ((clip, film) for clip, _, _ in tables.cut(motion, tables.of(rows, name, name)) if clip is not None)
    if not tables.of(rows, name, name):
        yield motion, film


def split_rules(values: Iterable[Any]) -> dict[str, Any]:
    """Carried protocols of a column ``split``: its training part against its test part, and against its validation."""
    found = sorted({str(value) for value in values if value is not None})
    parts = {side: [v for v in found if v.lower().startswith(side)] for side in ("train", "test", "val")}
    rules = {}
    for name, side in (("list", "test" if parts["test"] else "val"), ("list_val", "val")):
        if parts["train"] and parts[side] and (name == "list" or parts["test"]):
            rules[name] = {
                "train": {"column": "split", "in": parts["train"]},
                "test": {"column": "split", "in": parts[side]},
            }
    return rules
