"""What a preparation has to do: which files, in which order, with which options, cut into shards."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .. import __version__, io
from ..motion import joint_map
from ..motion.clean import Cleaning
from ..motion.layout import Layout
from ..utils import files, registry
from ..utils.errors import InputError
from . import labels as tables
from . import store as stores
from . import video
from .kinds import option
from .name_pattern import is_pattern
from .options import Options
from .pictures import SIDE

SHARD_FILES, SHARD_BYTES = 256, 64 << 20  # what a killed process loses at most; the result does not depend on them


@dataclass(frozen=True)
class Plan:
    """What is to be done: files in order, without those that a published list excludes, cut into shards."""

    src: Path
    dest: Path
    partial: Path
    options: Options
    units: list[str]
    skipped: list[dict[str, str]]
    again: dict[str, str]  # links to what is read elsewhere, and where
    shards: list[list[str]]
    key: str
    notes: Sequence[str] = ()

    def folder(self, i: int) -> Path:
        """Where a shard stands; its name tells what is in it."""
        what = [self.shards[i], *([self.options.layout, self.options.only] if self.options.layout else [])]
        return self.partial / f"shard-{i:06d}-{files.sha256(json.dumps(what).encode())[:8]}"


def make(
    src: Path,
    dest: Path,
    format: str | None,
    normalise: str | None,
    labels: str | None,
    layout: str | Layout | None,
    table: Mapping[str, Any] | str | os.PathLike | None,
    faithful: bool,
    only: str | None,
    unit: str | float | None,
    up: str | None,
    reading: Mapping[str, str] | None,
    unsure: str,
    poses: str | os.PathLike | None = None,
    picture_side: int = SIDE,
    clean: Cleaning | None = None,
    window: float | None = None,
    step: float | None = None,
    fps: float | None = None,
) -> Plan:
    """What :func:`kineme.data.prepare.prepare` has to do.

    Raises:
        InputError: a wrong argument, or no file.
    """
    if not src.exists():
        raise InputError(src, "no such file or folder", "motion files")
    if is_list := video.is_list(src):
        if labels is not None:
            raise InputError("--labels", f"{labels} beside the list {src}", "one of them: the list has the labels")
        labels = os.fspath(src)
    given = None if labels == "folder" or is_pattern(labels) else labels
    beside = [Path(given).absolute()] if given else []  # they may lie among the recordings
    if isinstance(table, (str, os.PathLike)):
        beside.append(Path(table).absolute())
        table = joint_map.read_table(Path(table))
    if (src / "card.json").is_file() and (src / "frames.npy").is_file():
        raise InputError(src, "a store, prepared already", "motion files", f"See kineme info {src}")
    partial = dest.with_name(f"{dest.name}.partial")
    searched = src if src.is_dir() else src.parent
    films = _films(src, searched, is_list, poses, format) if is_list or poses is not None else None
    found = io.search(src, format) if films is None else io.Found((), {})
    ours = (dest, partial, *(path for path in beside if not _inside(src, path)))
    if films is not None:
        units = sorted(films.pairs)
        beside.append(Path(poses or searched).absolute())
    elif src.is_dir():
        units = [path.relative_to(src).as_posix() for path in found.units if not _inside(path, *ours)]
    else:
        units = [src.name]
    said = None if unit is None else str(unit).strip()
    options = Options(
        searched,
        format,
        normalise,
        labels,
        option(layout),
        table,
        faithful,
        only,
        said,
        up,
        reading,
        unsure,
        None if films is None else films.pairs,
        picture_side,
        clean,
        window,
        step,
        fps,
    )
    again = {
        path.relative_to(src).as_posix(): first.relative_to(src).as_posix()
        for path, first in found.again.items()
        if not _inside(path, *ours)
    }
    listed = _listing(searched, None if src.is_dir() else src.stem) if films is None else films.listing
    listing = {path: facts for path, facts in listed if not _inside(searched / path, dest, partial)}
    real = os.path.realpath(searched)
    for unit in units if films is None else ():  # those behind links to folders
        if unit not in listing and os.path.realpath(searched / unit) != os.path.normpath(os.path.join(real, unit)):
            place = searched / unit
            listing |= {
                (place.parent / path if place.is_file() else place / path).relative_to(searched).as_posix(): facts
                for path, facts in (_listing(place) if place.is_dir() else _listing(place.parent, place.stem))
            }
    left_out = _left_out(searched, sorted(listing.keys() - set(units)))
    kept = [unit for unit in units if PurePosixPath(unit).stem not in left_out]
    skipped = [
        {"file": unit, "reason": f"listed in {left_out[stem]}"}
        for unit in units
        if (stem := PurePosixPath(unit).stem) in left_out
    ]
    skipped += films.skipped if films is not None else []
    shards = _shards(kept, listing)
    if not shards:
        why = f"all of its {len(units)} files are {skipped[0]['reason']}" if skipped else "no file in it"
        raise InputError(src, why, "motion files")
    if options.label_table is not None:
        tables.check(options.label_rows or {}, options.label_table, kept)
    asked = {**options.said(), "root": None}
    facts: list[list[Any]] = [
        [str(path), *(_listing(path) if path.is_dir() else _listing(path.parent, path.stem))] for path in beside
    ]
    facts += [[name, origin] for name in registry.names("io") if (origin := registry.origin("io", name))]
    key = files.sha256(json.dumps([__version__, stores.FORMAT, asked, units, listing, facts]).encode())
    made = (src, dest, partial, options, units, skipped, again, shards, key)
    return Plan(*made, () if films is None else films.notes)


@dataclass(frozen=True)
class _Films:
    """Videos with their pose tracks, and what is said of others."""

    pairs: dict[str, video.Pair]
    skipped: list[dict[str, str]]
    notes: list[str]
    listing: list[tuple[str, tuple[int, int]]]


def _films(src: Path, root: Path, is_list: bool, poses: str | os.PathLike | None, format: str | None) -> _Films:
    """The videos in a folder, in a list, or the one that is named.

    Raises:
        InputError: none; none with poses.
    """
    named: dict[str, str] = {}
    if is_list:
        units, named = video.listed(src)
    else:
        units = video.videos(src) if src.is_dir() else [src.name]
    if not units:
        raise InputError(src, "no video that is there" if is_list else "no video in it", "videos")
    pairs, skipped, notes = video.pair(root, units, None if poses is None else Path(poses), named, format)
    facts = [(unit, (root / unit).stat()) for unit in sorted(pairs)]
    return _Films(pairs, skipped, notes, [(unit, (fact.st_size, fact.st_mtime_ns)) for unit, fact in facts])


def _left_out(root: Path, files: Iterable[str]) -> dict[str, str]:
    """Names of recordings that a published list excludes, each with the list's name."""
    return {name: Path(path).name for path in files for name in io.excluded(root / path)}


def _listing(root: Path, stem: str | None = None) -> Iterator[tuple[str, tuple[int, int]]]:
    """(path, (bytes, time of change)) of the files under a folder, in order; side files count as well.

    With ``stem`` only files called so, here and in a folder ``labels``.
    """
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (stem is None or name == "labels"))
        for name in sorted(names):
            if not name.startswith(".") and stem in (None, PurePosixPath(name).stem):
                path = Path(folder, name)
                with contextlib.suppress(OSError):  # gone meanwhile, or a link to nowhere: reading it will tell
                    facts = path.stat()
                    yield path.relative_to(root).as_posix(), (facts.st_size, facts.st_mtime_ns)


def _inside(path: Path, *folders: Path) -> bool:
    here = Path(os.path.abspath(path))
    return any(here.is_relative_to(folder) for folder in folders)


def _shards(units: Sequence[str], listing: Mapping[str, tuple[int, int]]) -> list[list[str]]:
    """Consecutive files, up to ``SHARD_FILES`` of them and ``SHARD_BYTES`` unless one file alone is larger."""
    shards: list[list[str]] = []
    size = 0
    for unit in units:
        own = listing.get(unit, (0, 0))[0]
        if not shards or len(shards[-1]) == SHARD_FILES or size + own > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(unit)
        size += own
    return shards
