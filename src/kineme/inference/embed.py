"""Vectors of a store, or of motion files, written to a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data import store as stores
from ..data.prepare import prepare
from ..data.store import Store
from ..motion import layout as skeleton
from ..utils.errors import InputError
from ..utils.files import atomic, write_json
from .model import Model


def write(model: Model, data: Store | str | Path, out: str | Path, progress: bool = False) -> Path:
    """Embed a store into a folder: ``Z.npy`` float32 ``[N, D]`` (memory-mappable), ``clips.parquet`` with the ids in
    the same order, ``card.json``; of runs whose method looks at single frames also ``codes.npy`` float32 ``[F, D]``,
    one code per frame, and ``offsets.npy`` int64 ``[N + 1]``, where each clip's begin.

    Args:
        data: a store, its folder, or a file or folder of raw motion, which is first prepared as the run's own data
            were, into ``OUT/store``.

    Raises:
        InputError: the folder exists; nothing readable; clips that the run cannot take.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise InputError(out, "the folder exists", "a new folder", "Name another with --out")
    if not isinstance(data, Store):
        layout = model.layout.name if model.layout.name in skeleton.layouts() else None
        raw = not (Path(data) / "card.json").exists()
        how, unsure = model.card["normalise"]["how"], model.card["normalise"].get("unsure", "keep")
        data = prepare(data, out / "store", normalise=how, layout=layout, unsure=unsure) if raw else stores.open(data)
    features = model.embed(data, progress=progress)
    with atomic(out / "Z.npy") as temporary, open(temporary, "wb") as file:
        np.save(file, features)
    if model.card["unit"] == "frame":
        codes, offsets = model.frames(data)
        for name, array in {"codes": codes, "offsets": offsets}.items():
            with atomic(out / f"{name}.npy") as temporary, open(temporary, "wb") as file:
                np.save(file, array)
    with atomic(out / "clips.parquet") as temporary:
        temporary.write_bytes((data.path / "clips.parquet").read_bytes())
    write_json(
        out / "card.json",
        {
            "kind": "embedding",
            "clips": len(data),
            "dim": model.dim,
            "store": data.hash,
            "weights": model.hash,
            "run": str(model.path.name if model.path else ""),
            "crop": model.card["crop"],
        },
    )
    return out
