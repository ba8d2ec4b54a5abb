"""Shards: some files of a folder, each shard whole on disk or absent.

A shard is a pipeline of generators over one clip at a time: read, label (and cut), map to a layout, normalise, write.
Each stage notes what it skips; no file and no clip stops the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .. import io
from ..motion import clean, joint_map, size, windows
from ..motion import normalise as norms
from ..motion.joint_map import JointMap
from ..motion.layout import Layout
from ..motion.motion import UNSURE, Motion
from ..utils import files
from ..utils.errors import InputError
from . import kinds, name_pattern, video
from . import labels as tables
from .conform import Body
from .options import Options
from .store_writer import Writer, writing

EXAMPLES = 5  # of names that a pattern explains
UNCUT = "clips without frames per second, which were not cut into windows (--fps says the rate)"  # a note
MAX_KINDS = 64  # stores that a shard may have open at a time


def shard(paths: Sequence[str], options: Options, folder: str | os.PathLike) -> Path:
    """Turn some files into a shard: a pure function of its arguments and the files, for processes or Ray.

    Args:
        paths: files, relative to ``options.root``.
        options: how to read them.
        folder: where to write; it appears whole (``summary.json``, and a store for each kind) or not at all.

    Returns:
        ``folder``.

    Raises:
        InputError: the folder cannot be written; bad files stand in the summary instead.
    """
    notes = Notes()
    with writing(folder), files.atomic_folder(folder) as partial:
        clips = ((options.named(path), clip) for path in paths for clip in _clips(path, options, notes))
        layouts = write(clips, partial, notes)
        notes.film = None
        summary = {"layouts": layouts, **dataclasses.asdict(notes)}
        (partial / "summary.json").write_text(json.dumps(summary), encoding="ascii")
    return Path(folder)


@dataclass
class Notes:
    """What a shard has to tell beside its clips; plain containers only."""

    skipped: list[dict[str, str]] = field(default_factory=list)
    maps: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the layout that was mapped
    splits: list[list[Any]] = field(default_factory=list)  # [data sets, carried splits], distinct
    described: list[list[str]] = field(default_factory=list)  # [file, split, how it is described in words]
    carried: dict[str, int] = field(default_factory=dict)  # which of these a file has
    rows: list[list[Any]] = field(default_factory=list)  # [line of the label table, file that it names]
    unlabelled: list[list[str]] = field(default_factory=list)  # [clip, file] that table, folder or pattern leave out
    examples: list[list[str]] = field(default_factory=list)  # [clip, file, what the pattern says of it]
    matched: int = 0  # clips that fit the pattern
    others: dict[str, int] = field(default_factory=dict)  # clips (files) of kinds (formats) that were not asked for
    measured: list[Any] = field(default_factory=list)  # the body of the clip under way, until it is stored
    joints: dict[str, list[int]] = field(default_factory=dict)  # 2 or 3 (-D) -> how many have a place; but only that
    film: video.Film | None = None  # of the recording under way, until its clips are stored
    mended: dict[str, dict[str, int]] = field(default_factory=dict)  # what the motions of each file tell, how often

    def skip(self, file: str, reason: str) -> None:
        self.skipped.append({"file": file, "reason": reason})

    def mend(self, file: str, counts: Mapping[str, int]) -> None:
        """What was mended in a recording of a file."""
        for words, count in counts.items():
            files = self.mended.setdefault(words, {})
            files[file] = files.get(file, 0) + count

    def match(self, clip: Motion, file: str, values: Mapping[str, Any]) -> None:
        """What a pattern made of a clip's name."""
        self.matched += 1
        if len(self.examples) < EXAMPLES:
            said = ", ".join(f"{name} {value}" for name, value in values.items())
            self.examples.append([clip.source, file, said])


def _clips(path: str, options: Options, notes: Notes) -> Iterator[Motion]:
    """The clips of a file, ready to be stored: read, label, map, normalise, one clip after the other."""
    kept = 0
    named = options.named(path)
    try:
        clips = _cleaned(_told(_read(path, options, notes), options), named, options, notes)
        clips = _windowed(_label(clips, path, options, notes), named, options, notes)
        for clip in ready(clips, options, notes):
            kept += 1
            yield clip
    except Exception as error:  # whatever is wrong with one file, the others go on
        notes.skip(named, _reason(error, named, options) + (f" ({kept} clips before it kept)" if kept else ""))
        notes.rows += [[row.line, named] for row in tables.of(options.label_rows or {}, named, named)]


def ready(clips: Iterable[Motion], options: Options, notes: Notes) -> Iterator[Motion]:
    """Clips as they are stored: mapped, somebody in them, normalised; one that cannot be is skipped and noted."""
    for change in (_mapped, _sure, _peopled, _normalised):
        clips = _each(change, clips, options, notes)
    yield from clips


def _filmed(path: str, track: video.Pair, options: Options, notes: Notes) -> Iterator[Motion]:
    """The poses of a video, whose pictures are noted."""
    try:
        motion, notes.film = video.filmed(
            options.root / path, track, options.format, options.reader, options.picture_side
        )
    except InputError as error:
        where = str(error.where).replace(f"{Path(track[0]).parent}{os.sep}", "")
        raise InputError(where, error.found, error.expected, error.hint) from None
    notes.mend(path, motion.notes)
    yield motion.with_(source=path)


def _read(path: str, options: Options, notes: Notes) -> Iterator[Motion]:
    """The recordings of a file under names that hold in the whole folder; notes the splits that come with them."""
    if options.pairs is not None:
        yield from _filmed(path, options.pairs[path], options, notes)
        return
    file = options.root / path
    folder = path[: path.rfind("/") + 1]
    format = options.format or io.detect(file)
    if options.only in io.readers() and options.only != format:
        notes.others[format] = notes.others.get(format, 0) + 1
        return
    datasets: set[str] = set()
    empty = True
    for motion in io.read_each(file, format, options.reader):
        empty = False
        if isinstance(motion, InputError):
            source = folder + motion.where
            notes.skip(source, _reason(motion, motion.where, options))
            notes.rows += [
                [row.line, options.named(path)]
                for row in tables.of(options.label_rows or {}, source, options.named(path))
            ]
            continue
        if options.only is not None and not kinds.fits(options.only, format, motion.layout, motion.coords):
            kind = f"{motion.coords}d-{kinds.called(motion.layout)}"
            notes.others[kind] = notes.others.get(kind, 0) + 1
            continue
        notes.mend(options.named(path), motion.notes)
        if motion.extra.get("dataset") is not None:
            datasets.add(str(motion.extra["dataset"]))
        yield motion.with_(source=folder + motion.source) if folder else motion
    if empty:
        notes.skip(options.named(path), "it holds no clip")
    carried = [sorted(datasets), io.carried_splits(file, format)]
    described = io.described_splits(file, format)
    notes.described += [[options.named(path), name, words] for name, words in described.items()]
    if carried not in notes.splits:
        notes.splits.append(carried)
    notes.carried[options.named(path)] = notes.splits.index(carried)


def recorded(motions: Iterable[Motion], options: Options, notes: Notes) -> Iterator[tuple[str, Motion]]:
    """The clips that are made of motions in memory, each beside the name of its motion: cleaned, cut into windows,
    ready to be stored.
    """
    for motion in motions:
        clips = _cleaned(_told([motion], options), motion.source, options, notes)
        for clip in ready(_windowed(clips, motion.source, options, notes), options, notes):
            yield motion.source, clip


def _told(recordings: Iterable[Motion], options: Options) -> Iterator[Motion]:
    """The recordings with the rate that the user says where they have none, and the names that windows need."""
    for motion in recordings:
        rate = motion.fps or options.fps
        own = {} if options.window is None else {"recording": motion.source}
        yield motion.with_(fps=rate, extra={**own, **motion.extra})


def _cleaned(recordings: Iterable[Motion], file: str, options: Options, notes: Notes) -> Iterator[Motion]:
    """The recordings without noise and short gaps, if that was asked for; before labels cut them, as filters need."""
    if options.clean is None:
        yield from recordings
        return
    for motion in recordings:
        try:
            cleaned = clean.timeless(motion.with_(notes={}), options.clean)
        except InputError as error:
            notes.skip(motion.source, _reason(error, motion.source, options))
            continue
        notes.mend(file, cleaned.notes)
        yield cleaned


def _windowed(clips: Iterable[Motion], file: str, options: Options, notes: Notes) -> Iterator[Motion]:
    """The windows of each clip, if that was asked for; the last one ends with it, and a shorter clip stays whole.

    A window is called ``RECORDING:START-END``, as what labels cut, and has the columns ``recording``, ``window``,
    ``start`` and ``end``.
    """
    for clip in clips:
        width = None if clip.fps is None else windows.asked("--window", options.window, clip.fps, clip.source)
        if options.window is not None and width is None:
            notes.mend(file, {UNCUT: 1})
        if width is None:
            yield clip
            continue
        step = windows.asked("--step", options.step, clip.fps, clip.source) or max(1, width // 2)
        spans = windows.cut(len(clip), width, step).tolist()
        began = clip.extra.get("start") or 0
        name = clip.source.removesuffix(f":{clip.extra.get('start')}-{clip.extra.get('end')}")
        for k, (start, end) in enumerate(spans):
            columns = {"start": began + start, "end": began + end, "window": k}
            part = clip.slice(start, end).with_(extra={**clip.extra, **columns})
            yield part if len(spans) == 1 else part.with_(source=f"{name}:{began + start}-{began + end}")


def _label(recordings: Iterable[Motion], path: str, options: Options, notes: Notes) -> Iterator[Motion]:
    """The clips that the labels make of each recording: one or, where they cut it, several."""
    where = folder(path, options) if options.labels == "folder" else ""
    table = options.label_rows
    for motion in recordings:
        if where:
            yield motion.with_(label=where)
            continue
        if options.pattern is not None:
            yield _by_name(motion, path, options, notes)
            continue
        rows = tables.of(table, motion.source, options.named(path)) if table is not None else []
        if not rows:
            if table is not None or options.labels == "folder":
                notes.unlabelled.append([motion.source, options.named(path)])
            yield motion
        for clip, row, reason in tables.cut(motion, rows):
            notes.rows.append([row.line, options.named(path)])
            if clip is None:
                notes.skip(f"{Path(str(options.labels)).name}, line {row.line}", reason)
            else:
                yield clip


def _by_name(motion: Motion, path: str, options: Options, notes: Notes) -> Motion:
    """A recording with what its name says by the pattern."""
    place = options.root / path
    recording = motion.extra.get("recording") if place.is_dir() else None
    names = name_pattern.names(motion.source, options.named(path), recording, place.is_dir())
    values = options.pattern.match(names) if options.pattern else None
    if values is None:
        notes.unlabelled.append([motion.source, options.named(path)])
        return motion
    notes.match(motion, options.named(path), values)
    return tables.described(motion, values, motion.source)


def folder(path: str, options: Options) -> str:
    """The folder that a unit lies in, as its label; empty where there is none below the prepared folder.

    A folder that holds several recordings is their folder; one with a single recording of several files stands for
    it, as a file would, so that the folder above decides, if there is one.
    """
    place = PurePosixPath(path)
    takes = io.takes(options.root / path, options.format)
    if takes and place.parent.name == "":
        return place.name
    if takes > 1 or (takes and any(map(_known, _others(options.root / path, options)))):
        return place.name
    return place.parent.name


def _others(folder: Path, options: Options) -> Iterator[Path]:
    return (unit for unit in io.sources(folder, options.format) if unit != folder)


def _known(path: Path) -> bool:
    """Whether a file or folder is of a known format."""
    with contextlib.suppress(InputError):
        return bool(io.detect(path))
    return False


Change = Callable[[Motion, Options, Notes], Motion]


def _each(change: Change, clips: Iterable[Motion], options: Options, notes: Notes) -> Iterator[Motion]:
    """The clips after a change; one that it refuses is skipped."""
    for clip in clips:
        try:
            changed = change(clip, options, notes)
        except InputError as error:
            notes.skip(clip.source, _reason(error, clip.source, options))
        else:
            yield changed


def _mapped(clip: Motion, options: Options, notes: Notes) -> Motion:
    """The clip in the layout that was asked for."""
    target = options.target
    if target is None or clip.layout == target:
        return clip
    made = _map(clip.layout, target, json.dumps(options.table))
    if len(made.missing) == len(target):
        raise InputError(
            clip.source,
            f"none of its joints ({', '.join(clip.layout.joints)[:300]}) is one of layout {target.name}",
            f"some of {', '.join(target.joints)[:300]}",
            "Name them in a map file (--map)",
        )
    notes.maps.setdefault(
        json.dumps([clip.layout.joints, clip.coords]),
        {
            "source": _words(clip.layout),
            "target": _words(target),
            "joints": len(target),
            "coords": clip.coords,
            "missing": list(made.missing),
            "virtual": dict(made.virtual),
            "unused": list(made.unused),
        },
    )
    return clip.to_layout(made)


def _words(layout: Layout) -> str:
    return layout.name if layout.name != "free" else f"free ({len(layout)} joints)"


def _sure(clip: Motion, options: Options, notes: Notes) -> Motion:
    """The clip, with or without what its source places but does not vouch for."""
    counts = notes.joints.setdefault(str(clip.coords), [0, 0])
    counts[0] += int((clip.confidence > 0).sum())
    counts[1] += int(((clip.confidence > 0) & (clip.confidence <= UNSURE)).sum())
    return clip.without_unsure() if options.unsure == "drop" else clip


def _peopled(clip: Motion, options: Options, notes: Notes) -> Motion:
    """The clip, if somebody is seen in it: labels may cut out, and a layout leave, nothing of anybody."""
    if (fault := io.nobody(clip)) is not None:
        raise fault
    return clip


def _normalised(clip: Motion, options: Options, notes: Notes) -> Motion:
    """The clip in metres where its unit is a length, normalised; notes what its body says of unit and axes."""
    body = Body.of(clip) if clip.coords == 3 else None
    clip = norms.apply(size.metric(clip), options.normalisation(clip.layout, clip.coords))
    notes.measured = [clip.up, *body] if body is not None and clip.coords == 3 else []
    return clip


def write(clips: Iterable[tuple[str, Motion]], folder: Path, notes: Notes) -> list[dict[str, Any]]:
    """Store the clips (with their files), each kind in a store of its own; facts on each, in the order of the stores.

    Raises:
        InputError: more kinds than stores can be open.
    """
    found: dict[tuple[Layout, int], tuple[Writer, dict[str, Any]]] = {}
    with contextlib.ExitStack() as stack:
        for path, clip in clips:
            kind = (clip.layout, clip.coords)
            if kind not in found:
                if len(found) == MAX_KINDS:
                    raise InputError(path, f"a layout after {MAX_KINDS} others", hint="Map all to one with --layout")
                place = folder / kinds.store(len(found))
                new = {"layout": clip.layout.as_dict(), "coords": clip.coords, "first": path, "persons": 0, "clips": 0}
                writer = stack.enter_context(Writer(place, clip.layout, coords=clip.coords))
                found[kind] = writer, {**new, "sources": [], "axes": [], "bodies": []}
            writer, facts = found[kind]
            try:
                writer.add(clip, path, notes.film.pictures(clip) if notes.film else None)
            except InputError as error:
                if notes.film is None or notes.film.fault is None:
                    raise
                notes.skip(clip.source, str(error).removeprefix(f"{notes.film.video.path}: "))
                notes.film.fault, notes.measured = None, []
                if not facts["clips"]:
                    writer.discard()
                    del found[kind]
                continue
            facts["clips"] += 1
            facts["persons"] = max(facts["persons"], clip.persons)
            facts["sources"] += [path] if facts["sources"][-1:] != [path] else []
            facts["axes"] += [[clip.up, clip.unit]] if [clip.up, clip.unit] not in facts["axes"] else []
            facts["bodies"] += [notes.measured] if notes.measured else []
            notes.measured = []
    return [facts for _, facts in found.values()]


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
