"""The pictures of a store: JPEG images, one after another, one for each frame; written as they come, read by number."""

from __future__ import annotations

import array
import contextlib
import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..utils.errors import InputError
from .array_file import AGAIN, header, mapped

if TYPE_CHECKING:
    from PIL import Image

IMAGES, PLACES = "pictures.bin", "pictures.npy"
SIDE = 144  # pixels of the short side: clips are cropped and shown at 128
QUALITY = 90  # of JPEG


class PictureWriter:
    """Writes ``pictures.bin`` and, in the end, ``pictures.npy``: int64 ``[F + 1]``, where each image begins.

    Args:
        folder: of the store.
        side: pixels of the short side to which larger pictures are scaled down.

    Attributes:
        count: pictures so far.
    """

    def __init__(self, folder: Path, side: int = SIDE):
        self.folder, self.side, self.count = folder, side, 0
        self._digest, self._file = hashlib.sha256(), (folder / IMAGES).open("wb")
        self._ends = array.array("q", [0])

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):  # a full disk was reported when it was met
            self._file.close()

    def add(self, where: str, pictures: Iterable[np.ndarray], frames: int) -> None:
        """Append the pictures of a clip, all or, where something is wrong with one of them, none.

        Args:
            where: the clip's name, for messages.
            pictures: uint8 ``[H, W, 3]``, of one size.
            frames: how many there are to be.

        Raises:
            InputError: not that many, or no pictures of one size; whatever the iterator raises.
        """
        digest, begin = self._digest.copy(), self.count
        try:
            size = None
            for picture in pictures:
                picture = _checked(where, picture, size)
                size = picture.shape
                self._append(encoded(picture, self.side))
                if self.count - begin > frames:
                    break
            if self.count - begin != frames:
                found = self.count - begin if self.count - begin < frames else f"more than {frames}"
                raise InputError(where, f"{found} pictures", f"{frames}, one for each frame of the motion")
        except BaseException:
            del self._ends[begin + 1 :]
            self._digest, self.count = digest, begin
            self._file.seek(self._ends[-1])
            self._file.truncate()
            raise

    def copy(self, pictures: Pictures) -> None:
        """Append all of another store's, byte for byte."""
        start, begin = self._ends[-1], len(self._ends)
        for block in pictures.blocks():
            self._file.write(block)
            self._digest.update(block)
        self._ends.frombytes((np.asarray(pictures.places[1:], np.int64) + start).tobytes())
        self.count += len(self._ends) - begin

    def finish(self) -> dict[str, str]:
        """Write what is left to write; the digests of both files by name. Without pictures there are no files."""
        if not self.count:
            self._file.close()
            (self.folder / IMAGES).unlink()
            return {}
        places = np.frombuffer(self._ends, np.int64).astype("<i8")
        with (self.folder / PLACES).open("wb") as file:
            file.write(header(places.shape, "<i8"))
            file.write(places.data)
            file.flush()
            os.fsync(file.fileno())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {IMAGES: self._digest.hexdigest(), PLACES: hashlib.sha256(places.data).hexdigest()}

    def _append(self, image: bytes) -> None:
        self._file.write(image)
        self._digest.update(image)
        self._ends.append(self._ends[-1] + len(image))
        self.count += 1


class Pictures:
    """The pictures of a store, opened for reading.

    Args:
        folder: of the store.
        frames: F, how many there are to be.

    Attributes:
        places: int64 ``[F + 1]``, read-only memory map: image f is the bytes ``places[f] .. places[f + 1] - 1``.

    Raises:
        InputError: a file is missing, cut short, or not of this kind.
    """

    def __init__(self, folder: Path, frames: int):
        self.path = folder / IMAGES
        self.places = mapped(folder / PLACES, (frames + 1,), "<i8")
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise InputError(self.path, f"not readable ({error.strerror})", "the pictures of a store", AGAIN) from None
        if self.places[0] != 0 or self.places[-1] != size or size == 0:
            raise InputError(self.path, f"{size} bytes", f"{int(self.places[-1])} bytes as {PLACES} says", AGAIN)
        self._bytes = np.memmap(self.path, np.uint8, "r")

    def image(self, number: int) -> Image.Image:
        """An image by its number, its bytes not decoded yet.

        Raises:
            InputError: bytes that are no image.
        """
        from PIL import Image

        data = self._bytes[self.places[number] : self.places[number + 1]].tobytes()
        try:
            return Image.open(io.BytesIO(data), formats=["JPEG"])
        except OSError:
            raise self._damaged(number) from None

    def __getitem__(self, number: int) -> np.ndarray:
        """A picture by its number, uint8 ``[H, W, 3]``.

        Raises:
            InputError: bytes that are no image.
        """
        try:
            return np.asarray(self.image(number))
        except OSError:
            raise self._damaged(number) from None

    def blocks(self, size: int = 1 << 22) -> Iterable[bytes]:
        """All bytes, some at a time."""
        return (self._bytes[begin : begin + size].tobytes() for begin in range(0, len(self._bytes), size))

    def _damaged(self, number: int) -> InputError:
        return InputError(self.path, f"picture {number} is damaged", "a JPEG image", AGAIN)


def encoded(picture: np.ndarray, side: int = SIDE) -> bytes:
    """A picture uint8 ``[H, W, 3]`` as JPEG, scaled down so that its short side has at most ``side`` pixels."""
    from PIL import Image

    height, width = picture.shape[:2]
    image, buffer = Image.fromarray(np.ascontiguousarray(picture)), io.BytesIO()
    if (size := scaled(width, height, side)) != (width, height):
        image = image.resize(size, Image.Resampling.BILINEAR)  # over all pixels below one of the result
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def scaled(width: int, height: int, side: int = SIDE) -> tuple[int, int]:
    """Width and height scaled so that the shorter one is at most ``side``; never larger.

    Examples:
        >>> scaled(1920, 1080), scaled(100, 80)
        ((256, 144), (100, 80))
    """
    share = min(1.0, side / min(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def _checked(where: str, picture: np.ndarray, size: tuple[int, ...] | None) -> np.ndarray:
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise InputError(where, f"a picture {picture.dtype} {list(picture.shape)}", "uint8 [H, W, 3]")
    if size is not None and picture.shape != size:
        raise InputError(where, f"pictures of {size[:2]} and of {picture.shape[:2]} pixels", "one size within a clip")
    return picture
