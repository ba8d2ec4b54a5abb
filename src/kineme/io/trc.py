"""Marker trajectories as text (.trc) of OpenSim, OpenCap, Pose2Sim, Motion Analysis: x y z of each marker, by frame.

A header of five lines says rate, unit and the markers' names; then come lines of frame number, time and three numbers
for each marker, cut by tabs, commas or blanks. An empty cell is a missing marker, and so is one without a number. Rows
count, whatever the header announces. The format states no up axis (OpenSim has +y).

The layout is a built-in one where the markers are its joints, else free with the markers' names; see
:mod:`kineme.io.c3d` for markers that are no joints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout as skeleton
from ..motion import units
from ..motion.motion import Motion
from ..utils.errors import InputError
from ..utils.files import atomic
from . import MAX_JOINTS, Options, _text

suffixes = own = (".trc",)

WHAT = "TRC: five lines of header, then rows of frame, time and x y z of each marker"
MAX_PLACES = 1 << 26  # frames x markers
TORN = "broken last rows, left out"  # notes
INFINITE = "markers that are no finite number, taken as missing"
FIELD = re.compile(rb"[\t,;]")


def sniff(path: Path, head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:12].lower() == b"pathfiletype"


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, V, 3]``, V = markers in file order, or in that of a built-in layout."""
    data = _text.load(path, WHAT)
    header, names, body, line = _header(path, data)
    columns = 2 + 3 * len(names)
    table, notes = _rows(path, body, columns, line)
    if (announced := header.get("numframes", "")) not in ("", str(len(table))):
        notes[f"announces {announced[:20]} frames, has {len(table)}"] = 1
    places = table[:, 2:].reshape(len(table), len(names), 3)
    huge = np.abs(places) > np.finfo(np.float32).max
    notes[INFINITE] += int(huge.any(-1).sum())
    places[huge] = np.nan
    seen = np.isfinite(places).all(-1)
    layout, order = skeleton.identify(names), None
    if layout is None and (known := skeleton.reordered(names)) is not None:
        layout, order = known
    if order is not None:
        places, seen = places[:, order], seen[:, order]
    rate, unit = header.get("datarate", ""), units.find(header.get("units"))
    fps = float(rate) if _text.NUMBER.fullmatch(rate.encode()) else 0.0
    yield Motion(
        np.where(seen[..., None], places, 0)[:, None],
        layout or skeleton.free(names, skeleton.tree(names)),
        seen[:, None].astype(np.float32),
        fps=fps if 0 < fps < 1e5 else None,
        unit="1" if unit in (None, "px") else unit,
        source=path.name,
        notes=notes,
    )


def _header(path: Path, data: bytes) -> tuple[dict[str, str], list[str], bytes, int]:
    """What the header says by lower-case names, the names of the markers, the rows, and the line of the first row."""
    lines = data.split(b"\n", 5)
    if len(lines) < 6:
        raise InputError(path, f"{len(lines)} lines", WHAT, "The file may be cut short")
    keys, values, markers = (_cells(line) for line in lines[1:4])
    header = {key.lower(): value for key, value in zip(keys, values)}
    if "frame" not in (markers or [""])[0].lower():
        raise InputError(
            f"{path}, line 4", f"{lines[3][:40].decode('latin-1')!r}", "Frame#, Time, names of the markers"
        )
    names = [cell for cell in markers[2:] if cell]
    if not 0 < len(names) <= MAX_JOINTS:
        raise InputError(f"{path}, line 4", f"{len(names)} markers", f"1 to {MAX_JOINTS}")
    said = header.get("nummarkers", "")
    if said.isdecimal() and int(said[:9]) != len(names):
        raise InputError(f"{path}, line 4", f"{len(names)} names of markers", f"{said}, as NumMarkers says")
    return header, names, lines[5], 6


def _cells(line: bytes) -> list[str]:
    """The cells of a line, without those at its end that are empty."""
    text = line.rstrip(b"\t,; \r")
    cells = FIELD.split(text) if FIELD.search(text) else text.split()
    return [_text.unpack(cell).strip() for cell in cells]


def _rows(path: Path, body: bytes, columns: int, line: int) -> tuple[np.ndarray, dict[str, int]]:
    """The rows float64 ``[T, columns]``, NaN for what is empty or no number, and notes."""
    cut = FIELD.search(body)
    if cut is not None:
        mark = re.escape(cut[0])
        body = re.sub(rb"(?<=%b)[ ]*(?=[\r\n]|%b|\Z)" % (mark, mark), b"nan", re.sub(rb"[ ]*\r?\n", b"\n", body))
        body = re.sub(rb"^(nan|%b|[ ])+$" % mark, b"", body, flags=re.MULTILINE)  # rows of nothing
        body = body.replace(cut[0], b" ")
    words = _text.words(path, b"\n" * (line - 1) + body)
    if not len(words):
        raise InputError(f"{path}, line {line}", "no rows", WHAT, "The file may be cut short")
    first, widths = words.lines()
    counts = np.bincount(widths)
    usual = len(counts) - 1 - int(counts[::-1].argmax())  # of two that are as usual the longer one
    if usual < columns or (usual > columns + 1 and cut is None):
        raise words.error(
            int(first[np.argmax(widths == usual)]), f"{usual} values", f"{columns} (frame, time, markers)"
        )
    whole = (widths >= columns) & (widths <= max(usual, columns + 1))
    torn = len(widths) > 1 and widths[-1] < columns
    if torn:
        first, widths, whole = first[:-1], widths[:-1], whole[:-1]
    starts = first[: len(whole)]
    if len(whole) * columns > 3 * MAX_PLACES:
        raise InputError(path, f"{len(whole)} rows of {columns} values", f"at most {MAX_PLACES} positions")
    cells = starts[whole][:, None] + np.arange(columns)
    table = np.full((len(whole), columns), np.nan)
    table[whole] = words.floats(cells, finite=False)
    odd = np.isnan(table[whole])[:, 2:]
    odd[odd] = ~words.equal(cells[:, 2:][odd], b"nan")
    return table, {TORN: int(torn), _text.LOST: int((~whole).sum()), INFINITE: int(odd.sum())}


def write(folder: str | Path, motions: Iterable[Motion]) -> Path:
    """One ``NAME.trc`` per clip and person (``NAME_2.trc`` for the second), in the unit of the motion.

    Numbers keep all their digits, so that reading gives the same back; missing joints are empty cells. A motion without
    a rate gets 30 frames per second, for the format has a time on each row.

    Raises:
        InputError: a motion that is 2-D.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for clip in motions:
        if clip.coords != 3:
            raise InputError(clip.source, "2-D joints", "3-D joints, as .trc has them")
        for person in range(clip.persons):
            number = "" if person == 0 else f"_{person + 1}"
            name = f"{clip.source.replace('/', '_')}{number}.trc"
            with atomic(folder / name) as path:
                path.write_text("\n".join(_lines(name, clip, person)) + "\n", encoding="utf-8")
    return folder


def _lines(name: str, clip: Motion, person: int) -> Iterator[str]:
    count, rate = len(clip.layout), clip.fps or 30.0
    about: dict[str, Any] = {
        "DataRate": f"{rate:.9g}", "CameraRate": f"{rate:.9g}", "NumFrames": len(clip), "NumMarkers": count,
        "Units": clip.unit if clip.unit != "1" else "", "OrigDataRate": f"{rate:.9g}", "OrigDataStartFrame": 1,
        "OrigNumFrames": len(clip),
    }  # fmt: skip
    yield f"PathFileType\t4\t(X/Y/Z)\t{name}"
    yield "\t".join(about)
    yield "\t".join(map(str, about.values()))
    yield "Frame#\tTime\t" + "\t\t\t".join(re.sub(r"[\t,;\s]", "_", joint) for joint in clip.layout.joints) + "\t\t"
    yield "\t\t" + "\t".join(f"{axis}{k + 1}" for k in range(count) for axis in "XYZ")
    seen = clip.confidence[:, person] > 0
    for frame, (row, known) in enumerate(zip(clip.joints[:, person].tolist(), seen.tolist())):
        cells = [f"{value:.9g}" if there else "" for point, there in zip(row, known) for value in point]
        yield "\t".join([str(frame + 1), f"{frame / rate:.6f}", *cells])
