"""A folder of raw files becomes a store: read, cut, mapped, normalised, in parallel, restarted where it was killed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: two calls for one store at a time are not noticed
    fcntl = None  # type: ignore[assignment]

from ..motion import clean as cleaning
from ..motion import layout as skeleton
from ..motion import normalise as norms
from ..motion.clean import Cleaning
from ..motion.layout import Layout
from ..utils import files, ray_cluster, settings
from ..utils.errors import InputError
from . import benchmark, conform, kinds, store_writer, video, workers
from . import labels as tables
from . import store as stores
from .conform import Body
from .name_pattern import EXPECTED, is_pattern
from .pictures import SIDE
from .plan import Plan, make
from .report import Report, counted, notes, report, some
from .shards import EXAMPLES
from .store import Store
from .store_writer import Writer, writing

__all__ = ["Report", "counted", "prepare", "prepare_each", "report"]

OURS = re.compile(r"lock|plan\.json|store|shard-.*|\..*\.tmp")  # what may stand in a folder of work
Progress = Callable[[int, int, str], None]
Make = Callable[[Plan], Generator[int, None, None]]  # all shards, as workers.make does


def prepare(
    src: str | os.PathLike,
    dest: str | os.PathLike,
    format: str | None = None,
    normalise: str | None = None,
    labels: str | os.PathLike | None = None,
    layout: str | Layout | None = None,
    table: Mapping[str, Any] | str | os.PathLike | None = None,
    jobs: int = 1,
    faithful: bool = False,
    progress: Progress | None = None,
    only: str | None = None,
    unit: str | float | None = None,
    up: str | None = None,
    reading: Mapping[str, str] | None = None,
    unsure: str = "keep",
    poses: str | os.PathLike | None = None,
    picture_side: int = SIDE,
    clean: Mapping[str, Any] | Cleaning | bool | None = None,
    window: float | None = None,
    step: float | None = None,
    fps: float | None = None,
    ray: str | None = None,
) -> Store:
    """Turn a folder of motion files (or one file) into a store.

    Files are taken in the order of their names; the result does not depend on ``jobs``. A file or clip that cannot be
    used is skipped with the reason (``skipped.jsonl`` in the store), never fatal, never silent; hidden files are
    passed over. Lengths in space are stored in metres, bodies in one size, and the report says how. Work goes on in
    ``DEST.partial``: called again after it was killed, with the same arguments and files, it takes up what was done
    there and ends with the same bytes. A
    finished store of the same arguments and files is opened as it is; nothing is ever overwritten.

    Args:
        src: folder, searched with all folders in it, or file.
        dest: the store's folder.
        format: take every file as this format; by default each is recognised.
        normalise: ``none``, ``general``, ``ntu``, ``image`` (:mod:`kineme.motion.normalise`); by default what suits the
            layout.
        labels: a ``.csv`` or ``.tsv`` file (:mod:`kineme.data.labels`): one row for each clip with ``file`` (or
            ``source``, ``id``),
            ``label``, ``subject``, ``camera`` and any further column; rows with ``start`` and ``end`` cut the
            frames ``start .. end - 1`` out of a recording. Or the word ``folder``: a clip's label is the name of the
            folder that its file lies in. Or a pattern such as ``S{subject}_{label}_{repetition}``
            (:mod:`kineme.data.name_pattern`), which says what the names of the files are made of; with ``/`` it takes
            in folders. Or a benchmark by its name (:mod:`kineme.data.benchmark`), whose table is then written beside
            ``dest``. Or the path of label files as they belong to a format (PKU-MMD).
        layout: map every clip to this layout (a known one by its name), by joint name.
        table: joints that the names do not tell, target joint -> source joint or joints, or a TOML or JSON file of it.
        jobs: processes. In a script of your own more than one needs the guard ``if __name__ == "__main__":``.
        faithful: read as the released code of the publications does, quirks included.
        progress: called with files done, files in all, and a note.
        only: ``2d``, ``3d``, a format, or a layout that files bring along: take clips of this kind and leave others.
        unit: what lengths in space are in, whatever the files say: ``cm``, ``inches``, how many metres one is; or
            ``torso``: every body is scaled by its torso. A column ``unit`` of the labels goes before it. By default
            what files state or the torso tells (:mod:`kineme.motion.size`).
        up: the axis that points up, e.g. ``+z``, whatever the files say; a column ``up`` of the labels goes before it.
        reading: what files of some formats do not say, by name (:func:`kineme.io.settings`):
            ``{"keypoints": "body25b", "landmarks": "world", "images": "photos"}``.
        unsure: joints that their source places but does not vouch for (inferred by the sensor, score 0): ``keep`` them
            with a confidence of 2^-10, or ``drop`` them, so that they are missing like those without a place.
        poses: of videos (``src`` is their folder, or one): folder or file of pose tracks, which are found by name. The
            store then holds the pictures as well (:mod:`kineme.data.video`), and poses stay where they are in them.
            Where ``src`` is a list, CSV with columns ``video`` and perhaps ``label``, ``split``, ``poses`` and any
            further one, tracks are what it names, or lie here or beside the videos.
        picture_side: pixels of the short side to which their pictures are scaled down.
        clean: settings of :class:`kineme.motion.clean.Cleaning` by name, or True for its defaults: recordings are
            cleaned before labels cut them, and so is whatever a run on this store embeds. By default nothing is.
        window, step: seconds: clips become windows of this length, one every ``step`` (half a window), the last one
            ending with its clip; a shorter clip stays whole. Labels and all columns are those of the clip; columns
            ``recording``, ``start``, ``end`` (frames) and ``window`` say which part of what it is, and splits at random
            keep a recording on one side.
        fps: frames per second of recordings that do not say.
        ray: files are read by the workers of a Ray cluster (extra ``cluster``), which see ``src`` and ``dest`` under
            the same paths: ``local`` starts one on this machine, ``auto`` or ``HOST:PORT`` joins one. ``jobs`` above 1
            are then workers at most.

    Returns:
        the store, open; :func:`report` says what came of it.

    Raises:
        InputError: nothing readable, several kinds (:func:`prepare_each` takes these), a wrong argument, ``dest`` is
            something else, no room on the disk (what was done is kept for the next call).

    Examples:
        >>> made = kineme.prepare(kineme.synth.write("raw", 6), "prepared")
        >>> len(made)
        6
    """
    made = prepare_each(
        src,
        dest,
        format,
        normalise,
        labels,
        layout,
        table,
        jobs,
        faithful,
        progress,
        only,
        unit,
        up,
        reading,
        unsure,
        poses,
        picture_side,
        clean,
        window,
        step,
        fps,
        ray,
        several=False,
    )
    return next(iter(made.values()))


def prepare_each(
    src: str | os.PathLike,
    dest: str | os.PathLike,
    format: str | None = None,
    normalise: str | None = None,
    labels: str | os.PathLike | None = None,
    layout: str | Layout | None = None,
    table: Mapping[str, Any] | str | os.PathLike | None = None,
    jobs: int = 1,
    faithful: bool = False,
    progress: Progress | None = None,
    only: str | None = None,
    unit: str | float | None = None,
    up: str | None = None,
    reading: Mapping[str, str] | None = None,
    unsure: str = "keep",
    poses: str | os.PathLike | None = None,
    picture_side: int = SIDE,
    clean: Mapping[str, Any] | Cleaning | bool | None = None,
    window: float | None = None,
    step: float | None = None,
    fps: float | None = None,
    ray: str | None = None,
    several: bool = True,
) -> dict[str, Store]:
    """Turn a folder of motion files of whatever kinds into a store for each kind.

    2-D and 3-D motion never mix. Layouts of one dimension are mapped to a common one, if every joint of it can be made
    from each and it keeps half of the joints; else each has a store.

    Args:
        src, format, normalise, labels, layout, table, jobs, faithful, progress, only, unit, up, reading, unsure, poses,
            picture_side, clean, window, step, fps, ray: as for
            :func:`prepare`.
        dest: the store's folder; where there are several kinds, the folder of their stores.
        several: False: several kinds are an error.

    Returns:
        the stores by name: ``{"": store}`` for one kind, which stands in ``dest`` itself; else ``2d``, ``3d``, or with
        the layout behind it (``3d-ntu25``), in folders of these names in ``dest``.

    Raises:
        InputError: as :func:`prepare`.
    """
    source = files.as_path(src, "motion files")
    if ray is not None:
        ray_cluster.check(ray)
    labels = benchmark.resolved(None if labels is None else os.fspath(labels), source, Path(os.path.abspath(dest)))
    plan = make(
        source,
        Path(os.path.abspath(dest)),
        format,
        normalise,
        labels,
        layout,
        table,
        faithful,
        only,
        unit,
        up,
        reading,
        unsure,
        poses,
        picture_side,
        cleaning.asked(clean),
        window,
        step,
        fps,
    )
    tick = progress or (lambda done, total, note: None)
    if plan.dest.exists() and (plan.dest.is_file() or any(plan.dest.iterdir())):
        done = _finished(plan)
        tick(len(plan.units), len(plan.units), "prepared already")
        return done
    make_all = functools.partial(workers.make, jobs=jobs, ray=ray)
    with _claimed(plan):
        shards = _collect(plan, make_all, tick, several)
        found = kinds.group((plan.folder(i), summary) for i, summary in enumerate(shards))
        whole = plan.partial / "store"
        if len(found) == 1:
            join(plan, found[0], shards, whole)
        else:
            _join_each(plan, found, shards, make_all, whole)
        with writing(plan.dest):
            os.replace(whole, plan.dest)
        shutil.rmtree(plan.partial, ignore_errors=True)
    return _finished(plan)


def _finished(plan: Plan) -> dict[str, Store]:
    """What stands at ``dest`` already, if it is what is wanted."""
    card = files.read_json(plan.dest / "card.json") if (plan.dest / "card.json").is_file() else {}
    facts = card if isinstance(card, dict) and card.get("kind") in ("store", stores.SEVERAL) else {}
    if (facts.get("prepared") or {}).get("key") != plan.key:
        what = "is a store of other files or options" if facts else "exists already"
        raise InputError(plan.dest, what, "a folder that does not exist yet", "Choose another name, or remove it first")
    if plan.partial.exists():  # killed between the last two steps
        with _claimed(plan):
            shutil.rmtree(plan.partial)
    names = facts["stores"] if facts["kind"] == stores.SEVERAL else [""]
    return {name: Store(plan.dest / name) for name in names}


@contextlib.contextmanager
def _claimed(plan: Plan) -> Iterator[None]:
    """The folder of work, ours alone: rid of what was interrupted, and of shards for other files or options."""
    folder, lock = plan.partial, plan.partial / "lock"
    if folder.exists() and (folder.is_file() or not all(OURS.fullmatch(entry.name) for entry in folder.iterdir())):
        raise InputError(
            folder,
            "exists, and does not come from `kineme prepare`",
            "room for unfinished work",
            "Rename it or choose another store",
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = lock.open("a")
    with handle:
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(folder, "another process is preparing this store", hint="Wait for it to end") from None
        with writing(folder):
            note = folder / "plan.json"
            same = note.exists() and note.read_text(encoding="ascii") == plan.key
            for entry in folder.iterdir():
                if entry != lock and not (same and (entry == note or entry.name.startswith("shard-"))):
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            with files.atomic(note) as temporary:
                temporary.write_text(plan.key, encoding="ascii")
        yield


def _collect(plan: Plan, make_all: Make, tick: Progress, several: bool) -> list[dict[str, Any]]:
    """Make all shards; their summaries in order."""
    summaries: list[dict[str, Any]] = [{}] * len(plan.shards)
    done = skipped = len(plan.skipped)
    total = done + sum(len(shard) for shard in plan.shards)
    met: set[str] = set()  # kinds so far
    tick(done, total, "")
    with contextlib.closing(make_all(plan)) as results:
        for i in results:
            summary = summaries[i] = json.loads((plan.folder(i) / "summary.json").read_bytes())
            done += len(plan.shards[i])
            skipped += len(summary["skipped"])
            tick(done, total, f"{skipped} skipped" if skipped else "")
            met |= {json.dumps([entry["layout"], entry["coords"]]) for entry in summary["layouts"]}
            if len(met) > 1 and not several:
                break
    found = kinds.group((plan.folder(k), summary) for k, summary in enumerate(summaries) if summary)
    if (fault := _fault(plan, found, summaries, several)) is not None:
        shutil.rmtree(plan.partial, ignore_errors=True)  # of no use to another call
        raise fault
    return summaries


def _fault(
    plan: Plan, met: Sequence[kinds.Kind], summaries: Sequence[Mapping[str, Any]], several: bool
) -> InputError | None:
    """Why no store can be made of this, if it cannot."""
    if len(met) > 1 and not several:
        shown = [f"{kind} ({kind.clips} clips so far, the first in {kind.first})" for kind in met[:8]]
        if len({kind.coords for kind in met}) > 1:
            hint = "Choose with only='3d' or only='2d', or prepare_each makes a store of each"
        else:
            known = ", ".join(skeleton.layouts())
            hint = f"Map all to one with --layout NAME ({known}), choose with only=, or prepare_each makes a store each"
        return InputError(plan.src, f"clips of {len(met)} kinds: {'; '.join(shown)}", "one layout", hint)
    if met and (plan.options.pattern is None or any(summary["matched"] for summary in summaries)):
        return None
    if met:
        names = [name for summary in summaries for name, _ in summary["unlabelled"]]
        said = f"none of {len(names)} names fits it: {some(names, 5)}"
        return InputError(f"--labels {plan.options.labels!r}", said, EXPECTED)
    others = sorted({name for summary in summaries for name in summary["others"]})
    if others:
        return InputError(
            f"--only {plan.options.only}", f"nothing of that kind in {plan.src}", f"one of {some(others)}"
        )
    first = next(item for item in (*plan.skipped, *(item for summary in summaries for item in summary["skipped"])))
    return InputError(
        plan.src, f"none of {len(plan.units)} files could be read; the first is {first['file']}: {first['reason']}"
    )


def _join_each(
    plan: Plan, found: Sequence[kinds.Kind], shards: Sequence[Mapping[str, Any]], make_all: Make, whole: Path
) -> None:
    """A folder of stores, one for each kind; layouts of one dimension become one where there is a common layout."""
    joined: list[tuple[kinds.Kind, Sequence[Mapping[str, Any]]]] = []
    for coords in sorted({kind.coords for kind in found}):
        same = [kind for kind in found if kind.coords == coords]
        target = kinds.common(same) if len(same) > 1 else None
        if target is None:
            joined += [(kind, shards) for kind in same]
            continue
        options = dataclasses.replace(plan.options, layout=kinds.option(target), only=plan.options.only or f"{coords}d")
        again = dataclasses.replace(plan, options=options)
        mapped = _collect(again, make_all, lambda done, total, note: None, True)
        made = kinds.group((again.folder(i), summary) for i, summary in enumerate(mapped))
        joined += [(kind, mapped) for kind in made if kind.coords == coords]
    names = kinds.folders([kind for kind, _ in joined])
    with writing(whole):
        whole.mkdir()
    for name, (kind, summaries) in zip(names, joined):
        beside = [
            f"{counted(other.clips, 'clip')} of another kind ({other}) in {other_name}"
            for other_name, (other, _) in zip(names, joined)
            if other_name != name
        ]
        join(plan, kind, summaries, whole / name, beside)
    card = {"kind": stores.SEVERAL, "stores": names, "prepared": {"key": plan.key, "source": plan.src.name}}
    files.write_json(whole / "card.json", card)


def join(
    plan: Plan,
    kind: kinds.Kind,
    summaries: Sequence[Mapping[str, Any]],
    folder: Path,
    beside: Sequence[str] = (),
) -> None:
    """The clips of a kind as one store; ``beside``: notes on other kinds."""
    how = plan.options.normalisation(kind.layout, kind.coords)
    table = plan.options.label_table
    splits: list[Any] = []
    for summary in summaries:
        used = sorted({k for path, k in summary["carried"].items() if path in kind.sources})
        splits += [part for part in (summary["splits"][k] for k in used) if part not in splits]
    if plan.options.pairs is not None and table is not None:
        said = [row.values.get("split") for rows in tables.read(table).values() for row in rows]
        splits.append([[], video.split_rules(said)])
    maps = {name: made for summary in summaries for name, made in summary["maps"].items()}
    asked = {name: value for name, value in plan.options.said().items() if name not in ("root", "pairs")}
    if plan.options.pairs is None:
        del asked["picture_side"]
    if not is_pattern(plan.options.labels):
        asked["labels"] = plan.options.labels and Path(plan.options.labels).name
    examples = [
        [name, said] for summary in summaries for name, file, said in summary["examples"] if file in kind.sources
    ]
    settled, unit, sizes = None, plan.options.unit, list[str]()
    if kind.bodies:
        ups, bodies = [up for up, *_ in kind.bodies], [Body(*body) for _, *body in kind.bodies]
        settled = conform.settle(bodies, ups, unit == "torso", how != "none", unit is not None)
        sizes = settled.notes
    elif unit is not None:
        sizes = [f"--unit {unit} says what lengths in space are in: to motion in the image it does nothing"]
    card: dict[str, Any] = {
        "prepared": {"key": plan.key, "source": plan.src.name, **asked},
        "map": [made for made in maps.values() if made["coords"] == kind.coords],
        "notes": [*beside, *plan.notes, *notes(plan, kind, summaries), *sizes],
        **({"examples": examples[:EXAMPLES]} if examples else {}),
    }
    if settled:
        card["size"] = settled.size
    before: dict[str, Any] = {"unsure": "drop"} if plan.options.unsure == "drop" else {}
    if plan.options.clean is not None:
        before["clean"] = settings.as_dict(plan.options.clean)
    with Writer(
        folder,
        kind.layout,
        max(2 if how == "ntu" else 1, kind.persons),
        kind.coords,
        normalise=norms.describe(how, kind.layout, kind.coords) | before,
        splits=store_writer.merge_splits(splits),
        card=card,
    ) as writer:
        done = 0
        for place in kind.parts:
            done += len(part := Store(place))
            writer.extend(part, **(settled.of(done - len(part), done) if settled else {}))
        for item in (*plan.skipped, *(item for summary in summaries for item in summary["skipped"])):
            writer.skip(item["file"], item["reason"])
        if table is not None:
            met = {line for summary in summaries for line, _ in summary["rows"]}
            for row in sorted((row for rows in tables.read(table).values() for row in rows), key=lambda row: row.line):
                if row.line not in met:
                    reason = row.fault or tables.unknown(row, plan.units)
                    writer.skip(f"{table.name}, line {row.line}", reason)
