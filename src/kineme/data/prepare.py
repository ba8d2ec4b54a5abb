"""A folder of raw files becomes a store: read, cut, mapped, normalised, in parallel, restarted where it was killed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: two calls for one store at a time are not noticed
    fcntl = None  # type: ignore[assignment]

from ..motion import layout as skeleton
from ..motion import normalise as norms
from ..utils import files, registry
from ..utils.errors import InputError
from . import labels as tables
from . import store_writer
from .name_pattern import EXPECTED, is_pattern
from .plan import Plan, make
from .report import Report, notes, report, some
from .shards import shard
from .store import Store
from .store_writer import Writer, writing

__all__ = ["Report", "prepare", "report"]

OURS = re.compile(r"lock|plan\.json|store|shard-.*|\..*\.tmp")  # what may stand in a folder of work
Progress = Callable[[int, int, str], None]


def prepare(
    src: str | os.PathLike,
    dest: str | os.PathLike,
    format: str | None = None,
    normalise: str | None = None,
    labels: str | os.PathLike | None = None,
    layout: str | None = None,
    table: Mapping[str, Any] | str | os.PathLike | None = None,
    jobs: int = 1,
    faithful: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Turn a folder of motion files (or one file) into a store.

    Files are taken in the order of their names; the result does not depend on ``jobs``. A file or clip that cannot be
    used is skipped with the reason (``skipped.jsonl`` in the store), never fatal, never silent; hidden files are
    passed over. Lengths in mm, cm or inches are stored in metres. Work goes on in ``DEST.partial``: called again after
    it was killed, with the same arguments and files, it takes up what was done there and ends with the same bytes. A
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
            in folders. Or the path of label files as they belong to a format (PKU-MMD).
        layout: map every clip to this layout, by joint name; needed where files of several layouts come together.
        table: joints that the names do not tell, target joint -> source joint or joints, or a TOML or JSON file of it.
        jobs: processes. In a script of your own more than one needs the guard ``if __name__ == "__main__":``.
        faithful: read as the released code of the publications does, quirks included.
        progress: called with files done, files in all, and a note.

    Returns:
        the store, open; :func:`report` says what came of it.

    Raises:
        InputError: nothing readable, several layouts without ``layout``, a wrong argument, ``dest`` is something else,
            no room on the disk (what was done is kept for the next call).

    Examples:
        >>> made = kineme.prepare(kineme.synth.write("raw", 6), "prepared")
        >>> len(made)
        6
    """
    labels = None if labels is None else os.fspath(labels)
    plan = make(Path(src), Path(os.path.abspath(dest)), format, normalise, labels, layout, table, faithful)
    tick = progress or (lambda done, total, note: None)
    if plan.dest.exists() and (plan.dest.is_file() or any(plan.dest.iterdir())):
        done = _finished(plan)
        tick(len(plan.units), len(plan.units), "prepared already")
        return done
    with _claimed(plan):
        summaries = _collect(plan, jobs, tick)
        _join(plan, summaries)
        with writing(plan.dest):
            os.replace(plan.partial / "store", plan.dest)
        shutil.rmtree(plan.partial, ignore_errors=True)
    return Store(plan.dest)


def _finished(plan: Plan) -> Store:
    """The store that stands at ``dest`` already, if it is the one wanted."""
    card = files.read_json(plan.dest / "card.json") if (plan.dest / "card.json").is_file() else {}
    facts = card if isinstance(card, dict) and card.get("kind") == "store" else {}
    if (facts.get("prepared") or {}).get("key") != plan.key:
        what = "is a store of other files or options" if facts else "exists already"
        raise InputError(plan.dest, what, "a folder that does not exist yet", "Choose another name, or remove it first")
    if plan.partial.exists():  # killed between the last two steps
        with _claimed(plan):
            shutil.rmtree(plan.partial)
    return Store(plan.dest)


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


def _collect(plan: Plan, jobs: int, tick: Progress) -> list[dict[str, Any]]:
    """Make all shards; their summaries in order."""
    summaries: list[dict[str, Any]] = [{}] * len(plan.shards)
    kinds: dict[str, dict[str, Any]] = {}  # layouts met so far
    done, skipped = len(plan.skipped), len(plan.skipped)
    tick(done, len(plan.units), "")
    with contextlib.closing(_run(plan, jobs)) as results:
        for i in results:
            summary = summaries[i] = json.loads((_folder(plan, i) / "summary.json").read_bytes())
            for entry in summary["layouts"]:
                kind = kinds.setdefault(json.dumps([entry["layout"], entry["coords"]]), {**entry, "clips": 0})
                kind["clips"] += entry["clips"]
            done += len(plan.shards[i])
            skipped += len(summary["skipped"])
            tick(done, len(plan.units), f"{skipped} skipped" if skipped else "")
            if len(kinds) > 1:
                break
    if len(kinds) == 1 and (plan.options.pattern is None or any(summary["matched"] for summary in summaries)):
        return summaries
    shutil.rmtree(plan.partial, ignore_errors=True)  # of no use to another call
    if len(kinds) == 1:
        names = [name for summary in summaries for name in summary["unlabelled"]]
        raise InputError(
            f"--labels {plan.options.labels!r}", f"none of {len(names)} names fits it: {some(names, 5)}", EXPECTED
        )
    if kinds:
        raise _mixed(plan.src, list(kinds.values()))
    first = next(item for item in (*plan.skipped, *(item for summary in summaries for item in summary["skipped"])))
    raise InputError(
        plan.src, f"none of {len(plan.units)} files could be read; the first is {first['file']}: {first['reason']}"
    )


def _mixed(src: Path, kinds: Sequence[Mapping[str, Any]]) -> InputError:
    shown = [
        f"{kind['layout']['name']} of {len(kind['layout']['joints'])} joints, {kind['coords']}-D "
        f"({kind['clips']} clips so far, the first in {kind['first']})"
        for kind in kinds[:8]
    ]
    if len({kind["coords"] for kind in kinds}) > 1:
        hint = "Prepare 2-D and 3-D motion apart"
    else:
        hint = f"Map all to one with --layout NAME ({', '.join(skeleton.layouts())}), or prepare the kinds apart"
    return InputError(src, f"clips of {len(kinds)} kinds: {'; '.join(shown)}", "one layout", hint)


def _folder(plan: Plan, i: int) -> Path:
    """Where a shard stands; its name tells what is in it."""
    return plan.partial / f"shard-{i:06d}-{files.sha256(json.dumps(plan.shards[i]).encode())[:8]}"


def _run(plan: Plan, jobs: int) -> Generator[int, None, None]:
    """Numbers of the shards as they are there: those of an earlier call first."""
    todo = []
    for i in range(len(plan.shards)):
        if _usable(_folder(plan, i)):
            yield i
        else:
            todo.append(i)
    if min(jobs, len(todo)) <= 1:
        for i in todo:
            shard(plan.shards[i], plan.options, _folder(plan, i))
            yield i
        return
    workers, plugins = min(jobs, len(todo)), registry.plugins("io")
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _worker, (plugins,))
    try:
        futures = {pool.submit(shard, plan.shards[i], plan.options, _folder(plan, i)): i for i in todo}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    except BrokenProcessPool:
        raise InputError(
            "--jobs",
            "a working process ended all of a sudden",
            "room in memory for one file per process",
            "Take fewer jobs; in a script of your own, call prepare under `if __name__ == '__main__':`. "
            "What was done is kept",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _usable(folder: Path) -> bool:
    """Whether a shard of an earlier call is whole; what is left of another is removed."""
    with contextlib.suppress(InputError, OSError, ValueError, KeyError):
        if not json.loads((folder / "summary.json").read_bytes())["layouts"] or Store(folder / "store"):
            return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _worker(plugins: Sequence[str]) -> None:
    """A process of the pool: Ctrl-C is its parent's business, it does not outlive its parent, and it knows the plug-ins
    of its parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for path in plugins:
        registry.add_plugin(path)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def _join(plan: Plan, summaries: Sequence[Mapping[str, Any]]) -> None:
    """All shards as one store, in ``partial``."""
    entries = [entry for summary in summaries for entry in summary["layouts"]]
    layout, coords = skeleton.from_dict(entries[0]["layout"]), entries[0]["coords"]
    how = plan.options.normalise or norms.default(layout, coords)
    persons = max(2 if how == "ntu" else 1, *(entry["persons"] for entry in entries))
    table, splits = plan.options.label_table, []
    for summary in summaries:
        splits += [part for part in summary["splits"] if part not in splits]
    maps = {name: made for summary in summaries for name, made in summary["maps"].items()}
    asked = {name: value for name, value in dataclasses.asdict(plan.options).items() if name != "root"}
    if not is_pattern(plan.options.labels):
        asked["labels"] = plan.options.labels and Path(plan.options.labels).name
    card = {
        "prepared": {"key": plan.key, "source": plan.src.name, **asked},
        "map": list(maps.values()),
        "notes": notes(plan, summaries),
    }
    with Writer(
        plan.partial / "store",
        layout,
        persons,
        coords,
        normalise=norms.describe(how, layout, coords),
        splits=store_writer.merge_splits(splits),
        card=card,
    ) as writer:
        for i, summary in enumerate(summaries):
            if summary["layouts"]:
                writer.extend(Store(_folder(plan, i) / "store"))
        for item in (*plan.skipped, *(item for summary in summaries for item in summary["skipped"])):
            writer.skip(item["file"], item["reason"])
        if table is not None:
            used = {line for summary in summaries for line, _ in summary["rows"]}
            for row in sorted((row for rows in tables.read(table).values() for row in rows), key=lambda row: row.line):
                if row.line not in used:
                    reason = row.fault or tables.unknown(row, plan.units)
                    writer.skip(f"{table.name}, line {row.line}", reason)
