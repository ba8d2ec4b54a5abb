"""A store, or a folder of motion files, becomes an index: a vector for each clip and for windows of long recordings."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from .. import __version__
from ..data.report import counted, report, some
from ..data.store import Store, opened
from ..motion import windows
from ..training import bundled
from ..utils import files
from ..utils.errors import InputError
from ..utils.progress import Bar, Show
from ..views.source import ClipLoader
from . import approximate, embed, index_files
from .index import Index, create
from .model import Model, load
from .taken import OtherKind

T = TypeVar("T")
SECONDS, STEP = 2.0, 0.5  # of windows
LONG = 2  # recordings of more than so many windows' length are cut into windows
BATCH = 256
Source = Store | str | os.PathLike


def write(
    data: Source,
    run: Model | str | os.PathLike,
    out: str | os.PathLike,
    *,
    window: float | None = SECONDS,
    step: float = STEP,
    kind: str = "exact",
    progress: Show = False,
    **asked: Any,
) -> Index:
    """Index a store in a new folder, which appears whole or not at all.

    A clip has the vector that :meth:`kineme.Model.embed` gives. A recording of more than two windows' length also has
    one for each window, cut from it as it was prepared.

    Args:
        data: a store, its folder, or motion files, which are first prepared as the run's own data were, into
            ``OUT/store``.
        run: an opened run, its folder, or the name of weights that come along (``base``).
        out: the folder.
        window: seconds of a window; None: whole clips only. Clips without a frame rate are not cut.
        step: seconds from one window to the next.
        kind: how it is searched: ``exact``, or by an approximate index of ``hnsw`` or ``ivf``
            (:meth:`kineme.inference.index.Index.approximate`).
        progress: show a bar.
        asked: what else :func:`kineme.data.prepare.prepare` takes of raw motion.

    Raises:
        InputError: the folder exists, nothing readable, clips that the run cannot take, a window or step that is not
            above 0.

    Examples:
        >>> index = kineme.index(store, run, "written-index")
        >>> len(index) == len(store), index.ids() == store.ids
        (True, True)
    """
    out, model = Path(out), load(run)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        hint = f"Name another with --out, or add to it: kineme index STORE --out {out} --add"
        raise InputError(out, "the folder exists", "a new folder", hint)
    for name, value in (("--window", window), ("--step", step)):
        if value is not None and not (isinstance(value, (int, float)) and 0 < value < float("inf")):
            raise InputError(name, repr(value), "seconds above 0")
    if kind != "exact":
        approximate.faiss(f"--kind {kind}")
    with files.atomic_folder(out) as folder:
        store = embed.prepared(model, data, folder / "store", asked, progress)
        cut = None if window is None else {"seconds": float(window), "step": float(step)}
        about = {"name": _name(model), "path": _run_place(model, out), "weights": model.hash}
        index = create(folder, model.dim, about, cut)
        _fill(index, model, store, _place(store, folder, out), progress)
        if kind != "exact":
            index.approximate(kind)
    return Index(out)


def add(index: Index, data: Source, run: Model | str | os.PathLike | None = None, progress: Show = False) -> None:
    """Add the clips of a store, embedded and cut as the index' own.

    Args:
        index: the index.
        data: a store, or its folder.
        run: where the run is, if it is not where it was.
        progress: show a bar.

    Raises:
        InputError: another run, clips that it cannot take, ids that are there already.

    Examples:
        >>> index = kineme.index(store, run, "grown-index")
        >>> index.remove([store.ids[0], store.ids[1]])
        2
        >>> len(index) == len(store) - 2
        True
    """
    store = opened(data)
    _fill(index, run_of(index, run), store, _place(store, index.path, index.path), progress)


def run_of(index: Index, run: Model | str | os.PathLike | None = None, device: str | None = None) -> Model:
    """The run that an index was made with.

    Raises:
        InputError: it is not where it was, or another.
    """
    said = index.card["run"]
    if run is None and said["path"] in bundled.names():
        run = said["path"]
    elif run is None:
        run = Path(os.path.normpath(index.path / said["path"]))
        if not (run / "card.json").is_file():
            found = f"made with the run {said['name']}, which is not at {run}"
            raise InputError(index.path, found, "its run", "Say where it is with --run")
    model = load(run, device)
    if model.hash != said["weights"]:
        raise InputError(
            index.path,
            f"an index made with another run ({said['name']}, weights {said['weights'][:12]}) than "
            f"{_name(model)} (weights {model.hash[:12]})",
            "the run that it was made with",
            "Make a new index with kineme index",
        )
    return model


def store_of(index: Index, number: int, place: str | os.PathLike | None = None) -> Store:
    """A store that an index was made of.

    Args:
        index: the index.
        number: which, as entries say.
        place: where it is, if not where it was.

    Raises:
        InputError: it is not there, or not the same any more.
    """
    said = index.card["stores"][number]
    path = Path(os.path.normpath(index.path / said["path"])) if place is None else Path(place)
    if not (path / "card.json").is_file():
        raise InputError(index.path, f"made of the store {path}, which is not there", "its store, for this")
    store = Store(path)
    if store.hash != said["hash"]:
        found = f"made of another store than what is now at {path} (its content has changed)"
        raise InputError(index.path, found, "the store that it was made of", "Make the index again with kineme index")
    return store


def by_default(make: Callable[[str], T]) -> T:
    """What is made of data by the weights that come along: those for 3-D, or those for 2-D where all data are 2-D.

    Args:
        make: what makes it, given the name of the weights.
    """
    try:
        return make(bundled.suited(3) or "base")
    except OtherKind as error:
        name = bundled.suited(error.coords)
        if name is None:
            raise
        warnings.warn(f"{error.where}: all in {error.coords}-D, so by the weights {name}", stacklevel=2)
        return make(name)


def of_folder(
    folder: str | os.PathLike,
    run: Model | str | os.PathLike | None = None,
    cache: str | os.PathLike | None = None,
    progress: Show = False,
    **asked: Any,
) -> Index:
    """The index of a plain folder of motion files: made once, kept beside it, made again when files change.

    It stands in ``.FOLDER.kineme`` beside the folder, one for each run, with the store that it was made of. A file
    counts as changed by its name, size or time.

    Args:
        folder: motion files, or one file of many clips.
        run: the run, by default the weights that come along (:func:`by_default`).
        cache: another place to keep it.
        progress: show bars.
        asked: what else :func:`kineme.data.prepare.prepare` takes.

    Raises:
        InputError: an empty folder, nothing readable, a place that cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    kept = folder.parent / f".{folder.name}.kineme" if cache is None else Path(cache)
    if run is None:
        state = _state(folder, asked)[:12]
        there = (kept / f"{load(name).hash[:12]}-{state}" / "index" for name in bundled.names())
        if (made := next((place for place in there if (place / "card.json").is_file()), None)) is not None:
            return Index(made)
        return by_default(lambda name: of_folder(folder, name, cache, progress, **asked))
    model = load(run)
    place = kept / f"{model.hash[:12]}-{_state(folder, asked)[:12]}"
    if not (place / "index" / "card.json").is_file():
        try:
            with files.locked(kept, "another process is indexing this folder", "Try again when it has finished"):
                for old in kept.glob(f"{model.hash[:12]}-*"):
                    if old != place:
                        shutil.rmtree(old, ignore_errors=True)
                # what was prepared outlives Ctrl-C
                store = embed.prepared(model, folder, place / "store", asked, progress)
                _tell(store, model)
                return write(store, model, place / "index", progress=progress)
        except PermissionError as error:
            hint = "Say another place with --cache"
            raise InputError(kept, f"not writable ({error.strerror})", "a place to keep the index", hint) from None
    return Index(place / "index")


def _tell(store: Store, model: Model) -> None:
    """Say what was left out and what was guessed while a folder was prepared."""
    said, own = report(store), f"left out by --only {model.card['coords']}d"
    if said.skipped:
        listed = some([f"{file} ({textwrap.shorten(why, 90, placeholder=' ...')})" for file, why in said.skipped], 3)
        warnings.warn(f"left out, {counted(len(said.skipped), 'file')}: {listed}", stacklevel=3)
    for note in said.notes:
        if note.startswith("clips last from"):  # long ones are cut into windows here
            continue
        warnings.warn(note.replace(own, f"left out, since the run takes {model.card['coords']}-D"), stacklevel=3)
    if timeless := int(np.isnan(store.numbers("fps")).sum()):
        warnings.warn(f"{counted(timeless, 'clip')} without frames per second: searched as a whole only", stacklevel=3)


def _state(folder: Path, asked: Any) -> str:
    """Digest of names, sizes and times of all files in a folder, hidden ones aside, and of what is said of them."""
    found = [folder] if folder.is_file() else []
    for root, names, members in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        found += [Path(root) / name for name in sorted(members) if not name.startswith(".")]
    if not found:
        what = "an empty folder" if folder.is_dir() else "no such file or folder"
        raise InputError(folder, what, "a folder of motion files, or an index")
    digest = hashlib.sha256(json.dumps([__version__, index_files.FORMAT, str(asked)]).encode())
    for path in found:
        try:
            facts = path.stat()
        except OSError:  # a link to nowhere
            continue
        digest.update(f"\n{path.relative_to(folder.parent)} {facts.st_size} {facts.st_mtime_ns}".encode())
    return digest.hexdigest()


def _fill(index: Index, model: Model, store: Store, place: str, progress: Show) -> None:
    """Add all clips of a store and their windows."""
    spans = _spans(store, index.card["windows"])
    rows = np.repeat(np.arange(len(store)), [len(each) for each in spans])
    cut = np.concatenate([np.empty((0, 2), np.int64), *spans])
    whole = np.stack([np.zeros(len(store), np.int64), store.lengths], 1)
    is_cut = np.array([len(each) > 0 for each in spans], bool)
    every, edges = np.concatenate([np.arange(len(store)), rows]), np.concatenate([whole, cut])
    text = {name: _texts(store, name) for name in ("label", "subject", "camera")}
    entries = {
        "id": [store.ids[row] for row in every],
        "row": every,
        "start": edges[:, 0],
        "end": edges[:, 1],
        "fps": store.numbers("fps")[every],
        "whole": np.arange(len(every)) < len(store),
        "cut": is_cut[every],
        **{name: [values[row] for row in every] for name, values in text.items()},
    }

    def blocks() -> Iterator[np.ndarray]:
        yield model.embed(store, progress=progress)
        if len(rows):
            yield from segment_vectors(model, model.loader(store), rows, cut, progress)

    index.add(blocks(), entries, {"path": place, "hash": store.hash})


def segment_vectors(
    model: Model, loader: ClipLoader, rows: np.ndarray, spans: np.ndarray, progress: Show = False
) -> Iterator[np.ndarray]:
    """Vectors of segments of clips, ``[b, D]`` a batch.

    Args:
        model: the run.
        loader: clips, from :meth:`kineme.Model.loader`.
        rows: int64 ``[n]``, the clip of each segment.
        spans: int64 ``[n, 2]``, its frames, from the first up to, not including, the second.
        progress: show a bar.
    """
    with Bar("embed windows", len(rows), progress) as bar:
        for begin in range(0, len(rows), BATCH):
            yield features(model, loader, rows[begin : begin + BATCH], spans[begin : begin + BATCH])[0]
            bar.update(min(begin + BATCH, len(rows)))


@torch.inference_mode()
def features(
    model: Model, loader: ClipLoader, rows: np.ndarray, spans: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """What the encoder says of some segments, as :func:`segment_vectors` takes them, in one batch.

    Returns:
        one vector of each ``[n, D]``; one of each of its frames ``[n, T', D']``, or None where the encoder has none;
        its joints as the encoder saw them ``[n, T, M, V, C]``.
    """
    index, edges = torch.from_numpy(np.asarray(rows, np.int64)), torch.from_numpy(np.asarray(spans, np.int64))
    batch = loader.gather(index, edges[:, 0], edges[:, 1] - edges[:, 0], model.card["crop"]["frames"])
    found = model.encoder(batch)
    frame = None if found.frame is None else found.frame.float().cpu().numpy()
    return found.clip.float().cpu().numpy(), frame, batch.joints.cpu().numpy()


def _spans(store: Store, cut: dict[str, float] | None) -> list[np.ndarray]:
    """Windows ``[n, 2]`` of each clip; none of short ones and of those without a rate."""
    none = np.empty((0, 2), np.int64)
    if cut is None:
        return [none] * len(store)
    found = []
    for frames, fps in zip(store.lengths.tolist(), store.numbers("fps").tolist()):
        window = 0 if fps != fps else max(1, round(cut["seconds"] * fps))
        long = window and frames > LONG * window
        found.append(windows.cut(frames, window, max(1, round(cut["step"] * fps))) if long else none)
    return found


def _texts(store: Store, name: str) -> Sequence[str | None]:
    return [None if value is None or value != value else str(value) for value in store.column(name).tolist()]


def _name(model: Model) -> str:
    return model.path.name if model.path else model.hash[:12]


def _run_place(model: Model, out: Path) -> str:
    """Where the run is, seen from the index: a name, or a path that stays right when both are moved together."""
    if model.path is None:
        return ""
    return model.path.name if bundled.is_bundled(model.path) else _relative(model.path, out)


def _place(store: Store, folder: Path, out: Path) -> str:
    return store.path.name if store.path.parent == folder else _relative(store.path, out)


def _relative(path: Path, out: Path) -> str:
    try:
        return Path(os.path.relpath(path, out)).as_posix()
    except ValueError:  # on another drive
        return str(path.resolve())
