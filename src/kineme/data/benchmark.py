"""Published benchmarks as tables of labels: one TOML file each says how its folder names what it holds.

``benchmarks/NAME.toml``, or a file of one's own, has

* ``title``, ``example`` (of a file's name), and ``name``: a regular expression of a file's name (with ``/`` in it, of
  its path) without the ending. Groups become columns: ``label``, ``subject``, ``camera``, ``repetition``, ``setup`` and
  others; digits are numbers;
* ``key``: the groups that tell one recording from all others, by which lists name it;
* ``label``: the group that holds the class, if it is not ``label``; ``[codes]``: code -> class;
* ``classes``: all there are (files of others get no label, and are counted); ``[columns]``: the same for all files;
* ``chunk``: recordings are cut into pieces of so many frames, the last as long as it is;
* ``[splits.NAME]``: ``column`` with its values on the sides ``train``, ``val``, ``test`` (or ``"others"``), ``labels``
  to which it is limited (or the name of a split that has the same);
* ``[[lists]]``: lists that the release has: ``file`` and ``line``, regular expressions whose groups together hold the
  key; ``split``, the split's name, into which groups may be put; the group ``side`` (``sides``: how it is spelled);
  ``needs_list``: files that no list names get no label;
* ``[mappings.NAME]``: class -> classes of this set that it is made of; all others get no label.

A side is written into a column called as the split (:mod:`kineme.data.splits` reads it there).
"""

from __future__ import annotations

import csv
import io
import os
import re
import tomllib
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..utils.errors import InputError
from ..utils.files import atomic
from ..utils.registry import did_you_mean
from .splits import SIDES

FOLDER = Path(__file__).with_name("benchmarks")
VIDEOS = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv")
POSES = (".skeleton", ".json", ".npz", ".npy", ".bvh", ".csv", ".txt")
NUMBER = re.compile(r"\d+")
OWN = ("label", "subject", "camera", "setup", "repetition")  # columns that come first, in this order
Row = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """What a folder holds of a benchmark.

    Attributes:
        rows: one for each clip: ``video`` (or ``file``, of poses) within the folder, ``label``, further columns, the
            side in every split, ``start`` and ``end`` of chunks.
        notes: which files have no row, in words.
    """

    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def names() -> dict[str, str]:
    """The benchmarks that come with Kineme, each with its title.

    Examples:
        >>> names()["ucf101"]
        'UCF-101'
    """
    return {path.stem: _read(path)["title"] for path in sorted(FOLDER.glob("*.toml"))}


def find(name: str) -> tuple[Path, str | None] | None:
    """The file of a benchmark ``NAME`` or ``NAME:MAPPING`` (or of one's own: ``FILE.toml``), and the mapping; None
    where the name is not that of a benchmark.
    """
    for whole, mapping in ((name, None), name.rpartition(":")[::2]):
        own = Path(whole)
        if whole and own.suffix == ".toml" and own.is_file():
            return own, mapping
        if whole and (FOLDER / f"{whole}.toml").is_file() and own.name == whole:
            return FOLDER / f"{whole}.toml", mapping
    return None


def resolved(labels: str | None, src: Path, dest: Path) -> str | None:
    """What is said about labels, with a benchmark's table in the place of its name: ``DEST.labels.csv``.

    Raises:
        InputError: as :func:`listing`.
    """
    is_file = labels is not None and Path(labels).exists() and not labels.endswith(".toml")
    if labels is None or is_file or find(labels) is None:
        return labels
    found = listing(labels, src)
    for note in found.notes:
        warnings.warn(f"{labels}: {note}", stacklevel=3)
    path = dest.with_name(f"{dest.name}.labels.csv")
    text = as_csv(found.rows)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:  # else its time of change stays
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            file.write_text(text, encoding="utf-8")
    return str(path)


def listing(name: str, folder: str | os.PathLike, frames: Callable[[Path], int] | None = None) -> Listing:
    """The clips of a benchmark in its downloaded folder.

    Args:
        name: ``NAME``, ``NAME:MAPPING``, or a TOML file of one's own (also with a mapping).
        folder: what was downloaded; lists may also lie beside it.
        frames: how many frames a video has, asked where it is cut into chunks; by default it is looked through.

    Raises:
        InputError: no such benchmark or mapping; no file of it in the folder; lists that are needed and not there.
    """
    folder, found = Path(folder), find(name)
    if found is None:
        raise InputError(
            f"benchmark {name!r}",
            "no such name",
            f"one of {', '.join(names())}, or a .toml file; also NAME:MAPPING",
            did_you_mean(name.partition(":")[0], names()),
        )
    path, chosen = found
    told = _read(path)
    mapping = _mapping(told, path, chosen)
    paths = sorted(_files(folder))
    rows, notes = _rows(told, paths, folder)
    if told.get("lists"):
        rows = _listed(told, rows, folder, paths, notes)
    _ruled(told, rows)
    rows = _mapped(rows, mapping, told.get("classes"), notes)
    if not rows:
        raise InputError(folder, "; ".join(notes) or "no file of it", f"files of {told['title']}")
    if "chunk" in told:
        rows = [piece for row in rows for piece in _chunks(row, folder, told["chunk"], frames or _frames)]
    return Listing(rows, notes)


def as_csv(rows: Sequence[Row]) -> str:
    """Rows as a table for ``kineme prepare --labels``."""
    columns = dict.fromkeys(name for row in rows for name in row)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _read(path: Path) -> dict[str, Any]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        for pattern in (told["name"], *(each[part] for each in told.get("lists", ()) for part in ("file", "line"))):
            re.compile(pattern)
        missing = set(told["key"]) - set(re.compile(told["name"]).groupindex)
        if missing:
            raise InputError(path, f"key {sorted(missing)[0]!r}, which is no group of its name", "groups of `name`")
        return {name: told[name] for name in ("title", "example")} | told
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, re.error) as error:
        raise InputError(path, f"not readable ({error})", "a benchmark: see kineme.data.benchmark") from None


def _mapping(told: Mapping[str, Any], path: Path, chosen: str | None) -> dict[str, str] | None:
    """Own class -> class of the mapping that was chosen."""
    if chosen is None:
        return None
    known = told.get("mappings", {})
    if chosen not in known:
        expected = f"one of {', '.join(known)}" if known else "none: it has no mappings"
        raise InputError(f"mapping {chosen!r} of {path.stem}", "no such mapping", expected, did_you_mean(chosen, known))
    return {own: name for name, made_of in known[chosen].items() for own in made_of}


def _files(folder: Path) -> Iterator[str]:
    """Paths in a folder; of videos where there are any."""
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "the folder of a benchmark")
    for place, folders, found in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in found:
            if not name.startswith("."):
                yield Path(place, name).relative_to(folder).as_posix()


def _rows(told: Mapping[str, Any], paths: Sequence[str], folder: Path) -> tuple[list[Row], list[str]]:
    """What the names of the files say; side files are no recordings."""
    pattern, whole = re.compile(told["name"]), "/" in told["name"]
    lists = [re.compile(each["file"]) for each in told.get("lists", ())]
    videos = [path for path in paths if path.lower().endswith(VIDEOS)]
    column = "video" if videos else "file"
    rows, others = [], []
    for path in videos or [path for path in paths if path.lower().endswith(POSES)]:
        place = PurePosixPath(path)
        if any(each.fullmatch(place.name) for each in lists):
            continue
        bare = str(place.with_suffix("")) if whole else place.stem
        found = re.fullmatch(f"(?:.*/)?(?:{pattern.pattern})", bare) if whole else pattern.fullmatch(bare)
        if found is None:
            others.append(path)
            continue
        rows.append(_row(told, {column: path}, found.groupdict()))
    notes = [f"{_some(others)} not named as its recordings are"] if others else []
    if not rows:
        raise InputError(
            folder,
            f"no file named as those of {told['title']}" + (f" (the first: {others[0]})" if others else ""),
            f"names such as {told['example']}",
        )
    return rows, notes


def _row(told: Mapping[str, Any], row: Row, groups: Mapping[str, str | None]) -> Row:
    """One recording, its columns in order; ``key`` holds what lists call it."""
    values = {name: value for name, value in groups.items() if value is not None}
    key = tuple(values[name].casefold() for name in told["key"])
    label = values.pop(told.get("label", "label"), None)
    named = {"label": told.get("codes", {}).get(label, label)} if label is not None else {}
    kept = {name: values[name] for name in (*OWN, *values) if name in values}
    numbers = {name: int(value) if NUMBER.fullmatch(value) else value for name, value in kept.items()}
    return {**row, **named, **numbers, **told.get("columns", {}), "key": key}


def _listed(
    told: Mapping[str, Any], rows: list[Row], folder: Path, paths: Sequence[str], notes: list[str]
) -> list[Row]:
    """Rows with the sides, and what else, that the lists of the release give them."""
    said: dict[tuple, Row] = defaultdict(dict)
    used = 0
    for each in told["lists"]:
        file, line = re.compile(each["file"]), re.compile(each["line"])
        for path in _beside(folder, paths, file):
            used += 1
            of_file = file.fullmatch(path.name).groupdict()  # type: ignore[union-attr]
            for text in _lines(path):
                if found := line.fullmatch(text):
                    groups = {**of_file, **found.groupdict()}
                    side = each.get("sides", {}).get(groups.get("side"), groups.get("side"))
                    entry = said[tuple(groups[name].casefold() for name in told["key"])]
                    if side in SIDES:
                        entry[each["split"].format(**groups)] = SIDES[side]
                    if "label" in groups:
                        entry.setdefault("label", groups["label"])
    if not used:
        wanted = " and ".join(each["file"] for each in told["lists"])
        if told.get("needs_list"):
            raise InputError(folder, "none of the lists of its release", f"files named {wanted}, here or beside it")
        notes.append(f"no list of its release is here or beside it ({wanted}): there are no official splits")
        return rows
    columns = sorted({name for entry in said.values() for name in entry if name != "label"})
    named = [row for row in rows if row["key"] in said]
    if missing := len(said.keys() - {row["key"] for row in rows}):
        notes.append(f"{missing} of {len(said)} recordings in its lists are not here")
    if unlisted := [row for row in rows if row["key"] not in said]:
        what = "without a label" if told.get("needs_list") else "on no side of any split"
        notes.append(f"{_some([_path(row) for row in unlisted])} in no list, {what}")
    for row in named:
        entry = said[row["key"]]
        row.setdefault("label", entry.get("label"))
        row.update({name: entry.get(name) for name in columns})
    return named if told.get("needs_list") else rows


def _beside(folder: Path, paths: Sequence[str], file: re.Pattern) -> list[Path]:
    """Lists in the folder, or else beside it or in a folder beside it."""
    here = [folder / path for path in paths if file.fullmatch(PurePosixPath(path).name)]
    parent = folder.absolute().parent
    return here or sorted(path for form in ("*", "*/*") for path in parent.glob(form) if file.fullmatch(path.name))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"not readable ({error})", "a list of recordings") from None


def _ruled(told: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Enter the sides that follow from columns."""
    rules = told.get("splits", {})
    for name, rule in rules.items():
        limit = rule.get("labels")
        limit = rules[limit]["labels"] if isinstance(limit, str) else limit
        sides = {value: side for side in ("train", "val", "test") for value in _values(rule.get(side))}
        others = next((side for side in ("train", "val", "test") if rule.get(side) == "others"), None)
        for row in rows:
            value = row.get(rule["column"])
            inside = value is not None and (limit is None or row.get("label") in limit)
            row[name] = sides.get(value, others) if inside else None


def _values(said: Any) -> list:
    return said if isinstance(said, list) else []


def _mapped(
    rows: Sequence[Row], mapping: Mapping[str, str] | None, classes: Sequence[str] | None, notes: list[str]
) -> list[Row]:
    """Rows of known classes, under the names of the mapping; without their keys."""
    kept, left = [], Counter[str]()
    for row in rows:
        label = row.get("label")
        unknown = label is None or (classes is not None and label not in classes)
        name = None if unknown else label if mapping is None else mapping.get(str(label))
        if name is None:
            left[str(label)] += 1
        else:
            kept.append({column: value for column, value in row.items() if column != "key"} | {"label": name})
    if left:
        shown = ", ".join(f"{name} ({count})" for name, count in sorted(left.items())[:8])
        notes.append(
            f"{sum(left.values())} of other classes, without a label: {shown}{' ...' if len(left) > 8 else ''}"
        )
    return kept


def _chunks(row: Row, folder: Path, size: int, frames: Callable[[Path], int]) -> Iterator[Row]:
    """A recording in pieces; whole where it cannot be looked through, for whoever reads it to say why."""
    try:
        total = frames(folder / _path(row))
    except InputError:
        yield {**row, "start": None, "end": None}
        return
    for start in range(0, total, size):
        yield {**row, "start": start, "end": min(start + size, total)}


def _path(row: Row) -> str:
    return str(row.get("video", row.get("file")))


def _frames(path: Path) -> int:
    from ..io import open_video  # decoding is loaded when it is needed

    return len(open_video(path))


def _some(paths: Sequence[str]) -> str:
    return f"{len(paths)} file{'s' if len(paths) > 1 else ''} (the first: {paths[0]})"
