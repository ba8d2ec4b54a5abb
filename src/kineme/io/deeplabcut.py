"""DeepLabCut tracks (csv, h5): x, y and likelihood of every body part in every frame, of one or several individuals.

Mathis et al., Nature Neuroscience 2018. Three or four lines stand above the table: ``scorer``, perhaps
``individuals``, ``bodyparts`` and ``coords``. Each individual is a person; its likelihood becomes the confidence, and a
part without numbers is missing. Labels made by hand (``CollectedData``) have no likelihood, and the names of images in
the place of numbers of frames. HDF5 files hold the same table as pandas writes it, in either of its two forms.

The parts are joints: of a known layout if they are called so, in any order; else a free layout. The file tells no
skeleton and no frame rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..motion.motion import Motion
from ..utils import plain_pickle
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _bodies, _detections, _frame_names, _hdf5, _text, _tracking
from ._following import MAX_POINTS

suffixes = (".csv", ".h5")

WHAT = "a DeepLabCut table: lines scorer, bodyparts and coords above x, y and likelihood of every part"
HEADINGS = ("scorer", "individuals", "bodyparts", "coords")
KEY, BLOCK = "df_with_missing", "values_block_0"  # in HDF5
OTHERS = "node_names"  # in HDF5 of SLEAP
COORDINATES = ("x", "y", "likelihood")
ROWS = "rows with too few numbers, taken as frames with nobody in them"


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() == ".h5":
        if not head.startswith(_hdf5.SIGNATURE):
            return False
        inside, named = _hdf5.names(path), any(word in path.name for word in ("DLC", "CollectedData"))
        return KEY in inside or (named and OTHERS not in inside)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return path.suffix.lower() == ".csv" and (first.startswith(b"scorer,") or b"\nbodyparts," in head)


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, M, V, 2]`` in pixels."""
    notes: _detections.Notes = Counter()
    head, index, begin, cells = _hdf5_table(path) if path.suffix.lower() == ".h5" else _csv_table(path, notes)
    parts, names, columns = _columns(path, head)
    if len(cells) * len(names) * len(parts) > MAX_POINTS:
        found = f"{len(cells)} frames of {len(names)} individuals of {len(parts)} parts"
        raise InputError(path, found, f"at most {MAX_POINTS} places")
    points = np.full((len(cells), len(names), len(parts), 3), np.nan, np.float32)
    for (name, part), places in columns.items():
        values = cells[:, np.array(places) - begin]
        points[:, names.index(name), parts.index(part), : len(places)] = values
        if len(places) == 2:
            points[:, names.index(name), parts.index(part), 2] = 1
    frames, individuals = np.indices(points.shape[:2]).reshape(2, -1)
    flat = points.reshape(-1, len(parts), 3)
    flat = np.where(np.isfinite(flat).all(-1, keepdims=True), flat, np.float32(0))  # gaps are usual here
    layout, order = _bodies.named(parts)
    numbers = _numbers(path, index, notes)
    there = flat[..., 2].any(1)
    if not there.any():
        raise InputError(path, f"nobody in any of {len(cells)} frames", "an individual, at least once")
    joints, seen, extra = _tracking.clip(
        path,
        numbers,
        numbers[frames[there]],
        flat[there][:, order],
        [names[i] for i in individuals[there]],
        notes=notes,
    )
    scorer = next((cell for cell in head.get("scorer", [])[1:] if cell), None)
    yield Motion(
        joints,
        layout,
        seen,
        up="-y",
        unit="px",
        source=path.name,
        extra={**extra, "coordinates": "px", "scorer": scorer},
        notes=notes,
    )


def _csv_table(path: Path, notes: _detections.Notes) -> tuple[dict[str, list[str]], list[list[str]], int, np.ndarray]:
    """The lines of the head by name; what stands before the numbers in each row, and in how many columns; the numbers
    ``[R, C]``, NaN where there is none.
    """
    rows = _text.table(path, WHAT)
    head: dict[str, list[str]] = {}
    while rows and rows[0] and rows[0][0].strip() in HEADINGS and rows[0][0].strip() not in head:
        name, *_ = row = [cell.strip() for cell in rows.pop(0)]
        head[name] = row
    if not {"bodyparts", "coords"} <= head.keys():
        raise InputError(path, f"no line {'coords' if 'bodyparts' in head else 'bodyparts'} at the head", WHAT)
    if not rows:
        raise InputError(path, "no frames", WHAT)
    _, _, columns = _columns(path, head)
    begin = min(map(min, columns.values()))  # of the table, behind the numbers of frames
    width = 1 + max(map(max, columns.values()))
    good = [len(row) >= width for row in rows]
    notes[ROWS] += len(rows) - sum(good)
    if 2 * sum(good) <= len(rows):
        k = good.index(False)
        raise InputError(path, f"{len(rows[k])} cells in row {k + 1} of the table", f"{width}, as the head has")
    texts = [row[begin:width] if fits else [""] * (width - begin) for row, fits in zip(rows, good)]
    return head, [row[:begin] for row in rows], begin, _detections.cells(texts, notes)


def _hdf5_table(path: Path) -> tuple[dict[str, list[str]], list[list[str]], int, np.ndarray]:
    """The same of a table that pandas wrote, as a PyTables table or as one array."""
    with _hdf5.opened(path, WHAT) as file:
        if f"{KEY}/table" in file:
            table = file.array(f"{KEY}/table", "V")
            kind = file.attribute(f"{KEY}/table", f"{BLOCK}_kind")
            labels = plain_pickle.loads(path, str(kind).encode(), WHAT) if kind is not None else []
            if BLOCK not in (table.dtype.names or ()) or not isinstance(labels, list):
                raise InputError(path, "a table without named columns of numbers", WHAT)
            labels = [tuple(map(str, label)) if isinstance(label, tuple) else () for label in labels]
            values = table[BLOCK].reshape(len(table), -1)
            index = (
                [[str(number)] for number in table["index"].tolist()] if "index" in (table.dtype.names or ()) else []
            )
        else:
            labels = list(zip(*_levels(file, f"{KEY}/block0_items")))
            values = file.array(f"{KEY}/block0_values")
            if not file.attribute(f"{KEY}/block0_values", "transposed"):
                values = values.T
            if f"{KEY}/axis1" in file:
                index = [[str(number)] for number in file.array(f"{KEY}/axis1").tolist()]
            else:
                index = [list(words) for words in zip(*_levels(file, f"{KEY}/axis1"))]
    levels = {len(label) for label in labels}
    if values.ndim != 2 or values.dtype.kind != "f" or len(labels) != values.shape[1] or levels not in ({3}, {4}):
        raise InputError(path, f"{len(labels)} columns over an array of shape {values.shape}", WHAT)
    if not len(values) or len(index) != len(values):
        raise InputError(path, f"{len(index)} numbers of frames, {len(values)} rows", "one for each frame")
    names = HEADINGS if levels == {4} else ("scorer", "bodyparts", "coords")
    head = {name: [name, *cells] for name, cells in zip(names, zip(*labels))}
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    return head, index, 1, np.where(np.isfinite(numbers), numbers, np.float32("nan"))


def _levels(file: _hdf5.Tables, name: str) -> list[list[str]]:
    """The levels of an index of pandas: for each the texts that it has in order."""
    found: list[list[str]] = []
    while f"{name}_level{len(found)}" in file and len(found) < len(HEADINGS):
        words = file.texts(f"{name}_level{len(found)}")
        codes = file.array(f"{name}_label{len(found)}", "iu").ravel()
        if len(codes) and not 0 <= codes.min() <= codes.max() < len(words):
            raise InputError(file.path, f"an index with text {codes.max()} of {len(words)}", WHAT)
        found.append([words[code] for code in codes.tolist()])
    return found


def _columns(path: Path, head: dict[str, list[str]]) -> tuple[list[str], list[str], dict[tuple[str, str], list[int]]]:
    """Parts, individuals, and the columns of x, y and perhaps likelihood of each."""
    parts, coords = head["bodyparts"], head["coords"]
    people = head.get("individuals", ["individual"] * len(coords))
    found: dict[tuple[str, str], dict[str, int]] = {}
    for at, what in enumerate(coords):
        if at and what in COORDINATES and at < min(len(parts), len(people)) and parts[at]:
            found.setdefault((people[at], parts[at]), {}).setdefault(what, at)
    found = {key: places for key, places in found.items() if {"x", "y"} <= places.keys()}
    names = list(dict.fromkeys(part for _, part in found))
    if not 0 < len(names) <= MAX_JOINTS:
        raise InputError(path, f"{len(names)} parts with x and y", f"1 to {MAX_JOINTS}")
    individuals = list(dict.fromkeys(one for one, _ in found))
    columns = {key: [places[what] for what in COORDINATES if what in places] for key, places in found.items()}
    return names, individuals, columns


def _numbers(path: Path, index: list[list[str]], notes: _detections.Notes) -> np.ndarray:
    """Numbers of the frames, by the first columns: numbers, or names of images."""
    last = [row[-1].strip() if row else "" for row in index]
    values = [_detections.number(cell) for cell in last]
    if all(value >= 0 and float(value).is_integer() and value < 2**53 for value in values):
        numbers = [int(value) for value in values]
    else:
        videos, rest = _frame_names.videos(["/".join(cell.strip() for cell in row if cell.strip()) for row in index])
        numbers = list(range(len(index)))
        if len(videos) == 1 and not rest and not videos[0].again:
            for row, number in zip(videos[0].members, videos[0].numbers):
                numbers[row] = number
        else:
            notes["recordings whose rows have no numbers of frames, taken in their order"] += 1
    if len(set(numbers)) < len(numbers):
        raise InputError(path, "a frame twice", "a row for each frame")
    return np.array(numbers, np.int64)
