"""A table of labels beside the recordings: a CSV file that names, describes and cuts them."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..motion.motion import Motion
from ..utils.errors import InputError

KEYS = ("id", "source", "file")
KNOWN = ("label", "subject", "camera", "start", "end")
WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")  # 007 is a name, not a number
EXPECTED = "a header line with a column file (or source, or id) and columns such as label, subject, camera, start, end"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        line: its number in the file, from 1.
        key: what it calls the recording.
        start, end: frames ``start .. end - 1`` of the recording, counted from 0; None: from its beginning, to its end.
        values: label (text), subject, camera and every further column by name; None where the cell is empty.
    """

    line: int
    key: str
    start: int | None
    end: int | None
    values: Mapping[str, Any]


def read(path: Path) -> dict[str, list[Row]]:
    """The rows of a CSV file by the recording that they name.

    Fields are separated by commas, semicolons or tabs, whichever the header line has most of. A column becomes whole
    numbers or numbers if all its cells are; the label stays text.

    Raises:
        InputError: not readable as such a table; the message names the line.
    """
    try:
        facts = path.stat()
        return _read(path, facts.st_size, facts.st_mtime_ns)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"not readable ({error})", "a CSV file in UTF-8") from None
    except csv.Error as error:
        raise InputError(path, f"not readable as CSV ({error})", EXPECTED) from None


@functools.lru_cache(maxsize=1)  # whoever reads many shards asks for the same table once for each
def _read(path: Path, size: int, changed: int) -> dict[str, list[Row]]:
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        raise InputError(path, "the file is empty", EXPECTED)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header, *table = [(lines.line_num, [cell.strip() for cell in cells]) for cells in lines if any(cells)]
    names = [name.lower() if name.lower() in (*KEYS, *KNOWN) else name for name in header[1]]
    key = next((name for name in KEYS if name in names), None)
    if key is None or len(set(names)) < len(names) or "" in names:
        raise InputError(path, f"columns {', '.join(names)[:200]}", EXPECTED, "Every column needs a name of its own")
    for number, cells in table:
        if len(cells) != len(names):
            raise InputError(f"{path}, line {number}", f"{len(cells)} fields", f"{len(names)} as in the header")
    columns = {name: _typed(name, [cells[i] for _, cells in table], path) for i, name in enumerate(names)}
    ends = [columns.pop(name, [None] * len(table)) for name in ("start", "end")]
    keys = [str(name or "").replace("\\", "/").removeprefix("./") for name in columns[key]]
    rows: dict[str, list[Row]] = defaultdict(list)
    for i, (number, _) in enumerate(table):
        values = {name: column[i] for name, column in columns.items() if name not in KEYS}
        rows[keys[i]].append(Row(number, keys[i], ends[0][i], ends[1][i], values))
    return dict(rows)


def of(rows: Mapping[str, list[Row]], clip: str, file: str) -> list[Row]:
    """The rows of one clip: those that call it by its id; else by its file's path, name, or name without ending.

    Args:
        rows: from :func:`read`.
        clip: id of the clip.
        file: path of its file within the prepared folder.
    """
    place = PurePosixPath(file)
    for key in (clip, clip.partition("#")[0], file, str(place.with_suffix("")), place.name, place.stem):
        if key in rows:
            return rows[key]
    return []


def cut(motion: Motion, rows: Sequence[Row]) -> Iterator[tuple[Motion | None, Row, str]]:
    """The clips that rows make of a recording.

    A row with ``start`` or ``end`` cuts out these frames (its clip is called ``ID:START-END``), one without describes
    the whole.

    Yields:
        (clip, row, "") for each row, or (None, row, reason) for a row that cannot be used.
    """
    whole: int | None = None
    for row in rows:
        if row.start is None and row.end is None:
            if whole is None:
                yield _described(motion, row, motion.source), row, ""
            else:
                yield None, row, f"line {whole} describes the whole of {row.key} already"
            whole = whole or row.line
            continue
        start, end = row.start or 0, len(motion) if row.end is None else row.end
        if not 0 <= start < end <= len(motion):
            yield None, row, f"frames {start} to {end} of {row.key}, which has {len(motion)} frames"
            continue
        before = motion.extra.get("start") or 0
        part = motion.slice(start, end)
        part = part.with_(extra={**part.extra, "start": before + start, "end": before + end})
        yield _described(part, row, f"{motion.source}:{start}-{end}"), row, ""


def _described(motion: Motion, row: Row, name: str) -> Motion:
    values = {key: value for key, value in row.values.items() if value is not None}
    fields = {key: values.pop(key) for key in ("label", "subject", "camera") if key in values}
    return motion.with_(source=name, extra={**motion.extra, **values}, **fields)


def _typed(name: str, cells: list[str], path: Path) -> list:
    """Cells of a column as whole numbers, numbers or text, whichever fits all of them; None for empty ones."""
    filled = [cell for cell in cells if cell]
    if name not in ("label", *KEYS):
        if all(WHOLE.fullmatch(cell) for cell in filled):
            return [int(cell) if cell else None for cell in cells]
        if name in ("start", "end"):
            wrong = next(cell for cell in filled if not WHOLE.fullmatch(cell))
            raise InputError(path, f"{name} {wrong!r}", "whole numbers of frames, counted from 0")
        try:
            return [float(cell) if cell else None for cell in cells]
        except ValueError:
            pass
    return [cell or None for cell in cells]
