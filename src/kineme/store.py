"""The store: a prepared set on disk, all frames of all clips one after the other, memory-mapped, with a content hash."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import files, skeleton
from .errors import InputError
from .motion import Motion
from .registry import did_you_mean
from .skeleton import JointMap, Layout

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
FROM_EXTRA = ("setup", "repetition", "performance", "start", "end")    # columns that a Motion carries in `extra`
MENDED = "Prepare the store again or take another copy"

_HEADER = 128       # bytes before the numbers of a .npy file; enough for any shape, so it can be written last
_BLOCK = 1 << 16    # rows of the clip table that are held as Python objects while writing
_FRAMES = 1 << 12   # frames that are copied at a time


class Store:
    """A prepared set on disk, opened for reading. Opening reads the card and one column, whatever the size.

    Attributes:
        path: its folder.
        card: contents of ``card.json``.
        layout: the V joints.
        frames: float32 ``[F, M, V, C]``, read-only memory map; clip i is ``frames[offsets[i]:offsets[i + 1]]``.
        seen: float32 ``[F, M, V]``, confidence, read-only memory map; 0 = missing, an absent person is all 0.
        lengths: int64 ``[N]``, frames of every clip.
        offsets: int64 ``[N + 1]``.

    Raises:
        InputError: a file is missing, cut short, or not of this kind. Changed bytes are found by :meth:`verify` only.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.is_dir():
            raise InputError(path, "no such folder" if not self.path.exists() else "a file", "the folder of a store",
                             "Make one with `kineme prepare`")
        self.card = _read_card(self.path / "card.json")
        self.layout: Layout = skeleton.from_dict(self.card["layout"])
        frames, persons, coords = self.card["frames"], self.card["persons"], self.card["coords"]
        self.frames = _map(self.path / "frames.npy", (frames, persons, len(self.layout), coords))
        self.seen = _map(self.path / "seen.npy", (frames, persons, len(self.layout)))
        lengths = self._read(["length"])["length"]
        self.lengths: np.ndarray = lengths.fill_null(0).to_numpy().astype(np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)
        if len(self.lengths) != self.card["clips"] or self.offsets[-1] != frames or self.lengths.min() < 1:
            raise InputError(self.path / "clips.parquet", f"{len(self.lengths)} clips of {self.offsets[-1]} frames",
                             f"{self.card['clips']} clips of {frames} frames as card.json says", MENDED)

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, {len(self)} clips, {len(self.frames)} frames, {self.layout.name})"

    def __reduce__(self):  # a copy in another process maps the same files
        return Store, (self.path,)

    @property
    def hash(self) -> str:
        """Hex SHA-256 of the content: layout, axes, frames, confidence and clip table, however they were prepared."""
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
        """One column of the clip table: int64, float64 or bool; an object array (str, None) if text or values are missing.

        Raises:
            InputError: no such column.
        """
        if name not in self.clips.column_names:
            raise InputError(f"column {name!r} of {self.path}", "no such column",
                             f"one of {', '.join(self.clips.column_names)}", did_you_mean(name, self.clips.column_names))
        column = self.clips[name]
        if column.null_count or str(column.type) == "string":
            return np.array([*column.to_pylist(), None], dtype=object)[:-1]
        return column.to_numpy()

    @functools.cached_property
    def ids(self) -> list[str]:
        """The unique name of every clip."""
        return self.clips["id"].to_pylist()

    def motion(self, i: int) -> Motion:
        """One clip as a Motion of M persons; its ``source`` is the clip's id, its ``extra`` every further value."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"clip {i} of a store of {len(self)} clips")
        i %= len(self)
        row = {name: value for name, value in self.clips.slice(i, 1).to_pylist()[0].items() if value is not None}
        part = slice(self.offsets[i], self.offsets[i + 1])
        size = (row["width"], row["height"]) if "width" in row else None
        extra = {name: value for name, value in row.items() if name not in COLUMNS or name in FROM_EXTRA}
        return Motion(np.array(self.frames[part]), self.layout, np.array(self.seen[part]), row.get("fps"), self.card["up"],
                      self.card["unit"], size, row.get("label"), row.get("subject"), row.get("camera"), row["id"], extra)

    def verify(self) -> None:
        """Read every byte and compare with the digests in the card.

        Raises:
            InputError: names the first file of which a byte has changed.
        """
        raw = (self.path / "card.json").read_bytes()
        card = json.loads(raw)
        if raw != _dump(card) or card.get("check") != _check(card):
            raise _changed(self.path / "card.json")
        for name, digest in self.card["files"].items():
            file = self.path / name
            if not file.is_file():
                raise InputError(file, "no such file", "every file that card.json names", MENDED)
            if _file_digest(file) != digest:
                raise _changed(file)
        if self.hash != _content(self.card, self.card["files"], self.clips):
            raise _changed(self.path / "card.json")

    def _read(self, columns: list[str] | None) -> pa.Table:
        import pyarrow
        import pyarrow.parquet

        path = self.path / "clips.parquet"
        try:
            return pyarrow.parquet.read_table(path, columns=columns, memory_map=True)
        except FileNotFoundError:
            raise InputError(path, "no such file", "the clip table of a store", MENDED) from None
        except (pyarrow.ArrowException, OSError, KeyError) as error:
            raise InputError(path, f"not readable ({str(error).splitlines()[0]})", "a clip table", MENDED) from None


def open(path: str | os.PathLike) -> Store:
    """Open a store; see :class:`Store`."""
    return Store(path)


class Writer:
    """Writes a store clip by clip; frames go straight to disk. The folder appears when :meth:`close` ends well.

    Also a context manager: leaving the block closes the store, an exception removes what was written.

    Args:
        path: the folder; it must not exist yet or be empty.
        layout: joints of every clip.
        persons: M; None takes the largest number of persons among the clips. Clips with fewer are filled up with absent ones.
        coords: C, 2 or 3; None takes that of the first clip.
        normalise: what was done to the motions (:func:`kineme.normalise.describe`), for the card.
        splits: carried protocols ``{name: {"train": rule, "test": rule}}``; see :mod:`kineme.splits` for rules.
        card: further entries of the card.

    Raises:
        InputError: the folder exists or cannot be written (no room, no permission).
    """

    def __init__(self, path: str | os.PathLike, layout: Layout, persons: int | None = None, coords: int | None = None, *,
                 normalise: Mapping[str, Any] | None = None, splits: Mapping[str, Any] | None = None,
                 card: Mapping[str, Any] | None = None):
        self.path, self.layout, self.persons, self.coords = Path(path), layout, persons, coords
        self.normalise, self.splits, self.card = dict(normalise or {}), dict(splits or {}), dict(card or {})
        if self.path.exists() and not (self.path.is_dir() and not any(self.path.iterdir())):
            raise InputError(path, "exists already", "a folder that does not exist yet", "Choose another name or remove it")
        self._stack = contextlib.ExitStack()
        self._rows: dict[str, list] = {}
        self._tables: list[pa.Table] = []
        self._held = self._clips = 0
        self._segments: list[list[int]] = []  # [persons, frames] of stretches written with the same number of persons
        self._ups: set[str | None] = set()
        self._units: set[str] = set()
        self._aside: list[dict[str, Any]] = []
        with writing(self.path):
            self._folder = self._stack.enter_context(files.atomic_folder(self.path))
            self._frames = self._stack.enter_context(_Numbers(self._folder / "frames.npy"))
            self._seen = self._stack.enter_context(_Numbers(self._folder / "seen.npy"))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exception) -> None:
        if exception[0] is None:
            self.close()
        else:
            self._stack.__exit__(*exception)

    def add(self, motion: Motion, source: str | None = None) -> None:
        """Append one clip.

        Its id is ``motion.source`` (``~2``, ``~3`` ... is added where one comes again).

        Args:
            motion: of the writer's layout; joints with confidence 0 are stored as 0.
            source: the file it came from; by default ``motion.source``.

        Raises:
            InputError: another layout, number of coordinates or too many persons; a value in ``extra`` that is not plain;
                the disk is full.
        """
        where = motion.source or f"clip {self._clips}"
        if motion.layout != self.layout:
            raise InputError(where, f"layout {motion.layout.name} of {len(motion.layout)} joints",
                             f"layout {self.layout.name} of {len(self.layout)} joints as in the rest of the store")
        if self.persons is not None and motion.persons > self.persons:
            raise InputError(where, f"{motion.persons} persons", f"at most {self.persons}")
        self._same_coords(where, motion.coords)
        row = _row(motion, where, source)
        self._ups.add(motion.up)
        self._units.add(motion.unit)
        self._append(np.where(motion.confidence[..., None] > 0, motion.joints, np.float32(0)), motion.confidence)
        for name in self._rows.keys() | row.keys():
            values = self._rows.setdefault(name, [None] * self._held)
            values.append(row.get(name))
        self._held += 1
        self._clips += 1
        if self._held == _BLOCK:
            self._flush()

    def extend(self, store: Store, joint_map: JointMap | None = None) -> None:
        """Append all clips of a store, block by block, mapped to another layout if there is a map."""
        layout = store.layout if joint_map is None else joint_map.target
        if layout != self.layout:
            raise InputError(store.path, f"layout {layout.name}", f"layout {self.layout.name}", "Give a map")
        self._same_coords(str(store.path), store.coords)
        self._flush()
        self._ups.add(store.card["up"])
        self._units.add(store.card["unit"])
        for begin in range(0, len(store.frames), _FRAMES):
            joints, seen = (np.asarray(array[begin:begin + _FRAMES]) for array in (store.frames, store.seen))
            if joint_map is not None:
                mapped = Motion(joints, store.layout, seen).to_layout(joint_map)
                joints, seen = mapped.joints, mapped.confidence
            self._append(joints, seen)
        self._tables.append(store.clips)
        self._clips += len(store)

    def set_aside(self, file: str, reason: str, **more: Any) -> None:
        """Record something that was left out, and why; it stands in ``set_aside.jsonl``."""
        self._aside.append({"file": file, "reason": reason, **more})

    def close(self) -> Store:
        """Finish all files and put the folder in its place.

        Raises:
            InputError: no clip was added; the disk is full. Nothing is left then.
        """
        try:
            if not self._clips:
                raise InputError(self.path, "no clip to store", "at least one")
            with writing(self.path):
                self._finish()
                self._stack.close()
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        return Store(self.path)

    def _same_coords(self, where: str, coords: int) -> None:
        self.coords = self.coords or coords
        if coords != self.coords:
            raise InputError(where, f"{coords} coordinates", f"{self.coords} coordinates as in the rest of the store")

    def _append(self, joints: np.ndarray, seen: np.ndarray) -> None:
        before = self._segments[-1][0] if self._segments else 0
        persons = self.persons or max(before, joints.shape[1])
        if persons != before:
            self._segments.append([persons, 0])
        self._segments[-1][1] += len(joints)
        with writing(self.path):
            self._frames.append(_widen(joints, persons))
            self._seen.append(_widen(seen, persons))

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            columns = {name: _column(values) for name, values in self._rows.items()}
            self._tables.append(pa.table(columns))
            self._rows, self._held = {}, 0

    def _finish(self) -> None:
        import pyarrow.parquet

        self._flush()
        persons = self._segments[-1][0]
        frames = sum(count for _, count in self._segments)
        for file, tail in ((self._frames, (len(self.layout), self.coords)), (self._seen, (len(self.layout),))):
            if len(self._segments) > 1:
                file.rewrite(self._segments, tail)
            file.finish((frames, persons, *tail))
        table = _unique(_concat(self._tables))
        pyarrow.parquet.write_table(table, self._folder / "clips.parquet", compression="zstd")
        names = ["clips.parquet"]
        if self._aside:
            lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self._aside)
            (self._folder / "set_aside.jsonl").write_bytes(lines.encode("utf-8", "backslashreplace"))
            names.append("set_aside.jsonl")
        digests = {"frames.npy": self._frames.digest.hexdigest(), "seen.npy": self._seen.digest.hexdigest(),
                   **{name: _file_digest(self._folder / name) for name in names}}
        card = {"kind": "store", "format": FORMAT, "kineme": importlib.metadata.version("kineme"),
                "layout": self.layout.as_dict(), "persons": persons, "coords": self.coords,
                "up": self._ups.pop() if len(self._ups) == 1 else None,
                "unit": self._units.pop() if len(self._units) == 1 else "1",
                "normalise": self.normalise, "clips": self._clips, "frames": frames}
        card |= {"hash": _content(card, digests, table), "splits": self.splits, "set_aside": len(self._aside), **self.card,
                 "files": digests}
        card = json.loads(_dump(card))
        with (self._folder / "card.json").open("wb") as file:
            file.write(_dump(card | {"check": _check(card)}))
            os.fsync(file.fileno())


def join(stores: Sequence[Store], path: str | os.PathLike, layout: Layout | None = None, **card: Any) -> Store:
    """Several stores as one, clips in the order given.

    Args:
        stores: at least one; normalised the same way, with the same number of coordinates.
        path: folder of the new store.
        layout: joints of the new store; stores of another layout are mapped by joint name. By default that of the first.
        card: further entries of the card.

    Raises:
        InputError: stores that do not fit together.
    """
    layout = layout or stores[0].layout
    for store in stores:
        if store.card["normalise"] != stores[0].card["normalise"]:
            raise InputError(store.path, f"motions normalised as {store.card['normalise']}",
                             f"the same as in {stores[0].path}: {stores[0].card['normalise']}",
                             "Prepare both with the same `--normalise` and `--layout`")
    maps = [None if store.layout == layout else skeleton.joint_map(store.layout, layout) for store in stores]
    splits = merge_splits([(sorted({d for d in dataset_column(store) if d is not None}), store.card["splits"]) for store in stores])
    writer = Writer(path, layout, max(store.persons for store in stores), stores[0].coords,
                    normalise=stores[0].card["normalise"], splits=splits, card=card)
    with writer:
        for store, joint_map in zip(stores, maps):
            writer.extend(store, joint_map)
    return Store(path)


def dataset_column(store: Store) -> np.ndarray:
    """The data set of every clip (column ``dataset``), object array of str or None ``[N]``."""
    if "dataset" not in store.clips.column_names:
        return np.full(len(store), None, dtype=object)
    return store.column("dataset")


def merge_splits(parts: Sequence[tuple[Sequence[str], Mapping[str, Any]]]) -> dict[str, Any]:
    """Carried protocols of several sets as one: a rule that not all of them carry holds for its own data sets only.

    Args:
        parts: of every set the names in its ``dataset`` column, and its protocols.
    """
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for _, splits in parts for name in splits):
        if all(splits.get(name) == parts[0][1].get(name) for _, splits in parts):
            merged[name] = parts[0][1][name]
            continue
        owned = [(list(datasets), splits[name]) for datasets, splits in parts if name in splits and datasets]
        merged[name] = {side: {"any": [{"all": [{"column": "dataset", "in": datasets}, rules[side]]} for datasets, rules in owned]}
                        for side in ("train", "test")}
    return merged


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turn a full disk, a missing permission and the like into an InputError that names what was being written."""
    try:
        yield
    except OSError as error:
        raise InputError(path, f"cannot be written ({error.strerror or error})", "a place with room and permission to write",
                         "What stood there before is unchanged") from None


class _Numbers:
    """A float32 ``.npy`` file that grows; its header is written last, the digest is of the numbers alone."""

    def __init__(self, path: Path):
        self.path, self.digest = path, hashlib.sha256()
        self._file = path.open("wb")
        self._file.write(bytes(_HEADER))

    def __enter__(self) -> _Numbers:
        return self

    def __exit__(self, *exception) -> None:
        with contextlib.suppress(OSError):  # a full disk was reported when it was met
            self._file.close()

    def append(self, array: np.ndarray) -> None:
        numbers = memoryview(np.ascontiguousarray(array, "<f4")).cast("B")
        self._file.write(numbers)
        self.digest.update(numbers)

    def rewrite(self, segments: Sequence[Sequence[int]], tail: tuple[int, ...]) -> None:
        """Once more, with every stretch filled up to the number of persons of the last."""
        self._file.close()
        narrow = self.path.with_suffix(".narrow")
        self.path.rename(narrow)
        self.digest, self._file = hashlib.sha256(), self.path.open("wb")
        self._file.write(bytes(_HEADER))
        place = _HEADER
        for persons, count in segments:
            stretch = np.memmap(narrow, "<f4", "r", place, (count, persons, *tail))
            place += stretch.nbytes
            for begin in range(0, count, _FRAMES):
                self.append(_widen(stretch[begin:begin + _FRAMES], segments[-1][0]))
        narrow.unlink()

    def finish(self, shape: tuple[int, ...]) -> None:
        self._file.seek(0)
        self._file.write(_header(shape))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def _header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little") + text.ljust(_HEADER - 11).encode() + b"\n"


def _map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except OSError as error:
        raise InputError(path, "no such file" if not path.exists() else str(error), "the frames of a store", MENDED) from None
    expected = _HEADER + 4 * int(np.prod(shape, dtype=object))
    if size != expected:
        raise InputError(path, f"{size} bytes", f"{expected} bytes for an array of shape {shape}", MENDED)
    if header != _header(shape):
        raise InputError(path, "a header that does not fit the card", f"float32 numbers of shape {shape}", MENDED)
    return np.memmap(path, "<f4", "r", _HEADER, shape)


def _widen(array: np.ndarray, persons: int) -> np.ndarray:
    """Absent persons added at the end of axis 1."""
    missing = persons - array.shape[1]
    return array if not missing else np.pad(array, [(0, missing) if axis == 1 else (0, 0) for axis in range(array.ndim)])


def _read_card(path: Path) -> dict[str, Any]:
    card = files.read_json(path, "the card of a store")
    if not isinstance(card, dict) or card.get("kind") != "store":
        raise InputError(path, "not the card of a store", 'an object with "kind": "store"')
    if card.get("format") != FORMAT:
        raise InputError(path, f"format {card.get('format')!r}", f"format {FORMAT}", "It was written by another version; " + MENDED.lower())
    counts = [card.get(name) for name in ("clips", "frames", "persons", "coords")]
    kinds: dict[str, type | tuple] = {"layout": dict, "normalise": dict, "splits": dict, "files": dict, "hash": str, "unit": str,
                                      "up": (str, type(None))}
    wrong = [name for name, kind in kinds.items() if name not in card or not isinstance(card[name], kind)]
    if wrong or not all(type(count) is int and count > 0 for count in counts) or card["coords"] not in (2, 3):
        raise InputError(path, f"entry {(wrong or ['clips, frames, persons or coords'])[0]!r} is missing or wrong",
                         "the card of a store", MENDED)
    return card


def _dump(card: Mapping[str, Any]) -> bytes:
    return (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _check(card: Mapping[str, Any]) -> str:
    return files.sha256(_dump({name: value for name, value in card.items() if name != "check"}))


def _changed(file: Path) -> InputError:
    return InputError(file, "bytes have changed since the store was written", "the content that the card records", MENDED)


def _file_digest(path: Path) -> str:
    """SHA-256 of a file; of the numbers alone for ``.npy`` (opening the store has compared the header)."""
    with path.open("rb") as file:
        file.seek(_HEADER if path.suffix == ".npy" else 0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(card: Mapping[str, Any], digests: Mapping[str, str], table: pa.Table) -> str:
    """The content hash: what the frames mean, the frames, the confidence, the clip table; nothing about how it came about."""
    meaning = {name: card[name] for name in ("format", "layout", "persons", "coords", "up", "unit", "clips", "frames")}
    text = json.dumps(meaning, sort_keys=True)
    return files.sha256(text.encode(), digests["frames.npy"].encode(), digests["seen.npy"].encode(), _table_digest(table))


def _row(motion: Motion, where: str, source: str | None) -> dict[str, Any]:
    """The clip's row: values of the table's columns; an extra value under a name of ours gets ``extra_`` before it."""
    width, height = motion.image_size or (None, None)
    row = {"id": where, "source": motion.source or where if source is None else source, "label": motion.label,
           "subject": motion.subject, "camera": motion.camera, "length": len(motion), "fps": motion.fps,
           "width": width, "height": height}
    for name, value in motion.extra.items():
        value = value.item() if isinstance(value, np.generic) else value
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise InputError(where, f"extra value {name!r} of type {type(value).__name__}", "text, a number, a truth value or None")
        row[f"extra_{name}" if name in row else name] = value
    return row
