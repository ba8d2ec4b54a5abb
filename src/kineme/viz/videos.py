"""Pictures of a store's videos: frames in a row for each clip, and clips that play side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..data.store import Store, no_pictures, opened
from ..utils import files
from ..utils.errors import InputError

FPS = 30.0  # of clips that do not say it
GAP = 2  # pixels between clips
TITLE = 14  # pixels above a row
QUALITY = 88  # of JPEG
CLIPS = 12  # that play side by side


def sheet(
    rows: Sequence[tuple[str, Store | str | os.PathLike, int]],
    to: str | os.PathLike,
    frames: int = 8,
    scale: float = 1.0,
) -> None:
    """Clips beneath each other, each as frames in a row at even distances.

    Args:
        rows: for each a title, a store with pictures, and the number of the clip.
        to: picture to write, ``.png`` or ``.jpg``.
        frames: in a row.
        scale: enlarges the pictures.

    Raises:
        InputError: a store without pictures; a name of another kind.

    Examples:
        >>> kineme.viz.videos.sheet([("wave", filmed, 0)], "wave.png")  # doctest: +SKIP
    """
    kind = {".png": "png", ".jpg": "jpeg"}.get(Path(to).suffix.lower())
    if kind is None:
        raise InputError(to, "no name of a picture", "a name that ends with .png or .jpg")
    strips = []
    for title, store, row in rows:
        data = opened(store)
        numbers = data.offsets[row] + np.linspace(0, data.lengths[row] - 1, frames).round().astype(int)
        strip = Image.fromarray(np.concatenate(data.pictures(numbers), 1))
        strip = strip.resize((round(strip.width * scale), round(strip.height * scale)), Image.Resampling.LANCZOS)
        titled = Image.new("RGB", (strip.width, strip.height + TITLE), "white")
        ImageDraw.Draw(titled).text((2, 1), title, fill=(30, 30, 34))
        titled.paste(strip, (0, TITLE))
        strips.append(titled)
    size = max(strip.width for strip in strips), sum(strip.height + GAP for strip in strips) - GAP
    page = Image.new("RGB", size, "white")
    top = 0
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height + GAP
    with files.atomic(to) as temporary:
        page.save(temporary, format=kind, quality=QUALITY)


def mosaic(store: Store | str | os.PathLike, to: str | os.PathLike, clips: int = CLIPS, poses: bool = True) -> None:
    """Clips that play side by side, evenly chosen, each again from its start until the longest has ended.

    Args:
        store: with pictures.
        to: video to write, ``.mp4``.
        clips: how many at most.
        poses: draw the joints over them, the surer the lighter.

    Raises:
        InputError: no pictures; a name that is no ``.mp4``; PyAV is not installed.

    Examples:
        >>> kineme.viz.videos.mosaic(filmed, "clips.mp4")  # doctest: +SKIP
    """
    data = opened(store)
    if not data.has_pictures:
        raise no_pictures(data.path)
    if Path(to).suffix.lower() != ".mp4":
        raise InputError(to, "no name of a video", "a name that ends with .mp4")
    try:
        import av
    except ImportError:
        raise InputError("av", "not installed", "PyAV, for videos", "pip install 'kineme[video]'") from None
    rows = np.unique(np.linspace(0, len(data) - 1, clips).round().astype(int))
    wide = math.ceil(math.sqrt(len(rows)))
    rate = round(data.motion(int(rows[0])).fps or FPS)
    films = [_played(data, int(row), poses) for row in rows]
    high, across = (max(film.shape[axis] for film in films) for axis in (1, 2))
    page = np.zeros((-(-len(rows) // wide) * (high + GAP) // 2 * 2, wide * (across + GAP) // 2 * 2, 3), np.uint8)
    with files.atomic(to) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = page.shape[0], page.shape[1], "yuv420p"
        for frame in range(max(len(film) for film in films)):
            for place, film in enumerate(films):
                top, left = place // wide * (high + GAP), place % wide * (across + GAP)
                picture = film[frame % len(film)][: page.shape[0] - top, : page.shape[1] - left]
                page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            container.mux(stream.encode(av.VideoFrame.from_ndarray(page, format="rgb24")))
        container.mux(stream.encode(None))


def _played(data: Store, row: int, poses: bool) -> np.ndarray:
    """A clip's pictures uint8 ``[T, H, W, 3]``, twice as large, with its joints."""
    motion = data.motion(row)
    pictures = np.stack(data.pictures(range(data.offsets[row], data.offsets[row + 1])))
    pictures = pictures.repeat(2, 1).repeat(2, 2)
    if poses and motion.image_size:
        scale = pictures.shape[2] / motion.image_size[0]
        for frame, person, joint in np.argwhere(motion.confidence > 0):
            x, y = (int(value * scale) for value in motion.joints[frame, person, joint])
            shade = 70 + int(185 * motion.confidence[frame, person, joint])
            pictures[frame, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = (shade, shade, 0)
    return pictures
