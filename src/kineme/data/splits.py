"""Splits: published protocols, carried lists, held-out subjects and label fractions, as functions of the clip table.

A split is asked for by name:

* a protocol that the store carries (``card.json``, ``splits``): rules over columns, from :mod:`kineme.data.prepare`;
* a column of the clip table that holds nothing but the sides ``train``, ``val`` and ``test``, by its name; a column
  ``split`` is called ``official``;
* a published protocol of the data set (column ``dataset``), as the format that owns the set defines it (``protocols``,
  :mod:`kineme.io`): ``xsub``, ``xview``, ``xset`` and so on;
* for other sets with subjects or cameras: ``xsub`` (every second subject trains), ``xview`` (the last camera tests) and
  ``xsub_xview`` (other subjects and another camera test, the rest of the clips stays out);
* ``random``: one half, stratified by label, drawn from the seed (views of one performance fall on both sides, windows
  of one recording on one);
* ``COLUMN=v1,v2``: clips with these values train, clips with other values test;
* ``file:PATH``: a list of names, as data sets publish them: one on each line, or cut at commas or blanks.

``NAME+val`` cuts the training part of NAME once more: every fifth subject becomes the test part; where a column of
sides has ``val``, these clips do. Settings are chosen there. ``NAME+val1`` to ``NAME+val5`` hold out each fifth in turn
(``+val5`` is ``+val`` where there are five subjects).
Clips without a label belong to a split as all others do; whoever scores leaves them out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import io
from ..utils.errors import InputError
from ..utils.registry import did_you_mean
from .clip_table import COLUMNS, text
from .names import Names, of_store
from .store import Store, datasets, opened

SIDES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Split:
    """Rows of a clip table for training and for testing.

    Attributes:
        name: as it was asked for.
        train, test: int64, ascending, without a common row; both hold at least one.
        notes: what one should know of it, e.g. how many names of a list are no clips of the store.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...] = ()


def split(store: Store | str | os.PathLike, name: str, seed: int = 0) -> Split:
    """The rows of a split; see the head of this file for names.

    Args:
        store: a store, or its folder.
        name: e.g. ``"xview"``, ``"xsub+val"``, ``"style=happy,sad"``, ``"file:cross-subject.txt"``.
        seed: of ``random``; the others do not depend on it.

    Raises:
        InputError: no such split here (the message lists those there are), or a part of it is empty.
    """
    if not isinstance(name, str):
        raise InputError("split", f"a {type(name).__name__}", "its name")
    store = opened(store)
    inner = re.fullmatch(r"(.+)\+val([1-5]?)", name)
    train, test, notes = _masks(store, inner[1] if inner else name, seed)
    validation = _sides(store, inner[1]).get("val") if inner and not inner[2] else None
    if validation is not None and validation.any():
        test = validation
    elif inner:
        test = train & held_out(store, train, int(inner[2]) - 1 if inner[2] else None)
        train = train & ~test
    for part, mask in (("training", train), ("test", test)):
        if not mask.any():
            raise InputError(
                f"split {name!r} of {store.path}",
                f"its {part} part has no clip",
                "at least one clip",
                f"This store has: {', '.join(names(store)) or 'no named split'}",
            )
    return Split(name, np.flatnonzero(train), np.flatnonzero(test), notes)


def names(store: Store) -> list[str]:
    """Named splits with clips on both sides in this store (``COLUMN=...`` and ``file:...`` come on top)."""
    found = [name for name in store.card["splits"] if all(mask.any() for mask in _carried(store, name))]
    for splits in ({name: _named(store, name, 0) for name in _columns(store)}, _known(store)):
        found += [name for name, masks in splits.items() if name not in found and all(mask.any() for mask in masks)]
    return found + ["random"] * bool((_recordings(store) > 0).any())


def advised(store: Store) -> str | None:
    """The split to learn from and score on where none is asked for: other people, another camera, else at random.

    None where no split leaves two clips to learn from and one to test.
    """
    found = names(store)
    order = [name for name in ("xsub", "xview", "xset") if name in found]
    return next((name for name in (*order, *found) if len(split(store, name).train) > 1), None)


def fraction(rows: np.ndarray, labels: np.ndarray, fraction: float, seed: int, stratified: bool = False) -> np.ndarray:
    """Some of the labelled rows, as if only these labels were known.

    Args:
        rows: int64 rows to draw from, e.g. ``split.train``.
        labels: of all clips ``[N]``: class numbers with -1 for none, or names with None for none.
        fraction: share of the labelled rows, in (0, 1]; rounded, at least one.
        seed: of the draw.
        stratified: take the share of every class, at least one clip each. The published protocol (CMD, HaLP) draws
            uniformly over all clips, so that at 1 % a class may be missing.

    Returns:
        int64, ascending.

    Raises:
        InputError: a fraction out of range, or no labelled row.
    """
    if not 0 < fraction <= 1:
        raise InputError("fraction", f"{fraction}", "a number above 0, at most 1")
    rows = np.asarray(rows, np.int64)
    chosen = np.asarray(labels)[rows]
    classes = _codes(chosen, np.array([label != -1 for label in chosen.tolist()], bool))
    rows, classes = rows[classes >= 0], classes[classes >= 0]
    if not len(rows):
        raise InputError("labels", "no clip of the training part has one", "labelled clips")
    mixed = np.random.default_rng(seed).permutation(len(rows))
    if not stratified:
        return np.sort(rows[mixed[: max(1, round(fraction * len(rows)))]])
    order = mixed[np.argsort(classes[mixed], kind="stable")]  # class by class, in drawn order inside
    counts = np.bincount(classes)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = np.maximum(1, np.rint(fraction * counts))
    return np.sort(rows[order[rank < np.repeat(keep, counts)]])


def matches(store: Store, rule: Mapping[str, Any]) -> np.ndarray:
    """The clips that a rule picks, bool ``[N]``; a missing value is never picked.

    A rule is ``{"column": c, ...}`` with one of ``"in": [values]``, ``"lt": x``, ``"ge": x``, ``"prefix": text``, or
    ``{"all": [rules]}``, ``{"any": [rules]}``.

    Raises:
        InputError: not a rule, or a column that the store lacks.
    """
    match rule:
        case {"all": [*rules]} if rules:
            return np.logical_and.reduce([matches(store, part) for part in rules])
        case {"any": [*rules]} if rules:
            return np.logical_or.reduce([matches(store, part) for part in rules])
        case {"column": str(column), "in": [*values]}:
            wanted = {text(value) for value in values} - {None}
            return np.array([text(value) in wanted for value in store.column(column).tolist()], bool)
        case {"column": str(column), "prefix": str(prefix)}:
            return np.array(
                [value is not None and str(text(value)).startswith(prefix) for value in store.column(column).tolist()],
                bool,
            )
        case {"column": str(column), "lt": int() | float() as bound}:
            return store.numbers(column) < bound
        case {"column": str(column), "ge": int() | float() as bound}:
            return store.numbers(column) >= bound
    raise InputError(
        store.path / "card.json",
        f"a split with the rule {rule!r}",
        'a column with "in", "lt", "ge" or "prefix", or "all" or "any" of rules',
    )


def _masks(store: Store, name: str, seed: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    return _from_file(store, Path(name[5:])) if name.startswith("file:") else (*_named(store, name, seed), ())


def _named(store: Store, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if name in store.card["splits"]:
        return _carried(store, name)
    if sides := _sides(store, name):
        return sides["train"], sides["test"]
    known = _known(store)
    if name in known:
        return known[name]
    if name == "random":
        return _random(store, seed)
    column, equals, values = name.partition("=")
    if equals:
        return _by_value(store, name, column, values)
    listed = names(store)
    raise InputError(
        f"split {name!r} of {store.path}",
        "no such split",
        f"one of {', '.join(listed)}, each also with +val, or +val1 to +val5; or COLUMN=VALUE,VALUE; or file:LIST.txt",
        did_you_mean(name, listed),
    )


def _columns(store: Store) -> dict[str, str]:
    """Split -> the column of the clip table that says the side of each clip."""
    found, taken = {}, COLUMNS.keys() | _ruled(store.card["splits"])
    for field in store.clips.schema:
        if field.name not in taken and str(field.type) == "string":
            values = set(store.clips[field.name].unique().to_pylist()) - {None}
            if values and {value.strip().lower() for value in values} <= SIDES.keys():
                found["official" if field.name == "split" else field.name] = field.name
    return found


def _ruled(rules: Any) -> set[str]:
    """The columns that carried splits look at."""
    parts = rules.values() if isinstance(rules, dict) else rules if isinstance(rules, list) else ()
    own = {rules["column"]} if isinstance(rules, dict) and isinstance(rules.get("column"), str) else set()
    return own.union(*map(_ruled, parts))


def _sides(store: Store, name: str) -> dict[str, np.ndarray]:
    """Side -> its clips, bool ``[N]``, of a split that is a column; else nothing."""
    column = None if name in store.card["splits"] else _columns(store).get(name)
    if column is None:
        return {}
    values = [SIDES.get(str(value).strip().lower()) for value in store.column(column).tolist()]
    return {side: np.array([value == side for value in values]) for side in ("train", "val", "test")}


def _carried(store: Store, name: str) -> tuple[np.ndarray, np.ndarray]:
    match store.card["splits"][name]:
        case {"train": dict(train), "test": dict(test)}:
            chosen = matches(store, train)
            return chosen, matches(store, test) & ~chosen
    raise InputError(store.path / "card.json", f"split {name!r} is not made of rules", '{"train": rule, "test": rule}')


def _known(store: Store) -> io.Masks:
    """Published and generic splits; in a store of several data sets each follows its own protocol of that name."""
    merged: io.Masks = {}
    published = io.protocols()
    owner = store.column("dataset") if datasets(store) else np.full(len(store), None, object)
    for dataset in dict.fromkeys(owner.tolist()):
        mine = owner == dataset if dataset is not None else np.array([value is None for value in owner.tolist()])
        for name, parts in published.get(dataset, _generic)(store, mine).items():
            old = merged.get(name, (np.zeros(len(store), bool),) * 2)
            merged[name] = (old[0] | (parts[0] & mine), old[1] | (parts[1] & mine))
    return merged


def _generic(store: Store, mine: np.ndarray) -> io.Masks:
    """Splits of our own for sets without a published protocol."""
    subject, camera = (_codes(store.column(name), mine) for name in ("subject", "camera"))
    known, filmed, last = subject >= 0, camera >= 0, camera == camera.max()
    people = known & (subject % 2 == 0), known & (subject % 2 == 1)
    views = filmed & ~last, filmed & last
    return {"xsub": people, "xview": views, "xsub_xview": (people[0] & views[0], people[1] & views[1])}


def _random(store: Store, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Alternate clips of a random order, class by class: halves that differ by at most one clip, in every class too."""
    group = _recordings(store)
    first = np.unique(group, return_index=True)[1]  # a clip of each recording, whose label counts
    classes = _codes(store.column("label"))[first]
    mixed = np.random.default_rng(seed).permutation(len(first))
    train = np.zeros(len(first), bool)
    train[mixed[np.argsort(classes[mixed], kind="stable")][::2]] = True
    return train[group], ~train[group]


def _recordings(store: Store) -> np.ndarray:
    """int64 ``[N]``: windows of one recording have one number, every other clip one of its own, in order."""
    if "window" not in store.clips.column_names or "recording" not in store.clips.column_names:
        return np.arange(len(store))
    owner = store.column("dataset").tolist() if datasets(store) else [None] * len(store)
    cut = np.isfinite(store.numbers("window"))
    numbers: dict[tuple, int] = {}
    return np.array(
        [
            numbers.setdefault((owner[row], name) if cut[row] and name is not None else (row,), len(numbers))
            for row, name in enumerate(store.column("recording").tolist())
        ],
        np.int64,
    )


def _by_value(store: Store, name: str, column: str, wanted: str) -> tuple[np.ndarray, np.ndarray]:
    present = [text(value) for value in store.column(column).tolist()]
    known = sorted({value for value in present if value is not None})
    values = [wanted] if wanted in known else wanted.split(",")  # a value may hold a comma
    for value in values:
        if value not in known:
            raise InputError(
                f"split {name!r} of {store.path}",
                f"no clip has {column} {value!r}",
                f"values of that column: {', '.join(known[:30])}{' ...' if len(known) > 30 else ''}",
                did_you_mean(value, known),
            )
    train = np.isin(np.array([value or "" for value in present]), values)
    return train, ~train & np.array([value is not None for value in present])


def _from_file(store: Store, path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Names under a heading ``Training ...:`` train, those under ``Validation ...:`` or ``Test ...:`` test.

    A line is one name if it is known as a whole; else names are cut at commas, then at blanks. Lines that begin with
    ``#`` say nothing. Without a heading all names train; without a test heading all clips that are not named test.
    """
    try:
        lines = path.read_text(encoding="utf-8").replace("\ufeff", "").splitlines()  # a mark of some editors
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"not readable ({error})", "a list of names, one split") from None
    known = of_store(store)
    sides = {part: np.zeros(len(store), bool) for part in ("train", "test")}
    unknown: dict[str, int] = {}  # name -> line
    side, headed, count = "train", False, 0
    for number, line in enumerate(map(str.strip, lines), 1):
        try:
            whole = known.find(line) if line else []
            if not whole and line.startswith("#"):
                continue
            if not whole and (heading := re.match(r"(train|val|test)[^,:./\\#]*:", line, re.IGNORECASE)):
                side = "train" if heading[1].lower() == "train" else "test"
                headed |= side == "test"
                line = line[heading.end() :]
            for name, clips in [(line, whole)] if whole else _cut(known, line):
                sides[side][clips] = True
                count += 1
                if not clips:
                    unknown.setdefault(name, number)
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error.where}", error.found, error.expected, error.hint) from None
    train, test = sides.values()
    if (train & test).any():
        both = store.ids[int(np.flatnonzero(train & test)[0])]
        raise InputError(path, f"{both!r} stands in both parts", "every name in one part")
    if not train.any() and not test.any():
        near = did_you_mean(next(iter(unknown), ""), store.ids)
        found = f"none of its {count} names is a clip of {store.path}"
        raise InputError(path, found, f"names such as {store.ids[0]!r}", near)
    return train, test if headed else ~train, _of_no_clip(known, path, unknown, np.flatnonzero(~train & ~test), count)


def _cut(known: Names, line: str) -> Iterator[tuple[str, list[int]]]:
    """The names on a line that is none itself, each with its clips; where only some words are names, none is taken."""
    for piece in filter(None, map(str.strip, line.split(","))):
        bare = piece[1:-1].strip() if piece[0] == piece[-1] and piece[0] in "'\"" else piece
        words = piece.split()
        found = known.find(bare)
        parts = [] if found or len(words) < 2 else [known.find(word) for word in words]
        if parts and all(parts):
            yield from zip(words, parts)
            continue
        if any(parts):
            first = next(word for word, part in zip(words, parts) if not part)
            raise InputError(repr(piece), f"{first!r} is no clip", "names of clips", "Write each name on a line")
        yield piece, found


def _of_no_clip(
    known: Names, path: Path, unknown: Mapping[str, int], others: np.ndarray, count: int
) -> tuple[str, ...]:
    """A note on names that fit no clip: published lists name recordings that one may not have.

    Raises:
        InputError: one of them looks like a clip that the list does not name otherwise.
    """
    if not unknown:
        return ()
    for name, clip in known.nearest(unknown, others.tolist()).items():
        raise InputError(
            f"{path}, line {unknown[name]}",
            f"{name!r} is no clip of this store",
            "names as `id` or `source` of the store has them",
            f"Did you mean {clip!r}?",
        )
    first = ", ".join(list(unknown)[:5]) + (" ..." if len(unknown) > 5 else "")
    return (f"{len(unknown)} of {count} names in {path.name} are no clips of this store: {first}",)


def held_out(store: Store, train: np.ndarray, fold: int | None = None) -> np.ndarray:
    """Every fifth subject of the training part; performances, or clips (recordings, where these are cut into windows),
    where no two subjects are known.

    Args:
        store: with its clip table.
        train: bool ``[N]``, the training part.
        fold: 0 begins with the first, 4 with the fifth; None is the last of these that holds anything.

    Returns:
        bool ``[N]``.
    """
    dataset = _codes(store.column("dataset")) if datasets(store) else np.zeros(len(store), np.int64)
    for name in ("subject", "performance"):
        groups = _codes(store.column(name), train)
        # subject 1 of one data set is not subject 1 of another
        groups = _codes(groups + (dataset + 1) * (groups.max() + 1), groups >= 0)
        count = groups.max() + 1
        if count > 1:
            return (groups >= 0) & (groups % 5 == (min(4, count - 1) if fold is None else fold))
    group = _recordings(store)
    parts = np.unique(group[train])
    first = np.unique(group, return_index=True)[1]
    parts = parts[np.argsort(_codes(store.column("label"))[first[parts]], kind="stable")]
    held = np.zeros(len(first), bool)
    held[parts[(min(4, len(parts) - 1) if fold is None else fold) :: 5]] = len(parts) > 1
    return train & held[group]


def _codes(values: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """int64 numbers of the distinct values, in their order (numbers by size, text by letters).

    -1 where the value is None and outside ``among`` (bool ``[N]``).
    """
    known = np.array([value is not None for value in values.tolist()], bool)
    known &= True if among is None else among
    codes = np.full(len(values), -1, np.int64)
    if known.any():
        codes[known] = np.unique(np.array(values[known].tolist()), return_inverse=True)[1]
    return codes
