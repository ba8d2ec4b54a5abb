"""Writing stores: clip after clip, whole on disk or absent; several stores joined to one."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..motion import layout as skeleton
from ..motion.fit import Target
from ..motion.joint_map import JointMap, joint_map
from ..motion.layout import Layout
from ..motion.motion import Motion
from ..utils import files
from ..utils.errors import InputError
from . import clip_table, conform
from .array_file import BLOCK, Growing, widen
from .pictures import SIDE, PictureWriter
from .store import FORMAT, Store, _check, _content, _dump, _file_digest, datasets, opened

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1 << 16  # rows of the clip table that are held as Python objects while writing


class Writer:
    """Writes a store clip by clip; frames go straight to disk. The folder appears when :meth:`close` ends well.

    Also a context manager: leaving the block closes the store, an exception removes what was written.

    Args:
        path: the folder; it must not exist yet or be empty.
        layout: joints of every clip.
        persons: M; None takes the largest number among the clips. Clips with fewer are filled up with absent persons.
        coords: C, 2 or 3; None takes that of the first clip.
        normalise: what was done to the motions (:func:`kineme.motion.normalise.describe`), for the card.
        splits: carried protocols ``{name: {"train": rule, "test": rule}}``; see :mod:`kineme.data.splits` for rules.
        card: further entries of the card.
        picture_side: pixels of the short side to which larger pictures are scaled down.

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
        picture_side: int = SIDE,
    ):
        self.path, self.layout, self.persons, self.coords = Path(path), layout, persons, coords
        self.normalise, self.splits, self.card = dict(normalise or {}), dict(splits or {}), dict(card or {})
        self.picture_side = picture_side
        self._pictures: PictureWriter | None = None
        self._discarded = False
        self._rows: dict[str, list] = {}
        self._tables: list[pa.Table] = []
        self._held = self._clips = 0
        self._segments: list[list[int]] = []  # [persons, frames] of segments written with one number of persons
        self._ups: set[str | None] = set()
        self._units: set[str] = set()
        self._skipped: list[dict[str, Any]] = []
        if self.path.exists() and not (self.path.is_dir() and not any(self.path.iterdir())):
            raise InputError(path, "exists already", "a folder that does not exist yet", "Choose another name")
        with contextlib.ExitStack() as stack, writing(self.path):
            self._folder = stack.enter_context(files.atomic_folder(self.path))
            self._frames = stack.enter_context(Growing(self._folder / "frames.npy"))
            self._seen = stack.enter_context(Growing(self._folder / "confidence.npy"))
            self._stack = stack.pop_all()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._discarded:
            return
        if exception[0] is None:
            self._close()
        else:
            self._stack.__exit__(*exception)

    def add(
        self,
        motion: Motion,
        source: str | None = None,
        pictures: np.ndarray | Iterable[np.ndarray] | None = None,
    ) -> None:
        """Append one clip.

        Its id is ``motion.source`` (``~2``, ``~3`` ... is added where one comes again).

        Args:
            motion: of the writer's layout.
            source: the file it came from; by default ``motion.source``.
            pictures: uint8 ``[T, H, W, 3]``, or an iterator of ``[H, W, 3]``: one for each frame of the motion, red,
                green, blue. A store has pictures for all clips or for none.

        Raises:
            InputError: another layout, number of coordinates or too many persons; pictures missing, too many, or not
                of one size; the disk is full. The store is then as it was before.
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
        with self._picturing(where, pictures is not None) as writer:
            if writer is not None and pictures is not None:
                writer.add(where, pictures, len(motion))
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

    def extend(
        self,
        store: Store,
        mapping: JointMap | None = None,
        *,
        changes: np.ndarray | None = None,
        fitted: tuple[np.ndarray, np.ndarray] | None = None,
        unit: str | None = None,
        up: str | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Append all clips of a store, block by block.

        Args:
            store: the clips.
            mapping: to another layout.
            changes: float32 ``[N, C, C]``, by which the coordinates of each clip are multiplied.
            fitted: joints and confidence in place of the store's (:func:`kineme.data.conform.fitted`), in the layout
                of the writer.
            unit, up: what these are then; by default those of the store.
            columns: further columns of the clip table, a value for each clip.
        """
        layout = store.layout if mapping is None else mapping.target
        frames, confidence = (store.frames, store.confidence) if fitted is None else fitted
        if layout != self.layout and fitted is None:
            raise InputError(store.path, f"layout {layout.name}", f"layout {self.layout.name}", "Give a map")
        self._same_coords(str(store.path), store.coords)
        with self._picturing(str(store.path), store.has_pictures) as writer:
            if writer is not None and store.picture_file is not None:
                writer.copy(store.picture_file)
        self._flush()
        self._ups.add(up or store.card["up"])
        self._units.add(unit or store.card["unit"])
        for begin in range(0, len(frames), BLOCK):
            joints, seen = (np.asarray(array[begin : begin + BLOCK]) for array in (frames, confidence))
            if mapping is not None:
                mapped = Motion(joints, store.layout, seen).to_layout(mapping)
                joints, seen = mapped.joints, mapped.confidence
            if changes is not None:
                joints = conform.apply(joints, conform.per_frame(store, changes, begin, begin + len(joints)))
            self._append(joints, seen)
        self._tables.append(store.clips)
        if columns:
            kept = store.clips.drop_columns([name for name in columns if name in store.clips.column_names])
            self._tables[-1] = clip_table.beside(kept, columns)
        self._clips += len(store)

    def skip(self, file: str, reason: str, **more: Any) -> None:
        """Record something that was left out, and why; it stands in ``skipped.jsonl``."""
        self._skipped.append({"file": file, "reason": reason, **more})

    def discard(self) -> None:
        """Give up: nothing is left."""
        self._discarded = True
        self._stack.__exit__(InputError, InputError(self.path, "given up"), None)

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

    @property
    def _pictured(self) -> bool:
        return self._pictures is not None and self._pictures.count > 0

    def _same_coords(self, where: str, coords: int) -> None:
        if self.coords not in (None, coords):
            raise InputError(where, f"{coords} coordinates", f"{self.coords} as in the rest of the store")

    @contextlib.contextmanager
    def _picturing(self, where: str, given: bool) -> Iterator[PictureWriter | None]:
        """What writes pictures, if there are any."""
        if self._clips and given != self._pictured:
            found, others = ("pictures", "none") if given else ("no pictures", "pictures")
            raise InputError(where, f"{found}, where the clips before have {others}", "pictures for all clips or none")
        with writing(self.path):
            if given and self._pictures is None:
                self._pictures = self._stack.enter_context(PictureWriter(self._folder, self.picture_side))
            yield self._pictures

    def _append(self, joints: np.ndarray, seen: np.ndarray) -> None:
        self.coords = joints.shape[3]
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
        if self._skipped:
            lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self._skipped)
            (self._folder / "skipped.jsonl").write_bytes(lines.encode("utf-8", "backslashreplace"))
            names.append("skipped.jsonl")
        digests = {
            "frames.npy": self._frames.digest.hexdigest(),
            "confidence.npy": self._seen.digest.hexdigest(),
            **(self._pictures.finish() if self._pictures is not None else {}),
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
            "skipped": len(self._skipped),
            **self.card,
            "files": digests,
        }
        card = json.loads(_dump(card))  # as it will be read: lists for tuples
        with (self._folder / "card.json").open("wb") as file:
            file.write(_dump(card | {"check": _check(card)}))
            file.flush()
            os.fsync(file.fileno())


def join(
    stores: Sequence[Store | str | os.PathLike],
    path: str | os.PathLike,
    layout: Layout | str | None = None,
    **card: Any,
) -> Store:
    """Several stores as one, clips in the order given.

    Args:
        stores: at least one; normalised the same way, with the same number of coordinates.
        path: folder of the new store.
        layout: joints of the new store; a name or a Layout, by default that of the first. Stores of
            another layout are mapped by joint name.
        card: further entries of the card.

    Bodies become one size (:func:`kineme.data.conform.changes`: metres), and up is what it is in the first store that
    knows.

    Raises:
        InputError: stores that do not fit together.
    """
    joined = [opened(store) for store in stores]
    if not joined:
        raise InputError("stores to join", "none", "at least one")
    first = joined[0]
    layout = skeleton.layout(layout) if isinstance(layout, str) else layout or first.layout
    for store in joined:
        if store.card["normalise"] != first.card["normalise"]:
            raise InputError(
                store.path,
                f"motions normalised as {store.card['normalise']}",
                f"the same as in {first.path}: {first.card['normalise']}",
                "Prepare both with the same `--normalise` and `--layout`",
            )
    maps = [None if store.layout == layout else joint_map(store.layout, layout) for store in joined]
    splits = merge_splits([(datasets(store), store.card["splits"]) for store in joined])
    sizes = conform.joined(joined)
    unit = None if sizes is None else "m" if sizes["how"] == "metres" else "1"
    up = next((store.card["up"] for store in joined if store.card["up"]), None)
    with Writer(
        path,
        layout,
        max(store.persons for store in joined),
        first.coords,
        normalise=first.card["normalise"],
        splits=splits,
        card=card if sizes is None else {"size": sizes, **card},
    ) as writer:
        for store, mapping in zip(joined, maps):
            changes = conform.changes(store, conform.METRES, up)
            writer.extend(store, mapping, changes=changes, unit=unit, up=store.card["up"] and up)
    return Store(path)


def fit(stores: Sequence[Store], path: str | os.PathLike, target: Target) -> Store:
    """Stores of any layouts, sizes and normalisations as one, as a run takes them.

    Args:
        stores: at least one, with as many coordinates as the run.
        path: folder of the new store.
        target: what the run takes.

    Raises:
        InputError: ``path`` exists.
    """
    splits = merge_splits([(datasets(store), store.card["splits"]) for store in stores])
    persons = max(store.persons for store in stores)
    cleaned = [store.card["normalise"].get("clean") for store in stores]
    normalise = {name: value for name, value in target.normalise.items() if name != "clean"}
    normalise |= {"clean": cleaned[0]} if all(each == cleaned[0] is not None for each in cleaned) else {}
    sized = {} if target.size is None else {"size": {**target.size, "clips": {}}}
    unit = None if target.size is None else "m" if target.size["how"] == "metres" else "1"
    with Writer(path, target.layout, persons, target.coords, normalise=normalise, splits=splits, card=sized) as writer:
        for store in stores:
            writer.extend(store, fitted=conform.fitted(store, target), unit=unit, up=target.up)
    return Store(path)


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
