"""C3D motion capture (.c3d): labelled points of optical systems (Vicon, Qualisys, OptiTrack).

The package ``c3d`` reads header and parameters (``pip install 'kineme[c3d]'``); the points themselves are read over all
frames at once, integers or floats, of Intel, MIPS and DEC machines; analog channels are passed over. A point of
negative residual, without a number, or at 0, 0, 0 is missing. Unit and rate are as the file states them, the up axis is
that of ``POINT:Y_SCREEN`` if there is one.

The layout is free, with the points' labels as joint names. Points on the skin are no joints: a table of joints and the
points whose mean they are makes a body of them (``--layout kinect20 --map markers.toml``,
:func:`kineme.motion.joint_map.read_table`). A file that was cut short gives the frames that are whole.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion import units
from ..motion.motion import UPS, Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _text

suffixes = own = (".c3d",)

WHAT = "a C3D file with points"
MOST = 1 << 31  # bytes
CUT = "The file may be cut short"
INFINITE = "points that are no finite number, taken as missing"  # a note


def sniff(path: Path, head: bytes) -> bool:
    return head[1:2] == b"P" and len(head) >= 512 and path.suffix.lower() == ".c3d"


@dataclass(frozen=True)
class Facts:
    """What header and parameters say: of the points their number, labels, rate, scale, unit and up axis; where the data
    begin, how many analog values each frame has; order of bytes, and whether numbers are those of a DEC machine.
    """

    count: int
    frames: int
    labels: list[str]
    rate: float
    scale: float
    unit: str
    up: str | None
    begin: int
    analog: int
    order: str
    dec: bool


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, V, 3]``, V = points in file order."""
    data = _text.raw(path, WHAT, MOST)
    if len(data) < 1024 or data[1] != 0x50:
        raise InputError(path, "no header of a C3D file", WHAT, CUT if len(data) < 1024 else "")
    facts = _facts(path, data)
    if not 0 < facts.count <= MAX_JOINTS:
        raise InputError(path, f"{facts.count} points", f"{WHAT}, at most {MAX_JOINTS}")
    if facts.frames < 1:
        raise InputError(path, f"{facts.frames} frames", "at least one")
    places, word = _points(path, data, facts)
    notes = {} if len(places) == facts.frames else {f"announces {facts.frames} frames, has {len(places)}": 1}
    huge = np.abs(places) > np.finfo(np.float32).max
    seen = np.isfinite(places).all(-1) & places.any(-1) & (word >= 0) & ~huge.any(-1)
    yield Motion(
        np.where(seen[..., None], places, 0)[:, None],
        skeleton.free(facts.labels, skeleton.tree(facts.labels)),
        seen[:, None].astype(np.float32),
        fps=facts.rate if 0 < facts.rate < 1e5 else None,
        up=facts.up,
        unit=facts.unit,
        source=path.name,
        notes={**notes, INFINITE: int(huge.any(-1).sum())},
    )


def _facts(path: Path, data: bytes) -> Facts:
    """Header and parameters. Whether these agree with each other is not insisted on."""
    try:
        import c3d
    except ImportError:
        raise InputError(
            path, "the package c3d, which reads this format, is not installed", hint="pip install 'kineme[c3d]'"
        ) from None

    class Reader(c3d.Reader):
        def _check_metadata(self) -> None:
            pass

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Reader(io.BytesIO(data))
            count = int(found.point_used)
            return Facts(
                count,
                int(found.last_frame) - int(found.first_frame) + 1,
                _labels(found, min(max(count, 0), MAX_JOINTS)),
                float(found.point_rate),
                float(found.point_scale),
                units.find(_word(found, "POINT:UNITS")) or "1",
                _up(_word(found, "POINT:Y_SCREEN").lower()),
                (int(found.header.data_block) - 1) * 512,
                int(found.header.analog_count),
                ">" if found._dtypes.is_mips else "<",
                bool(found._dtypes.is_dec),
            )
    except Exception as error:  # the package raises many kinds for damaged files
        raise InputError(path, f"parameters that cannot be read ({str(error)[:200]})", WHAT, CUT) from None


def _points(path: Path, data: bytes, facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """Places float64 ``[T, V, 3]`` of the frames that are whole, and the word of residual and cameras ``[T, V]``."""
    floats = facts.scale < 0
    width, begin = 4 if floats else 2, facts.begin
    size = (4 * facts.count + facts.analog) * width
    whole = min(facts.frames, (len(data) - begin) // size) if 0 < begin < len(data) else 0
    if whole < 1:
        raise InputError(path, f"no whole frame of {facts.count} points in {len(data)} bytes", WHAT, CUT)
    rows = np.frombuffer(data, np.uint8, whole * size, begin).reshape(whole, size)
    rows = np.ascontiguousarray(rows[:, : 4 * facts.count * width])
    if floats and facts.dec:
        from c3d import c3d as package

        values = np.asarray(package.DEC_to_IEEE_BYTES(rows.tobytes()))
    else:
        values = rows.view(f"{facts.order}{'f4' if floats else 'i2'}")
    with np.errstate(invalid="ignore"):  # signalling NaN
        table = values.reshape(whole, facts.count, 4).astype(np.float64)
    return table[..., :3] * (1 if floats else facts.scale), table[..., 3]


def _labels(found: Any, count: int) -> list[str]:
    """A name for each point; those without a label are numbered."""
    labels: list[str] = []
    for key in ("POINT:LABELS", *(f"POINT:LABELS{k}" for k in range(2, 1 + -(-count // 255)))):
        parameter = found.get(key)
        labels += map(str, np.ravel([] if parameter is None else parameter.string_array))
    labels = [label.strip(" \0") for label in labels[:count]] + [""] * (count - len(labels))
    return [label or f"point_{k + 1}" for k, label in enumerate(labels)]


def _word(found: Any, key: str) -> str:
    parameter = found.get(key)
    return "" if parameter is None else str(parameter.string_value).strip(" \0")


def _up(said: str) -> str | None:
    said = said if said[:1] in ("+", "-") else f"+{said}"
    return said if said in UPS else None
