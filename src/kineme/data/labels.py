"""A table of labels beside the recordings: a CSV file that names, describes and cuts them."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..motion import size
from ..motion.motion import Motion
from ..utils.errors import InputError
from .names import Names, endings, files_of, forms, of_store, spelled

if TYPE_CHECKING:
    from .store import Store

KEYS = ("id", "source", "file")
VIDEO = "video"  # the key of a list of videos, a column like others where there is another key
MEANT = ("unit", "up")
KNOWN = ("label", "subject", "camera", "start", "end", *MEANT)
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")  # 007 is a name, not a number
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)?(\.[0-9]+)?")  # nor is 1e1, 1_1, nan, +1 or 1.
DIGITS = 15  # as many a double holds
EXPECTED = "a header line with a column file (or source, or id) and columns such as label, subject, camera, start, end"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        line: its number in the file, from 1.
        key: what it calls the recording.
        start, end: frames ``start .. end - 1`` of the recording, counted from 0; None: from its beginning, to its end.
        values: label (text), subject, camera and every further column by name; None where the cell is empty.
        fault: why the line cannot be used, or nothing.
    """

    line: int
    key: str
    start: int | None
    end: int | None
    values: Mapping[str, Any]
    fault: str = ""


def read(path: Path) -> dict[str, list[Row]]:
    """The rows of a CSV file by the recording that they name.

    Fields are separated by commas, semicolons or tabs, whichever the header line has most of. A column becomes whole
    numbers if all its cells are plain whole numbers (no leading zero, no sign but ``-``); decimal numbers if all are
    written so and no two spellings would become one number; else it stays text, cell by cell as it stands. The label
    is text, subject and camera are whole numbers or text. A line with too few or too many fields, or with a ``start``
    or ``end`` that is no whole number, has a ``fault`` (an error only where all lines have one).

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
    names = [name.lower() if name.lower() in (*KEYS, *KNOWN, VIDEO) else name for name in header[1]]
    key = next((name for name in (*KEYS, VIDEO) if name in names), None)
    if key is None or len(set(names)) < len(names) or "" in names:
        raise InputError(path, f"columns {', '.join(names)[:200]}", EXPECTED, "Every column needs a name of its own")
    faults = [_fault(names, cells) for _, cells in table]
    if table and all(faults):
        raise InputError(f"{path}, line {table[0][0]}", faults[0], EXPECTED)
    cells = [row[: len(names)] + [""] * (len(names) - len(row)) for _, row in table]
    sound = [i for i, fault in enumerate(faults) if not fault]
    columns = {
        name: _typed("file" if name == key else name, [row[i] for row in cells], sound) for i, name in enumerate(names)
    }
    ends = [columns.pop(name, [None] * len(table)) for name in ("start", "end")]
    rows: dict[str, list[Row]] = defaultdict(list)
    for i, (number, _) in enumerate(table):
        values = {name: column[i] for name, column in columns.items() if name not in (*KEYS, key)}
        called = spelled(columns[key][i] or "")
        rows[called].append(Row(number, called, ends[0][i], ends[1][i], values, faults[i]))
    return dict(rows)


def of(rows: Mapping[str, list[Row]], clip: str, file: str) -> list[Row]:
    """The rows of one clip: those that call it by its id; else by its file; else by either without its folders.

    File endings may be left out.

    Args:
        rows: from :func:`read`.
        clip: id of the clip.
        file: path of its file within the prepared folder.
    """
    for called in forms(clip, file, endings()):
        if found := [row for name in called for row in rows.get(name, ())]:
            return sorted(found, key=lambda row: row.line)
    return []


def check(rows: Mapping[str, list[Row]], table: Path, files: Sequence[str]) -> None:
    """Refuse rows that do not say which of several recordings they mean.

    Args:
        rows: from :func:`read`.
        table: their file.
        files: paths of all recordings within the prepared folder.

    Raises:
        InputError: a name without a folder that recordings of several folders have.
    """
    known = Names(files, files)
    for name, found in rows.items():
        try:
            known.find(name)
        except InputError as error:
            where = f"{table}, line {found[0].line}: {error.where}"
            raise InputError(where, error.found, error.expected, error.hint) from None


def unknown(row: Row, files: Sequence[str]) -> str:
    """That a row names no recording, and which of these files it may mean."""
    if not row.key:
        return "it names no recording"
    near = Names(files, files).nearest([row.key], range(len(files)))
    return f"no recording is called {row.key}" + (f"; did you mean {near[row.key]}?" if near else "")


@dataclass(frozen=True)
class Example:
    """A clip of a store, or some frames of it, and what a table calls it.

    Attributes:
        clip: its row in the store.
        label: text.
        line: of the table.
        start, end: frames ``start .. end - 1`` of the clip; None: all of it.
    """

    clip: int
    label: str
    line: int
    start: int | None = None
    end: int | None = None


def examples(store: Store, table: Path) -> list[Example]:
    """The clips of a store that a table gives a label, in the order of the store; rows without one are left out.

    A clip is called as everywhere (:mod:`kineme.data.names`). ``start`` and ``end`` count the frames of the recording,
    also where the store holds a part of it only.

    Raises:
        InputError: not readable as a table; no label in it; a name that is no clip's, or several recordings'; frames
            that no clip has; two labels for one clip. The message names the line.
    """
    rows = {name: [row for row in found if row.values.get("label")] for name, found in read(table).items()}
    rows = {name: found for name, found in rows.items() if found}
    if not rows:
        hint = "Write the class of some clips (five of each suffice) into the column label; the others may stay empty"
        raise InputError(table, "no label in it", "a column label with at least two classes", hint)
    known, files = of_store(store), files_of(store)
    clips: set[int] = set()
    for name, found in rows.items():
        where = f"{table}, line {found[0].line}"
        if fault := next((row for row in found if row.fault), None):
            raise InputError(f"{table}, line {fault.line}", fault.fault, EXPECTED)
        try:
            meant = known.find(name)
        except InputError as error:
            raise InputError(f"{where}: {error.where}", error.found, error.expected, error.hint) from None
        if not meant:
            near = known.nearest([name], range(len(files))).get(name)
            hint = f"Did you mean {near!r}?" if near else ""
            raise InputError(where, f"no clip is called {name!r}", f"names of {store.path} such as {files[0]!r}", hint)
        clips.update(meant)
    made, used = [], set()
    for clip in sorted(clips):
        for row in of(rows, store.ids[clip], files[clip] or store.ids[clip]):
            example = _example(store, clip, row)
            if example is not None:
                made.append(example)
                used.add(row.line)
    return _agreeing(made, rows, used, table)


def _example(store: Store, clip: int, row: Row) -> Example | None:
    """What a row says of a clip; None where its frames are not all the clip's."""
    label = str(row.values["label"])
    if row.start is None and row.end is None:
        return Example(clip, label, row.line)
    begun, length = store.clips["start"][clip].as_py() or 0, int(store.lengths[clip])
    start, end = (row.start or 0) - begun, length if row.end is None else row.end - begun
    if (start, end) == (0, length):
        return Example(clip, label, row.line)
    return Example(clip, label, row.line, start, end) if 0 <= start < end <= length else None


def _agreeing(found: Sequence[Example], rows: Mapping[str, list[Row]], used: set[int], table: Path) -> list[Example]:
    """The examples, each once, if every row has one and none has two labels."""
    for row in (row for group in rows.values() for row in group if row.line not in used):
        if row.start is not None or row.end is not None:
            what = f"frames {row.start or 0} to {'the end' if row.end is None else row.end} of {row.key}, in no clip"
            raise InputError(f"{table}, line {row.line}", what, "frames of one clip of the store, counted from 0")
    first: dict[tuple, Example] = {}
    for example in found:
        before = first.setdefault((example.clip, example.start, example.end), example)
        if before.label != example.label:
            raise InputError(
                f"{table}, lines {before.line} and {example.line}",
                f"one clip is {before.label!r} and {example.label!r}",
                "one label for each",
            )
    return list(first.values())


def cut(motion: Motion, rows: Sequence[Row]) -> Iterator[tuple[Motion | None, Row, str]]:
    """The clips that rows make of a recording.

    A row with ``start`` or ``end`` cuts out these frames (its clip is called ``ID:START-END``), one without describes
    the whole.

    Yields:
        (clip, row, "") for each row, or (None, row, reason) for a row that cannot be used.
    """
    whole: int | None = None
    for row in rows:
        if row.fault:
            yield None, row, row.fault
            continue
        if row.start is None and row.end is None:
            if whole is None:
                yield _clip(motion, row, motion.source)
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
        yield _clip(part, row, f"{motion.source}:{start}-{end}")


def _clip(motion: Motion, row: Row, name: str) -> tuple[Motion | None, Row, str]:
    try:
        return described(motion, row.values, name), row, ""
    except InputError as error:
        return None, row, f"{error.found} of {row.key}. Expected {error.expected}"


def described(motion: Motion, said: Mapping[str, Any], name: str) -> Motion:
    """A motion under another name, with label, subject, camera and further columns as they are said.

    Columns ``unit`` and ``up`` say what its numbers mean (:func:`kineme.motion.size.meant`).

    Raises:
        InputError: no such unit or axis.
    """
    motion = size.meant(motion, said.get("unit"), said.get("up"))
    values = {key: value for key, value in said.items() if value is not None and key not in MEANT}
    fields = {key: values.pop(key) for key in ("label", "subject", "camera") if key in values}
    return motion.with_(source=name, extra={**motion.extra, **values}, **fields)


def _fault(names: Sequence[str], cells: Sequence[str]) -> str:
    """What is wrong with a line of a table with columns of these names, or nothing."""
    if len(cells) != len(names):
        return f"{len(cells)} fields, where the header has {len(names)}"
    for name, cell in zip(names, cells):
        if name in ("start", "end") and cell and not WHOLE.fullmatch(cell):
            return f"{name} {cell!r}, where whole numbers of frames are expected, counted from 0"
    return ""


def _typed(name: str, cells: list[str], sound: Sequence[int]) -> list:
    """Cells of a column as whole numbers, decimal numbers or text, whichever fits all ``sound`` ones; None where empty
    or not sound (text stays).
    """
    filled = {cells[i] for i in sound} - {""}
    number: type = str
    if name not in ("label", *KEYS) and all(map(WHOLE.fullmatch, filled)):
        number = int
    elif name not in ("label", "subject", "camera", *KEYS) and all(map(_decimal, filled)):
        number = float if len(set(map(float, filled))) == len(filled) else str
    if number is str:
        return [cell or None for cell in cells]
    usable = set(sound)
    return [number(cell) if cell and i in usable else None for i, cell in enumerate(cells)]


def _decimal(cell: str) -> bool:
    return bool(DECIMAL.fullmatch(cell)) and 0 < sum(map(str.isdigit, cell)) <= DIGITS
