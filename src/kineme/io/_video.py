"""Videos: told from pictures and noise by their first bytes, and decoded frame by frame.

No motion is in a video until a pose estimator has looked. Decoding is PyAV's, which is loaded when it is first needed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import InputError

ENDINGS = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".mts")
VIDEO, PICTURE = "a video", "a picture"
EXPECTED = "poses: joints over time"
HOW = (
    "Get poses first: a pose estimator (MediaPipe, OpenPose, AlphaPose, MMPose, or kineme poses with a model of yours) "
    "finds the joints in every frame, and Kineme reads the keypoint files that it writes; kineme prepare VIDEOS STORE "
    "--poses FOLDER takes both"
)
STILL = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")  # brands of pictures in the container of MP4
KINDS = (
    (VIDEO, re.compile(rb"[\x00-\x08]...(ftyp|moov|mdat|wide|free|skip|pnot)", re.DOTALL)),  # MP4, M4V, MOV, 3GP
    (VIDEO, re.compile(rb"RIFF....AVI ", re.DOTALL)),
    (VIDEO, re.compile(rb"\x1a\x45\xdf\xa3")),  # Matroska, WebM
    (VIDEO, re.compile(rb"\x00\x00\x01[\xb3\xba]")),  # MPEG 1 and 2
    (VIDEO, re.compile(rb"(.{4})?\x47.{187}(.{4})?\x47.{187}(.{4})?\x47", re.DOTALL)),  # MPEG transport stream, AVCHD
    (VIDEO, re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),  # WMV, ASF
    (VIDEO, re.compile(rb"FLV\x01")),
    (VIDEO, re.compile(rb"\x06\x0e\x2b\x34")),  # MXF
    (VIDEO, re.compile(rb"OggS.{24}.{0,20}(\x80theora|BBCD\x00|Speex|fishead)", re.DOTALL)),
    (PICTURE, re.compile(rb"GIF8[79]a|\x89PNG\r\n\x1a\n|\xff\xd8\xff|BM.{4}\x00{4}|II\*\x00|MM\x00\*", re.DOTALL)),
    (PICTURE, re.compile(rb"RIFF....WEBP", re.DOTALL)),
)


def kind(head: bytes) -> str | None:
    """``a video``, ``a picture`` or None, by the first bytes of a file, whatever its name is."""
    if head[4:8] == b"ftyp" and head[8:12] in STILL:
        return PICTURE
    return next((word for word, opening in KINDS if opening.match(head)), None)


# ---------------------------------------------------------------------------------------------------------- decoding

WANTED = "a video of at least 2 frames"
COPY = "Take another copy of the file, or convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"
TIMED = {"mov", "mp4", "matroska", "webm", "mpegts", "flv"}  # containers that state when each frame is shown
UNEVEN = 0.3  # of a frame's duration: by so much the time to the next may differ
MISSING = 0.02  # of the frames may be missing, or followed by gaps, before it is worth a word


class Video:
    """A video, looked through once so that its frames can be had by number.

    Frames are counted as a player shows them, from 0, and turned as the file says (phones film sideways).

    Attributes:
        path: the file.
        times: float64 ``[F]`` seconds since the first frame.
        fps: frames per second; where not all are evenly spaced, those of most.
        variable: whether more than a few are not.
        width, height: in pixels, turned.

    Raises:
        InputError: no video, only sound, cut short, a single frame, not decodable; PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        _refuse(self.path)
        with self._opened() as (container, stream):
            self._index(container, stream)
        with self._opened() as (container, stream):
            first = next(container.decode(stream), None)
            if first is None:
                raise InputError(path, "no frame of it can be decoded", WANTED, COPY)
            self._quarters = round(first.rotation / 90) % 4  # counter-clockwise
            self._size = first.width, first.height
        self.width, self.height = self._size[::-1] if self._quarters % 2 else self._size
        if not self._numbers:
            self._count()
        if len(self) < 2:
            raise InputError(path, "a single frame", WANTED)
        gaps = np.diff(self.times)
        usual = float(np.median(gaps))
        if usual <= 0:
            raise InputError(path, "frames without times", WANTED, COPY)
        uneven = int((np.abs(gaps - usual) > UNEVEN * usual).sum())
        self.variable = uneven > max(1, MISSING * len(gaps))
        self.fps = 1 / usual if uneven else len(gaps) / float(self.times[-1])

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        rate = f"{'about ' if self.variable else ''}{self.fps:.5g} frames/s"
        return f"Video({str(self.path)!r}, {len(self)} frames, {rate}, {self.width} x {self.height})"

    def frames(
        self, numbers: Sequence[int] | np.ndarray | None = None, size: tuple[int, int] | None = None
    ) -> Iterator[np.ndarray]:
        """Frames by number, in the order in which they are asked for, decoded one at a time.

        Args:
            numbers: by default all. Rising ones are read in one go; for others the file is searched from the last
                key frame before them.
            size: width and height to which they are scaled (averaged), before they are held as an array.

        Yields:
            uint8 ``[H, W, 3]``, red, green, blue.

        Raises:
            InputError: a number that the video does not have; a damaged frame.
        """
        numbers = range(len(self)) if numbers is None else [int(number) for number in numbers]
        wrong = next((number for number in numbers if not 0 <= number < len(self)), None)
        if wrong is not None:
            raise InputError(self.path, f"frame {wrong}", f"frames 0 to {len(self) - 1}")
        with self._opened() as (container, stream):
            shown, picture = -1, None
            frames: Iterator[tuple[int, Any]] = iter(())
            for number in numbers:
                if number == shown and picture is not None:
                    yield picture
                    continue
                if number < shown or self._keys[number] > shown:
                    frames, shown = self._from(container, stream, self._keys[number]), -1
                frame, frames = self._reach(container, stream, frames, number)
                shown, picture = number, self._picture(frame, size)
                yield picture

    # ------------------------------------------------------------------------------------------------------ reading

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        av = _library()
        try:
            with av.open(os.fspath(self.path), metadata_errors="replace") as container:
                streams = [stream for stream in container.streams.video if not _cover(av, stream)]
                if not streams:
                    only = "only sound" if container.streams.audio else "no pictures in it"
                    raise InputError(self.path, only, WANTED)
                yield container, streams[0]
        except av.error.FFmpegError as error:
            raise InputError(self.path, f"not decodable ({error.strerror})", WANTED, COPY) from None

    def _index(self, container: Any, stream: Any) -> None:
        """When each frame is shown, and from which key frame it can be decoded, without decoding any."""
        self._numbers: dict[int, int] = {}
        packets = [
            (packet.pts, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.size and not packet.is_discard and not packet.is_corrupt
        ]
        self._promised(stream, packets)
        keys = sorted(pts for pts, is_key in packets if is_key and pts is not None)
        stamps = sorted(pts for pts, _ in packets if pts is not None)
        whole = len(stamps) == len(packets) == len(set(stamps))
        if not packets:
            raise InputError(self.path, "no frame in it", WANTED)
        if not whole or not keys or not TIMED & set(container.format.name.split(",")):
            return  # frames are counted as they are decoded
        stamps = [pts for pts in stamps if pts >= keys[0]]  # what is before the first key frame is never shown
        self._numbers = {pts: number for number, pts in enumerate(stamps)}
        self._stamps = np.array(stamps)
        self._keys = np.searchsorted(self._stamps, np.array(keys))[
            np.searchsorted(np.array(keys), self._stamps, side="right") - 1
        ]
        self.times = (self._stamps - self._stamps[0]) * float(stream.time_base)

    def _promised(self, stream: Any, packets: Sequence[tuple[int | None, bool]]) -> None:
        """Compare with what the file says of itself; a file that was cut short has less."""
        found, promised, what = float(len(packets)), float(stream.frames), "frames"
        stamps = [pts for pts, _ in packets if pts is not None]
        if (length := _seconds(stream.metadata.get("DURATION"))) and stamps and not promised:
            found, promised, what = (max(stamps) - min(stamps)) * float(stream.time_base), length, "seconds"
            found += promised / max(len(packets), 1)  # the last frame is shown for a while
        if found < (1 - MISSING) * promised - 1e-6:
            raise InputError(self.path, f"cut short: {found:.4g} of {promised:.4g} {what} are there", WANTED, COPY)

    def _count(self) -> None:
        """Decode all frames once to count them; they are then read from the first one."""
        with self._opened() as (container, stream):
            stamps = [frame.pts for frame in container.decode(stream)]
            rate, promised = float(stream.average_rate or stream.guessed_rate or 0), stream.frames
        if len(stamps) < (1 - MISSING) * promised:
            raise InputError(self.path, f"cut short: {len(stamps)} of {promised} frames are there", WANTED, COPY)
        self._keys = np.zeros(len(stamps), int)
        self.times = np.arange(len(stamps)) / (rate or 25.0)

    def _from(self, container: Any, stream: Any, key: int) -> Iterator[tuple[int, Any]]:
        """Frames with their numbers, from a key frame on (or an earlier one)."""
        if self._numbers:
            if key:
                container.seek(int(self._stamps[key]), stream=stream)
            else:  # some containers find nothing before their first time stamp
                container.seek(0)
            return ((self._numbers.get(frame.pts, -1), frame) for frame in container.decode(stream))
        container.seek(0)
        return enumerate(container.decode(stream))

    def _reach(
        self, container: Any, stream: Any, frames: Iterator[tuple[int, Any]], number: int
    ) -> tuple[Any, Iterator[tuple[int, Any]]]:
        """Decode up to a frame; where the search for its key frame went too far, from an earlier one."""
        key = int(self._keys[number])
        while True:
            for at, frame in frames:
                if at == number and not frame.is_corrupt:
                    return frame, frames
                if at >= number:
                    break
            if key == 0:
                raise InputError(self.path, f"frame {number} of {len(self)} is damaged or missing", WANTED, COPY)
            key = int(self._keys[key - 1])
            frames = self._from(container, stream, key)

    def _picture(self, frame: Any, size: tuple[int, int] | None) -> np.ndarray:
        size = size or (self.width, self.height)
        width, height = size[::-1] if self._quarters % 2 else size
        pixels = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, self._quarters))


def open_video(path: str | os.PathLike) -> Video:
    """Open a video; see :class:`Video`.

    Examples:
        >>> video = kineme.io.open_video("clip.mp4")  # doctest: +SKIP
        >>> next(video.frames([17])).shape  # doctest: +SKIP
        (256, 340, 3)
    """
    return Video(path)


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its first bytes."""
    try:
        with open(path, "rb") as file:
            return kind(file.read(1024)) == VIDEO
    except OSError:
        return False


def _refuse(path: Path) -> None:
    """Say what is wrong with a file that is no video; FFmpeg would make one out of text."""
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else f"not readable ({error.strerror})"
        raise InputError(path, found, WANTED) from None
    if (other := kind(head)) != VIDEO:
        raise InputError(path, other or ("no video" if head else "the file is empty"), WANTED)


def _library() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError:
        raise InputError("PyAV", "not installed", "it, to decode videos", "pip install 'kineme[video]'") from None


def _cover(av: Any, stream: Any) -> bool:
    """Whether a stream is the picture on the cover of a piece of music."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _seconds(text: str | None) -> float | None:
    """``00:01:02.5`` in seconds."""
    try:
        hours, minutes, seconds = (text or "").split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return None
