"""The store: a prepared set on disk, all frames of all clips one after the other, memory-mapped, content-hashed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..motion import layout as skeleton
from ..motion.layout import JointMap, Layout
from ..motion.motion import Motion
from ..utils import files
from ..utils.errors import InputError
from ..utils.registry import did_you_mean
from . import clip_table
from .array_file import AGAIN, BLOCK, HEADER, Growing, mapped, widen

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
FROM_EXTRA = ("setup", "repetition", "performance", "start", "end")  # known columns that a Motion carries in `extra`

_ROWS = 1 << 16  # rows of the clip table that are held as Python objects while writing


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
        self.seen = mapped(self.path / "seen.npy", (frames, persons, len(self.layout)))
        self.lengths = self._read(["length"])["length"].to_numpy()
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)
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

    def __reduce__(self):  # a copy in another process maps the same files
        return Store, (self.path,)

    @property
    def hash(self) -> str:
        """Hex SHA-256 of the content: layout, axes, frames, confidence, clip table; not of how it was prepared."""
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
        return Motion(
            np.array(self.frames[part]),
            self.layout,
            np.array(self.seen[part]),
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

    def verify(self) -> None:
        """Read every byte and compare with the digests in the card.

        Raises:
            InputError: names the first file of which a byte has changed.
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


def open(path: str | os.PathLike) -> Store:
    """Open a store; see :class:`Store`."""
    return Store(path)


class Writer:
    """Writes a store clip by clip; frames go straight to disk. The folder appears when :meth:`close` ends well.

    Also a context manager: leaving the block closes the store, an exception removes what was written.

    Args:
        path: the folder; it must not exist yet or be empty.
        layout: joints of every clip.
        persons: M; None takes the largest number among the clips. Clips with fewer are filled up with absent persons.
        coords: C, 2 or 3; None takes that of the first clip.
        normalise: what was done to the motions (:func:`kineme.normalise.describe`), for the card.
        splits: carried protocols ``{name: {"train": rule, "test": rule}}``; see :mod:`kineme.splits` for rules.
        card: further entries of the card.

    Raises:
        InputError: the folder exists or cannot be written (no room, no permission).
    """

    def __init__(
        self,
        path: str | os.PathLike,
        layout: Layout,
        persons: int | None = None,
        coords: int | None = None,
        *,
        normalise: Mapping[str, Any] | None = None,
        splits: Mapping[str, Any] | None = None,
        card: Mapping[str, Any] | None = None,
    ):
        self.path, self.layout, self.persons, self.coords = Path(path), layout, persons, coords
        self.normalise, self.splits, self.card = dict(normalise or {}), dict(splits or {}), dict(card or {})
        self._rows: dict[str, list] = {}
        self._tables: list[pa.Table] = []
        self._held = self._clips = 0
        self._segments: list[list[int]] = []  # [persons, frames] of stretches written with one number of persons
        self._ups: set[str | None] = set()
        self._units: set[str] = set()
        self._aside: list[dict[str, Any]] = []
        if self.path.exists() and not (self.path.is_dir() and not any(self.path.iterdir())):
            raise InputError(path, "exists already", "a folder that does not exist yet", "Choose another name")
        with contextlib.ExitStack() as stack, writing(self.path):
            self._folder = stack.enter_context(files.atomic_folder(self.path))
            self._frames = stack.enter_context(Growing(self._folder / "frames.npy"))
            self._seen = stack.enter_context(Growing(self._folder / "seen.npy"))
            self._stack = stack.pop_all()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exception) -> None:
        if exception[0] is None:
            self._close()
        else:
            self._stack.__exit__(*exception)

    def add(self, motion: Motion, source: str | None = None) -> None:
        """Append one clip.

        Its id is ``motion.source`` (``~2``, ``~3`` ... is added where one comes again).

        Args:
            motion: of the writer's layout.
            source: the file it came from; by default ``motion.source``.

        Raises:
            InputError: another layout, number of coordinates or too many persons; the disk is full.
        """
        where = motion.source or f"clip {self._clips}"
        if motion.layout != self.layout:
            raise InputError(
                where,
                f"layout {motion.layout.name} of {len(motion.layout)} joints",
                f"layout {self.layout.name} of {len(self.layout)} joints as in the rest of the store",
            )
        if self.persons is not None and motion.persons > self.persons:
            raise InputError(where, f"{motion.persons} persons", f"at most {self.persons}")
        self._same_coords(where, motion.coords)
        row = _row(motion, where, source or where)
        self._ups.add(motion.up)
        self._units.add(motion.unit)
        self._append(motion.joints, motion.confidence)
        for name in row.keys() - self._rows.keys():
            self._rows[name] = [None] * self._held
        for name, values in self._rows.items():
            values.append(row.get(name))
        self._held += 1
        self._clips += 1
        if self._held == _ROWS:
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
        for begin in range(0, len(store.frames), BLOCK):
            joints, seen = (np.asarray(array[begin : begin + BLOCK]) for array in (store.frames, store.seen))
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
        self._close()
        return Store(self.path)

    def _close(self) -> None:
        try:
            if not self._clips:
                raise InputError(self.path, "no clip to store", "at least one")
            with writing(self.path):
                self._finish()
                self._stack.close()
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise

    def _same_coords(self, where: str, coords: int) -> None:
        self.coords = self.coords or coords
        if coords != self.coords:
            raise InputError(where, f"{coords} coordinates", f"{self.coords} as in the rest of the store")

    def _append(self, joints: np.ndarray, seen: np.ndarray) -> None:
        before = self._segments[-1][0] if self._segments else 0
        persons = self.persons or max(before, joints.shape[1])
        if persons != before:
            self._segments.append([persons, 0])
        self._segments[-1][1] += len(joints)
        with writing(self.path):
            self._frames.append(widen(joints, persons))
            self._seen.append(widen(seen, persons))

    def _flush(self) -> None:
        if self._held:
            self._tables.append(clip_table.block(self._rows))
            self._rows, self._held = {}, 0

    def _finish(self) -> None:
        import pyarrow.parquet

        self._flush()
        persons, frames = self._segments[-1][0], sum(count for _, count in self._segments)
        per_person: tuple[tuple[Growing, tuple], ...] = (
            (self._frames, (len(self.layout), self.coords)),
            (self._seen, (len(self.layout),)),
        )
        for numbers, shape in per_person:
            if len(self._segments) > 1:
                numbers.rewrite(self._segments, shape)
            numbers.finish((frames, persons, *shape))
        clips = clip_table.unique(clip_table.concat(self._tables))
        pyarrow.parquet.write_table(clips, self._folder / "clips.parquet", compression="zstd")
        names = ["clips.parquet"]
        if self._aside:
            lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self._aside)
            (self._folder / "set_aside.jsonl").write_bytes(lines.encode("utf-8", "backslashreplace"))
            names.append("set_aside.jsonl")
        digests = {
            "frames.npy": self._frames.digest.hexdigest(),
            "seen.npy": self._seen.digest.hexdigest(),
            **{name: _file_digest(self._folder / name) for name in names},
        }
        card: dict[str, Any] = {
            "kind": "store",
            "format": FORMAT,
            "kineme": __version__,
            "layout": self.layout.as_dict(),
            "persons": persons,
            "coords": self.coords,
            "up": self._ups.pop() if len(self._ups) == 1 else None,
            "unit": self._units.pop() if len(self._units) == 1 else "1",
            "normalise": self.normalise,
            "clips": self._clips,
            "frames": frames,
        }
        card |= {
            "hash": _content(card, digests, clips),
            "splits": self.splits,
            "set_aside": len(self._aside),
            **self.card,
            "files": digests,
        }
        card = json.loads(_dump(card))  # as it will be read: lists for tuples
        with (self._folder / "card.json").open("wb") as file:
            file.write(_dump(card | {"check": _check(card)}))
            file.flush()
            os.fsync(file.fileno())


def join(stores: Sequence[Store], path: str | os.PathLike, layout: Layout | str | None = None, **card: Any) -> Store:
    """Several stores as one, clips in the order given.

    Args:
        stores: at least one; normalised the same way, with the same number of coordinates.
        path: folder of the new store.
        layout: joints of the new store; a name or a Layout, by default that of the first. Stores of
            another layout are mapped by joint name.
        card: further entries of the card.

    Raises:
        InputError: stores that do not fit together.
    """
    first = stores[0]
    layout = skeleton.layout(layout) if isinstance(layout, str) else layout or first.layout
    for store in stores:
        if store.card["normalise"] != first.card["normalise"]:
            raise InputError(
                store.path,
                f"motions normalised as {store.card['normalise']}",
                f"the same as in {first.path}: {first.card['normalise']}",
                "Prepare both with the same `--normalise` and `--layout`",
            )
    maps = [None if store.layout == layout else skeleton.joint_map(store.layout, layout) for store in stores]
    splits = merge_splits([(datasets(store), store.card["splits"]) for store in stores])
    with Writer(
        path,
        layout,
        max(store.persons for store in stores),
        first.coords,
        normalise=first.card["normalise"],
        splits=splits,
        card=card,
    ) as writer:
        for store, joint_map in zip(stores, maps):
            writer.extend(store, joint_map)
    return Store(path)


def datasets(store: Store) -> list[str]:
    """Names of the data sets in a store (column ``dataset``), sorted."""
    if "dataset" not in store.clips.column_names:
        return []
    return sorted(str(name) for name in store.clips["dataset"].unique().to_pylist() if name is not None)


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
        merged[name] = {
            side: {
                "any": [
                    {"all": [{"column": "dataset", "in": list(own)}, splits[name][side]]}
                    for own, splits in parts
                    if name in splits and own
                ]
            }
            for side in ("train", "test")
        }
    return merged


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turn a full disk, a missing permission and the like into an InputError that names what was being written."""
    try:
        yield
    except OSError as error:
        raise InputError(
            path,
            f"cannot be written ({error.strerror or error})",
            "a place with room and permission",
            "What stood there before is unchanged",
        ) from None


def _read_card(path: Path) -> dict[str, Any]:
    card = files.read_json(path, "the card of a store")
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
    """The content hash: what the frames mean, the frames, the confidence, the clip table; not how it came about."""
    meaning = {name: card[name] for name in ("format", "layout", "persons", "coords", "up", "unit", "clips", "frames")}
    return files.sha256(
        json.dumps(meaning, sort_keys=True).encode(),
        digests["frames.npy"].encode(),
        digests["seen.npy"].encode(),
        clip_table.digest(clips),
    )


def _row(motion: Motion, name: str, source: str) -> dict[str, Any]:
    """The clip's row of the table; an extra value under a name of ours gets ``extra_`` before it."""
    width, height = motion.image_size or (None, None)
    row = {
        "id": name,
        "source": source,
        "label": motion.label,
        "subject": motion.subject,
        "camera": motion.camera,
        "length": len(motion),
        "fps": motion.fps,
        "width": width,
        "height": height,
    }
    return row | {f"extra_{key}" if key in row else key: value for key, value in motion.extra.items()}
