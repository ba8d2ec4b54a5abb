"""Small videos whose frames tell their number."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

BITS, BIT = 8, 8  # a frame's number in black and white stripes, so many pixels wide
WIDTH, HEIGHT = BITS * BIT, 48
SIDEWAYS = {  # display matrices: what a phone writes that was held upright, and the others
    90: (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    270: (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30),
    180: (-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30),
}


def frame(number: int) -> np.ndarray:
    """uint8 ``[HEIGHT, WIDTH, 3]``, the lower third of it dark red."""
    stripes = [235 if number >> bit & 1 else 20 for bit in range(BITS)]
    picture = np.repeat(np.repeat(np.array(stripes, np.uint8), BIT)[None, :, None], HEIGHT, 0).repeat(3, 2)
    picture[2 * HEIGHT // 3 :] = (120, 10, 10)
    return picture


def number(picture: np.ndarray) -> int:
    """The number that a frame shows, whatever its size."""
    high, wide = picture.shape[0] // 3, picture.shape[1] / BITS
    middles = [int((bit + 0.5) * wide) for bit in range(BITS)]
    return sum(int(picture[:high, x].mean() > 128) << bit for bit, x in enumerate(middles))


def write(
    path: Path,
    frames: int = 20,
    codec: str = "libx264",
    rate: int = 25,
    stamps: Sequence[int] | None = None,
    key_every: int = 8,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    b_frames: int = 2,
    sound: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """A video of ``frames`` frames; ``stamps``: when each is shown, in frames."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = key_every
        if codec in ("libx264", "mpeg4"):
            stream.codec_context.max_b_frames = b_frames
        stream.time_base = Fraction(1, rate)
        heard = container.add_stream("aac", rate=16000) if sound else None
        for i in range(frames):
            picture = av.VideoFrame.from_ndarray(frame(i), format="rgb24").reformat(*size, stream.pix_fmt)
            picture.pts, picture.time_base = i if stamps is None else stamps[i], Fraction(1, rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if heard is not None:
            container.mux(heard.encode(silence()))
            container.mux(heard.encode())
    return path


def write_sound(path: Path) -> Path:
    """A file with sound only."""
    import av

    with av.open(str(path), "w") as container:
        heard = container.add_stream("aac", rate=16000)
        container.mux(heard.encode(silence()))
        container.mux(heard.encode())
    return path


def silence():
    import av

    sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
    sound.sample_rate = 16000
    return sound


def turn(path: Path, degrees: int) -> Path:
    """Say in an mp4 file that players are to turn it clockwise."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # version and flags, times, number, duration, layer, volume
    data[place : place + 36] = struct.pack(">9i", *SIDEWAYS[degrees])
    path.write_bytes(data)
    return path
