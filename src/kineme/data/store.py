"""The store: a prepared set on disk, all frames of all clips one after the other, memory-mapped, content-hashed."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..motion import layout as skeleton
from ..motion import size
from ..motion.layout import Layout
from ..motion.motion import Motion
from ..utils import files
from ..utils.errors import InputError
from ..utils.registry import did_you_mean
from . import clip_table
from . import pictures as picture_file
from .array_file import AGAIN, HEADER, mapped
from .pictures import Pictures

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
SEVERAL = "stores"  # the kind of the card of a folder of stores
FROM_EXTRA = ("setup", "repetition", "performance", "start", "end")  # known columns that a Motion carries in `extra`


class Store:
    """A prepared set on disk, opened for reading. Opening reads the card and one column, whatever the size.

    Attributes:
        path: its folder.
        card: contents of ``card.json``.
        layout: the V joints.
        frames: float32 ``[F, M, V, C]``, read-only memory map; clip i is ``frames[offsets[i]:offsets[i + 1]]``.
        confidence: float32 ``[F, M, V]``, read-only memory map; 0 = missing, an absent person is all 0.
        lengths: int64 ``[N]``, frames of every clip.
        offsets: int64 ``[N + 1]``.
        has_pictures: whether there is a picture for every frame (see :meth:`pictures`).
        picture_file: these, by their number; None where there are none.

    Raises:
        InputError: a file is missing, cut short, or not of this kind. Changed bytes are found by :meth:`verify` only.

    Examples:
        >>> len(store), store.layout.name, store.frames.shape[1:]
        (48, 'ntu25', (1, 25, 3))
        >>> store[0].label == store.column("label")[0]  # a Motion; by number or id
        True
        >>> sum(len(motion) for motion in store) == len(store.frames)
        True
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.is_dir():
            raise InputError(
                path,
                "a file" if self.path.exists() else "no such folder",
                "the folder of a store",
                "Make one with `kineme prepare`",
            )
        self.card = _read_card(self.path / "card.json")
        try:
            self.layout: Layout = skeleton.from_dict(self.card["layout"])
        except InputError as error:
            raise InputError(self.path / "card.json", f"broken layout ({error.found})", error.expected, AGAIN) from None
        frames, persons, coords = self.card["frames"], self.card["persons"], self.card["coords"]
        self.frames = mapped(self.path / "frames.npy", (frames, persons, len(self.layout), coords))
        self.confidence = mapped(self.path / confidence_file(self.card["files"]), (frames, persons, len(self.layout)))
        self.lengths = self._read(["length"])["length"].to_numpy()
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)
        self.has_pictures = picture_file.IMAGES in self.card["files"]
        self.picture_file = Pictures(self.path, frames) if self.has_pictures else None
        if len(self) != self.card["clips"] or self.lengths.min() < 1 or self.offsets[-1] != frames:
            raise InputError(
                self.path / "clips.parquet",
                f"{len(self)} clips of {self.offsets[-1]} frames",
                f"{self.card['clips']} clips of {frames} frames as card.json says",
                AGAIN,
            )

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, {len(self)} clips, {len(self.frames)} frames, {self.layout.name})"

    @overload
    def __getitem__(self, which: int | str) -> Motion: ...

    @overload
    def __getitem__(self, which: slice | Sequence | np.ndarray) -> list[Motion]: ...

    def __getitem__(self, which: Any) -> Motion | list[Motion]:
        """One clip by its number or its id; several by a slice, a mask or a list of numbers.

        Raises:
            IndexError: a number that the store does not have.
            InputError: no clip of that id; what is no number, mask or list of them.

        Examples:
            >>> store[0].source == store[store.ids[0]].source == next(iter(store)).source
            True
            >>> len(store[:5]), store[-1].source == store.ids[-1]
            (5, True)
            >>> {motion.label for motion in store[store.column("label") == "wave"]}
            {'wave'}
        """
        if isinstance(which, str):
            if which not in self._places:
                near = did_you_mean(which, self.ids)
                raise InputError(f"clip {which!r} of {self.path}", "no clip of that id", "one of store.ids", near)
            return self.motion(self._places[which])
        if isinstance(which, (int, np.integer)) and not isinstance(which, bool):
            return self.motion(int(which))
        if which is None:
            raise InputError(f"clips of {self.path}", "None", "a number, an id, a slice, a mask or a list of numbers")
        return [self.motion(int(row)) for row in row_numbers(which, len(self), f"clips of {self.path}")]

    def __iter__(self) -> Iterator[Motion]:
        return (self.motion(row) for row in range(len(self)))

    def __reduce__(self) -> tuple:  # a copy in another process maps the same files
        return Store, (self.path,)

    @property
    def hash(self) -> str:
        """Hex SHA-256 of the content: layout, axes, frames, confidence, pictures, clip table; not of its making."""
        return self.card["hash"]

    @property
    def persons(self) -> int:
        return self.card["persons"]

    @property
    def coords(self) -> int:
        return self.card["coords"]

    @functools.cached_property
    def clips(self) -> pa.Table:
        """The clip table, one row for each clip; read when first asked for."""
        return self._read(None)

    def column(self, name: str) -> np.ndarray:
        """One column of the clip table ``[N]``.

        Returns:
            int64, float64 or bool; an object array (with None) for text and where values are missing.

        Raises:
            InputError: no such column.

        Examples:
            >>> store.column("label").shape
            (48,)
        """
        names = self.clips.column_names
        if name not in names:
            raise InputError(
                f"column {name!r} of {self.path}",
                "no such column",
                f"one of {', '.join(names)}",
                did_you_mean(name, names),
            )
        column = self.clips[name]
        if column.null_count or str(column.type) == "string":
            return np.array(column.to_pylist(), dtype=object)
        return column.to_numpy()

    def numbers(self, name: str) -> np.ndarray:
        """One column as float64 ``[N]``, NaN where the value is missing or no number.

        Raises:
            InputError: no such column.

        Example:
            >>> store.numbers("subject").dtype
            dtype('float64')
        """
        values = self.column(name)
        return values.astype(np.float64) if values.dtype != object else np.array([_number(v) for v in values.tolist()])

    @functools.cached_property
    def ids(self) -> list[str]:
        """The unique name of every clip."""
        return self.clips["id"].to_pylist()

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def to_pandas(self) -> Any:
        """The clip table as a pandas DataFrame, row i of which is clip i.

        So ``model.embed(store, rows=frame.query("label == 'wave'").index)`` takes some of its rows.

        Raises:
            InputError: pandas is not installed.

        Examples:
            >>> frame = store.to_pandas()  # doctest: +SKIP
            >>> frame.groupby("label").length.mean()  # doctest: +SKIP
        """
        try:
            importlib.import_module("pandas")
        except ImportError:
            raise InputError("pandas", "not installed", "pandas, for tables", "pip install pandas") from None
        return self.clips.to_pandas()

    def motion(self, i: int) -> Motion:
        """One clip as a Motion of M persons; its ``source`` is the clip's id, its ``extra`` every further value.

        Examples:
            >>> store.motion(3).joints.shape[1:]
            (1, 25, 3)
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"clip {i} of a store of {len(self)} clips")
        i %= len(self)
        row = {name: value for name, value in self.clips.slice(i, 1).to_pylist()[0].items() if value is not None}
        part = slice(self.offsets[i], self.offsets[i + 1])
        return Motion(
            np.array(self.frames[part]),
            self.layout,
            np.array(self.confidence[part]),
            row.get("fps"),
            self.card["up"],
            self.card["unit"],
            (row["width"], row["height"]) if "width" in row else None,
            row.get("label"),
            row.get("subject"),
            row.get("camera"),
            row["id"],
            {name: value for name, value in row.items() if name not in clip_table.COLUMNS or name in FROM_EXTRA},
        )

    def pictures(self, rows: Any) -> list[np.ndarray]:
        """Pictures by the numbers of their frames.

        Args:
            rows: rows of ``frames``; frame t of clip i is row ``offsets[i] + t``.

        Returns:
            uint8 ``[H, W, 3]`` (red, green, blue) each, scaled down when the store was written: the clip table's
            ``width`` and ``height`` stay those that coordinates in the image refer to.

        Raises:
            InputError: a store without pictures; rows that it does not have; damaged bytes.

        Examples:
            >>> filmed.pictures(range(2))[0].shape  # doctest: +SKIP
            (144, 191, 3)
        """
        if self.picture_file is None:
            raise no_pictures(self.path)
        numbers = row_numbers(rows, len(self.frames), f"frames of {self.path}")
        return [self.picture_file[int(number)] for number in numbers]

    def verify(self) -> None:
        """Read every byte and compare with the digests in the card.

        Raises:
            InputError: names the first file of which a byte has changed.

        Examples:
            >>> store.verify()  # silent: every byte is as it was written
        """
        card = _read_card(self.path / "card.json")
        if (self.path / "card.json").read_bytes() != _dump(card) or card.get("check") != _check(card):
            raise _changed(self.path / "card.json")
        for name, digest in card["files"].items():
            file = self.path / name
            if not file.is_file():
                raise InputError(file, "no such file", "every file that card.json names", AGAIN)
            if _file_digest(file) != digest:
                raise _changed(file)
        if card["hash"] != _content(card, card["files"], self.clips):
            raise _changed(self.path / "card.json")

    def _read(self, columns: list[str] | None) -> pa.Table:
        import pyarrow
        import pyarrow.parquet

        path = self.path / "clips.parquet"
        try:
            found = pyarrow.parquet.read_table(path, columns=columns, memory_map=True)
            for name in columns or clip_table.COLUMNS:
                if name in clip_table.FIXED and str(found[name].type) != clip_table.COLUMNS[name]:
                    raise KeyError(f"column {name} is of type {found[name].type}")
            return found
        except FileNotFoundError:
            raise InputError(path, "no such file", "the clip table of a store", AGAIN) from None
        except (pyarrow.ArrowException, OSError, KeyError) as error:
            raise InputError(path, f"not readable ({str(error)[:200]})", "a clip table", AGAIN) from None


def open(path: Store | str | os.PathLike) -> Store:
    """Open a store; see :class:`Store`. One that is open is given back.

    Examples:
        >>> kineme.open(store.path).hash == store.hash
        True
    """
    return opened(path)


def opened(what: Store | str | os.PathLike) -> Store:
    """A store, or what its folder holds.

    Raises:
        InputError: no folder of a store; anything else than a store or a path.
    """
    if isinstance(what, Store):
        return what
    if not isinstance(what, (str, os.PathLike)):
        raise InputError("store", f"a {type(what).__name__}", "a store, or the path of its folder")
    return Store(what)


def row_numbers(rows: Any, clips: int, what: str = "rows") -> np.ndarray:
    """Which clips are meant: row numbers, a mask, or a slice, as int64 ``[n]``.

    Every function that takes rows of a store asks here, so that a mask is a mask everywhere.

    Args:
        rows: None (all), whole numbers from 0 to ``clips - 1`` in any order, bool ``[clips]``, or a slice.
        clips: N.
        what: name of the argument, for messages.

    Raises:
        InputError: numbers that the store does not have, a mask of another length, anything else.

    Examples:
        >>> row_numbers([True, False, True], 3)
        array([0, 2])
    """
    if rows is None or isinstance(rows, slice):
        return np.arange(clips)[rows or slice(None)]
    wanted = f"a list of whole numbers from 0 to {clips - 1}, or a mask of {clips}"
    try:
        given = np.asarray(rows.cpu() if hasattr(rows, "cpu") else rows)  # a tensor may lie on another device
    except ValueError:  # lists of different lengths
        raise InputError(what, f"a {type(rows).__name__} that is no list of numbers", wanted) from None
    if given.dtype == object and given.ndim == 1 and all(isinstance(each, (bool, np.bool_)) for each in given):
        given = given.astype(bool)  # a column of a table
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iub"):
        shape = f" of shape {given.shape}" if given.ndim != 1 else ""
        raise InputError(what, f"{given.dtype}{shape}", wanted)
    if given.dtype == bool:
        if len(given) != clips:
            raise InputError(what, f"a mask of {len(given)}", wanted)
        return np.flatnonzero(given)
    if ((given < 0) | (given >= clips)).any():
        stray = given[(given < 0) | (given >= clips)][0]
        raise InputError(what, f"row {stray} of a store of {clips} clips", wanted)
    return given.astype(np.int64)


def no_pictures(where: str | os.PathLike) -> InputError:
    """What is wrong with a store without pictures, where they are needed."""
    return InputError(
        where,
        "a store without pictures",
        "a store of videos with their poses",
        "Prepare one with: kineme prepare VIDEOS STORE --poses FOLDER",
    )


def confidence_file(files: Container[str]) -> str:
    """Name of the file of confidences: stores of Kineme 0.1.0 called it ``seen.npy``."""
    return "seen.npy" if "seen.npy" in files else "confidence.npy"


def datasets(store: Store) -> list[str]:
    """Names of the data sets in a store (column ``dataset``), sorted."""
    if "dataset" not in store.clips.column_names:
        return []
    return sorted(str(name) for name in store.clips["dataset"].unique().to_pylist() if name is not None)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _read_card(path: Path) -> dict[str, Any]:
    card = files.read_json(path, "the card of a store")
    if isinstance(card, dict) and card.get("kind") == SEVERAL:
        names = [str(path.parent / str(name)) for name in card.get("stores") or ()]
        raise InputError(path.parent, f"a folder of {len(names)} stores", f"one of {', '.join(names)}")
    if not isinstance(card, dict) or card.get("kind") != "store":
        raise InputError(path, "not the card of a store", 'an object with "kind": "store"')
    if card.get("format") != FORMAT:
        raise InputError(path, f"format {card.get('format')!r} of another version", f"format {FORMAT}", AGAIN)
    kinds: dict[str, Any] = {
        "layout": dict,
        "persons": int,
        "coords": int,
        "up": (str, type(None)),
        "unit": str,
        "normalise": dict,
        "clips": int,
        "frames": int,
        "hash": str,
        "splits": dict,
        "files": dict,
    }
    if not size.is_entry(card.get("size")):
        raise InputError(path, f"entry 'size' is {card['size']!r}", "the card of a store", AGAIN)
    for name, kind in kinds.items():
        value = card.get(name)
        if name not in card or not isinstance(value, kind) or (kind is int and value < 1):
            raise InputError(path, f"entry {name!r} is {value!r}", "the card of a store", AGAIN)
    return card


def _dump(card: Mapping[str, Any]) -> bytes:
    return (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _check(card: Mapping[str, Any]) -> str:
    return files.sha256(_dump({name: value for name, value in card.items() if name != "check"}))


def _changed(file: Path) -> InputError:
    return InputError(file, "bytes have changed since the store was written", "what the card records", AGAIN)


def _file_digest(path: Path) -> str:
    """SHA-256 of a file; of the numbers alone for ``.npy`` (opening the store has compared the header)."""
    with path.open("rb") as file:
        file.seek(HEADER if path.suffix == ".npy" else 0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(card: Mapping[str, Any], digests: Mapping[str, str], clips: pa.Table) -> str:
    """The content hash: what frames mean, frames, confidence, pictures, clip table; not how it came about."""
    meaning = {name: card[name] for name in ("format", "layout", "persons", "coords", "up", "unit", "clips", "frames")}
    return files.sha256(
        json.dumps(meaning, sort_keys=True).encode(),
        digests["frames.npy"].encode(),
        digests[confidence_file(digests)].encode(),
        *(digests[name].encode() for name in (picture_file.IMAGES, picture_file.PLACES) if name in digests),
        clip_table.digest(clips),
    )
