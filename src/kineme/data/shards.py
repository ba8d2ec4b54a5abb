"""Shards: some files of a folder, read, labelled, cut, mapped and normalised, each shard whole on disk or absent."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .. import io
from ..motion import joint_map
from ..motion import layout as skeleton
from ..motion import normalise as norms
from ..motion.joint_map import JointMap
from ..motion.layout import Layout
from ..motion.motion import Motion
from ..utils import files, registry
from ..utils.errors import InputError
from . import labels as tables
from .store_writer import Writer, writing

METRES = {"mm": 1e-3, "cm": 1e-2, "in": 0.0254}


@dataclass(frozen=True)
class Options:
    """How files are turned into clips: the arguments of :func:`prepare`, checked.

    Attributes:
        root: folder to which the paths of files are relative.
        labels: a path, or the word ``folder``.
        table: target joint -> source joint or joints.

    Raises:
        InputError: an unknown name, a map without a layout, labels that cannot be read.
    """

    root: Path
    format: str | None = None
    normalise: str | None = None
    labels: str | None = None
    layout: str | None = None
    table: Mapping[str, Any] | None = None
    faithful: bool = False

    def __post_init__(self) -> None:
        formats = registry.names("io")
        if self.format is not None and self.format not in formats:
            raise InputError(
                f"format {self.format!r}",
                "no such format",
                f"one of {', '.join(formats)}",
                registry.did_you_mean(self.format, formats),
            )
        if self.normalise is not None and self.normalise not in norms.MODES:
            raise InputError(
                f"normalisation {self.normalise!r}",
                "no such normalisation",
                f"one of {', '.join(norms.MODES)}",
                registry.did_you_mean(self.normalise, norms.MODES),
            )
        if self.layout is not None:
            skeleton.layout(self.layout)
        elif self.table is not None:
            raise InputError("--map", "a map of joints without a layout to map to", "--layout NAME")
        if self.labels not in (None, "folder") and not Path(str(self.labels)).exists():
            raise InputError(
                self.labels,
                "no such file or folder",
                "labels: a CSV file, a folder of label files, or the word `folder`",
            )
        if self.label_table is not None:
            tables.read(self.label_table)

    @property
    def label_table(self) -> Path | None:
        """The CSV file of labels, or None."""
        return Path(self.labels) if self.labels and self.labels.lower().endswith((".csv", ".tsv")) else None

    @property
    def reader(self) -> io.Options:
        """What the readers are told."""
        beside = None if self.labels == "folder" or self.label_table else self.labels
        table = {"landmarks": "image"} if self.normalise == "image" else None  # MediaPipe has both
        return io.Options(labels=Path(beside) if beside else None, faithful=self.faithful, table=table)


def shard(paths: Sequence[str], options: Options, folder: str | os.PathLike) -> Path:
    """Turn some files into a shard: a pure function of its arguments and the files, for processes or Ray.

    Args:
        paths: files, relative to ``options.root``.
        options: how to read them.
        folder: where to write; it appears whole (``summary.json``, and ``store`` if there is any clip) or not at all.

    Returns:
        ``folder``.

    Raises:
        InputError: the folder cannot be written; bad files stand in the summary instead.
    """
    layouts: dict[tuple[Layout, int], dict[str, Any]] = {}
    found = _Found()
    with writing(folder), files.atomic_folder(folder) as room:
        with contextlib.ExitStack() as stack:
            writer: Writer | None = None
            for path in paths:
                for clip in _clips(path, options, found):
                    entry = layouts.setdefault(
                        (clip.layout, clip.coords),
                        {
                            "layout": clip.layout.as_dict(),
                            "coords": clip.coords,
                            "first": path,
                            "persons": 0,
                            "clips": 0,
                        },
                    )
                    entry["clips"] += 1
                    entry["persons"] = max(entry["persons"], clip.persons)
                    if writer is None:
                        writer = stack.enter_context(Writer(room / "store", clip.layout, coords=clip.coords))
                    if len(layouts) == 1:  # several are reported, not stored
                        writer.add(clip, path)
        summary = {"layouts": list(layouts.values()), **dataclasses.asdict(found)}
        (room / "summary.json").write_text(json.dumps(summary), encoding="ascii")
    return Path(folder)


@dataclass
class _Found:
    """What a shard has to tell beside its clips; plain containers only."""

    skipped: list[dict[str, str]] = field(default_factory=list)
    maps: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the layout that was mapped
    splits: list[list[Any]] = field(default_factory=list)  # [data sets, carried splits], distinct
    rows: list[list[Any]] = field(default_factory=list)  # [line of the label table, file that it names]
    unlabelled: int = 0  # clips that the label table or folder leaves out
    first_unlabelled: str = ""
    kinds: list[list[Any]] = field(default_factory=list)  # [up, unit], distinct

    def leave(self, file: str, reason: str) -> None:
        self.skipped.append({"file": file, "reason": reason})

    def without_label(self, clip: Motion) -> None:
        self.unlabelled += 1
        self.first_unlabelled = self.first_unlabelled or clip.source


def _clips(path: str, options: Options, found: _Found) -> Iterator[Motion]:
    """The clips of a file, ready to be stored; what cannot be is noted in ``found``."""
    file = options.root / path
    folder = path[: path.rfind("/") + 1]
    rows = tables.read(options.label_table) if options.label_table else None
    sets: set[str] = set()
    count = 0
    try:
        name = options.format or io.detect(file)
        motions = io.read_all(file, name, options.reader)
        while (motion := next(motions, None)) is not None:
            count += 1
            if folder:
                motion = motion.with_(source=folder + motion.source)
            sets.update({str(motion.extra["dataset"])} if motion.extra.get("dataset") is not None else ())
            for clip in _labelled(motion, path, rows, options, found):
                try:
                    clip = _finish(clip, options, found)
                except InputError as error:
                    found.leave(clip.source, _reason(error, clip.source, options))
                else:
                    yield clip
        if not count:
            found.leave(path, "it holds no clip")
        carried = [sorted(sets), io.carried_splits(file, name)]
    except Exception as error:  # whatever is wrong with one file, the others go on
        kept = f" ({count} clips before it kept)" if count else ""
        found.leave(path, _reason(error, path, options) + kept)
        found.rows += [[row.line, path] for row in tables.of(rows or {}, path, path)]
        return
    if carried not in found.splits:
        found.splits.append(carried)


def _labelled(
    motion: Motion, path: str, rows: Mapping[str, Any] | None, options: Options, found: _Found
) -> Iterator[Motion]:
    """The clips that the labels make of a recording: one or, where they cut it, several."""
    if options.labels == "folder" and (folder := PurePosixPath(path).parent.name):
        yield motion.with_(label=folder)
        return
    mine = tables.of(rows, motion.source, path) if rows is not None else []
    if not mine:
        if rows is not None or options.labels == "folder":
            found.without_label(motion)
        yield motion
    for clip, row, reason in tables.cut(motion, mine):
        found.rows.append([row.line, path])
        if clip is None:
            found.leave(f"{Path(str(options.labels)).name}, line {row.line}", reason)
        else:
            yield clip


def _finish(clip: Motion, options: Options, found: _Found) -> Motion:
    """Mapped to the wanted layout, in metres, normalised."""
    if options.layout is not None and clip.layout != (target := skeleton.layout(options.layout)):
        made = _map(clip.layout, target, json.dumps(options.table))
        if len(made.missing) == len(target):
            raise InputError(
                clip.source,
                f"none of its joints ({', '.join(clip.layout.joints)[:300]}) is one of layout {target.name}",
                hint="Name them in a map file (--map)",
            )
        name = clip.layout.name if clip.layout.name != "free" else f"free ({len(clip.layout)} joints)"
        found.maps.setdefault(
            json.dumps(clip.layout.joints),
            {
                "source": name,
                "target": target.name,
                "missing": list(made.missing),
                "virtual": dict(made.virtual),
                "unused": list(made.unused),
            },
        )
        clip = clip.to_layout(made)
    if clip.unit in METRES:
        clip = clip.with_(joints=clip.joints * METRES[clip.unit], unit="m")
    clip = norms.apply(clip, options.normalise or norms.default(clip.layout, clip.coords))
    if [clip.up, clip.unit] not in found.kinds:
        found.kinds.append([clip.up, clip.unit])
    return clip


@functools.lru_cache(maxsize=256)
def _map(source: Layout, target: Layout, table: str) -> JointMap:
    return joint_map.joint_map(source, target, json.loads(table))


def _reason(error: Exception, path: str, options: Options) -> str:
    """Why something was left out, in words that hold wherever the folder stands."""
    if isinstance(error, InputError):
        return str(error).replace(f"{options.root}{os.sep}", "").removeprefix(f"{path}: ")
    if isinstance(error, MemoryError):
        return "not enough memory to read it"
    if isinstance(error, OSError):
        return f"not readable ({error.strerror or error})"
    return f"{type(error).__name__}: {error} (a fault of the reader; please report it)"
