"""Vectors of a store, or of motion files, written to a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import io
from ..data import store as stores
from ..data import store_writer, video
from ..data.prepare import prepare
from ..data.report import report
from ..data.store import Store
from ..motion import places
from ..motion.joint_map import joint_map
from ..motion.motion import Motion
from ..training import bundled
from ..utils import ray_cluster
from ..utils.errors import InputError
from ..utils.files import atomic_folder, unused, write_json
from ..utils.progress import Bar, Show
from . import spread
from .model import Model, load
from .taken import OtherKind

Source = Store | str | os.PathLike


def write(
    model: Model | str | os.PathLike,
    data: Source | Sequence[Source],
    out: str | os.PathLike,
    progress: bool = False,
    *,
    layout: str | None = None,
    only: str | None = None,
    ray: str | None = None,
    **asked: Any,
) -> Path:
    """Embed a store into a folder: ``Z.npy`` float32 ``[N, D]`` (memory-mappable), ``clips.parquet`` with the ids in
    the same order, ``card.json``; of runs whose method looks at single frames also ``codes.npy`` float32 ``[F, D]``,
    one code per frame, and ``offsets.npy`` int64 ``[N + 1]``, where each clip's begin.

    The folder appears whole or not at all.

    Args:
        model: an opened run, or its folder.
        data: a store, its folder, or a file or folder of raw motion, which is first prepared as the run's own data
            were, its joints mapped by name to the run's, into ``OUT/store``; or several of these, which are joined
            there. For a run that looks at pictures also a video, a folder or a list of them, with ``poses`` or without.
            :func:`kineme.data.report.report` says what was mapped and what is missing.
        out: the folder, which does not exist yet.
        progress: show a bar.
        layout: of raw motion: the run's own, to which it is mapped anyway; another is refused.
        only: of raw motion: which kind to take; by default what has as many coordinates as the run.
        ray: by the workers of a Ray cluster (:func:`kineme.inference.spread.embed`; raw motion is prepared by them as
            well), to which everything is there under the same paths: ``local``, ``auto`` or ``HOST:PORT``.
        asked: what else :func:`kineme.data.prepare.prepare` takes of raw motion: ``labels``, ``table``, ``format``,
            ``unit``, ``up``, ``reading``, ``poses``, ``window``, ``step``, ``fps``.

    Raises:
        InputError: the folder exists; nothing readable; clips that the run cannot take. Nothing is left behind then.
    """
    out = unused(out)
    model = model if isinstance(model, Model) else load(model, None if ray is None else "cpu")
    if layout not in (None, model.layout.name):
        found = f"{layout}, but the run takes {model.layout.name} ({len(model.layout)} joints)"
        raise InputError("--layout", found, f"{model.layout.name}, or no --layout: joints are mapped by name")
    several = [data] if isinstance(data, (str, os.PathLike, Store)) else list(data)
    if not several:
        raise InputError("what to embed", "nothing", "a store, motion files, or several of these")
    if any(value is not None for value in (only, *asked.values())) and all(map(_is_store, several)):
        said = ", ".join(f"{name}={value!r}" for name, value in (("only", only), *asked.items()) if value is not None)
        raise InputError(said, "said of a store, which is prepared already", "motion files")
    with atomic_folder(out) as folder, contextlib.nullcontext() if ray is None else ray_cluster.joined(ray):
        store = _one(model, several, folder, {**asked, "only": only, **({} if ray is None else {"ray": ray})})
        if ray is None:
            vectors = model.embed(store, progress=progress)
            codes = model.frames(store) if model.card["unit"] == "frame" else None
        else:
            vectors, codes = spread.embed(model, store, ray, progress)
        np.save(folder / "Z.npy", vectors)
        if codes is not None:
            np.save(folder / "codes.npy", codes[0])
            np.save(folder / "offsets.npy", codes[1])
        shutil.copyfile(store.path / "clips.parquet", folder / "clips.parquet")
        facts = {
            "kind": "embedding",
            "clips": len(store),
            "dim": model.dim,
            "store": store.hash,
            "weights": model.hash,
            "run": str(model.path.name if model.path else ""),
            "crop": model.card["crop"],
        }
        write_json(folder / "card.json", facts)
    return out


def _one(model: Model, several: Sequence[Source], folder: Path, asked: Mapping[str, Any]) -> Store:
    """All that is to be embedded as one store, in ``folder/store`` unless it is a store already."""
    if len(several) == 1:
        return prepared(model, several[0], folder / "store", asked)
    parts = [prepared(model, each, folder / f"part-{k}", asked) for k, each in enumerate(several)]
    said = [report(part) for part in parts if part.path.parent == folder]
    notes = [note for each in said for note in each.notes]
    notes += [f"{file} was skipped: {reason}" for each in said for file, reason in each.skipped]
    joined = store_writer.join(
        parts, folder / "store", model.layout, map=[dict(made) for each in said for made in each.maps], notes=notes
    )
    for part in parts:
        if part.path.parent == folder:
            shutil.rmtree(part.path)
    return joined


def prepared(model: Model, data: Source, dest: Path, asked: Mapping[str, Any], progress: Show = False) -> Store:
    """A store as it is; motion files prepared as the run's own data were.

    Args:
        model: the run.
        data: a store, its folder, or a file or folder of motion.
        dest: where motion files are prepared.
        asked: what else :func:`kineme.data.prepare.prepare` takes of them.
        progress: show a bar.

    Raises:
        InputError: nothing readable, or nothing that the run can take.
    """
    if isinstance(data, Store) or _is_store(data):
        return stores.opened(data)
    how = model.card["normalise"]["how"]
    if model.encoder.pictures and not asked.get("poses") and video.is_any(Path(data)):
        odd = next((name for name, value in asked.items() if value is not None and name != "ray"), None)
        if odd is not None:
            raise InputError(f"{odd}={asked[odd]!r}", "said of videos without poses", "poses, or nothing of the kind")
        card = model.card
        return video.without_poses(Path(data), dest, model.layout, card["coords"], card["normalise"], card.get("up"))
    only = asked.get("only") or (None if how == "image" else f"{model.card['coords']}d")  # a camera sees both
    said = model.card["normalise"]
    same = {"only": only, "unsure": said.get("unsure", "keep"), "clean": said.get("clean")}
    how_to = {"normalise": how, "layout": model.layout, **asked, **same}

    def made(**more: Any) -> Store:
        with Bar("prepare", 0, progress) as bar:
            shown = {"progress": lambda done, total, note: bar.update(done, note, total)}
            return prepare(data, dest, **{**how_to, **shown, **more})

    try:
        return made()
    except InputError as error:
        if error.where == f"--only {only}" and not asked.get("only"):  # which nobody said
            coords = model.card["coords"]
            found = f"nothing in {coords}-D, but {error.expected.removeprefix('one of ')}"
            raise OtherKind(data, found, f"motion in {coords}-D, as the run takes it", 5 - coords) from None
        table = _by_places(model, data, asked)
        if not table:
            raise
        return made(table=table)


def _by_places(model: Model, data: str | os.PathLike, asked: Mapping[str, Any]) -> dict[str, str]:
    """For weights that come along: joint of theirs -> joint of the files by its place, if no name of the first clip is
    known.
    """
    mine = model.path is None or not bundled.is_bundled(model.path)  # who trained a run knows what its joints are
    if mine or asked.get("table") is not None or model.card["coords"] != 3:
        return {}
    format = asked.get("format")
    with contextlib.suppress(InputError):
        clips = (clip for file in io.sources(data, format) for clip in io.read_each(file, format))
        first = next((clip for clip in clips if isinstance(clip, Motion) and clip.coords == 3), None)
        if first is None or len(joint_map(first.layout, model.layout).missing) < len(model.layout):
            return {}
        if found := places.guess(first, model.layout):
            pairs = ", ".join(f"{name} = {own}" for name, own in found.items())
            warnings.warn(
                f"{data}: no joint is known by its name; told by their places in the body: {pairs}. Left and right may "
                "be exchanged; a table says otherwise (--map FILE)",
                stacklevel=2,
            )
        return found
    return {}


def _is_store(data: Source) -> bool:
    return isinstance(data, Store) or (Path(data) / "card.json").exists()
