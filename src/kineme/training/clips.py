"""Which clips a training sees: of one store or of several joined, of the training part of a split."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import conform, splits, store_writer
from ..data import store as stores
from ..data.store import Store
from ..motion.fit import Target
from ..utils import distributed
from ..utils.distributed import ProcessGroup
from ..utils.errors import InputError
from .bundled import Init


def joined(
    opened: Sequence[Store],
    run: Path,
    layout: str | None,
    here: ProcessGroup,
    card: dict[str, Any] | None,
    init: Init | None = None,
) -> Store:
    """The one store, or several joined on a layout inside the run's folder, or as the run takes them with whose weights
    this one begins; of a resumed run what its card names.
    """
    if card is not None:
        data = opened[0] if len(opened) == 1 and opened[0].hash == card["data"] else None
        return data or stores.open(run / "joined" if (run / "joined").exists() else opened[0].path)
    target = None if init is None else _target(init, opened, layout)
    if len(opened) == 1 and (layout in (None, opened[0].layout.name) if target is None else _fits(opened[0], target)):
        return opened[0]
    if here.rank == 0 and target is not None:
        store_writer.fit(opened, run / "joined", target)
        warnings.warn(_mapped(opened, target, init), stacklevel=5)
    elif here.rank == 0:
        store_writer.join(opened, run / "joined", layout)
    if here.size > 1:
        torch.distributed.barrier()
    return stores.open(run / "joined")


def _target(init: Init, opened: Sequence[Store], layout: str | None) -> Target:
    """What the run takes with whose weights this one begins.

    Raises:
        InputError: a store of another number of coordinates, or without any of its joints; another layout was asked
            for.
    """
    target = Target.of(init.card)
    if layout not in (None, target.layout.name):
        raise InputError("layout", layout, f"{target.layout.name}, which {init.name} was trained on", "Leave it out")
    for store in opened:
        if store.coords != target.coords:
            raise InputError(
                store.path,
                f"{store.coords} coordinates per joint",
                f"{target.coords}, as {init.name} was trained on",
                "Train from scratch: leave --init out",
            )
        mapping = target.map(store.layout)
        if mapping is not None and len(mapping.missing) == len(target.layout):
            raise InputError(
                store.path,
                f"none of the joints of {init.name} ({', '.join(store.layout.joints[:40])})",
                f"joints called as in layout {target.layout.name}, or by other known names",
                "Prepare it again with --joints FILE, which names them",
            )
    return target


def _fits(store: Store, target: Target) -> bool:
    """Whether a store is already as a run takes it."""
    (own, size), (wanted, other) = (
        ({name: normalise.get(name) for name in ("how", "options", "unsure")}, (size or {}).get("how"))
        for normalise, size in (
            (store.card["normalise"], conform.size_of(store)),
            (target.normalise, target.size),
        )
    )
    same = own == wanted and size == other and store.card["up"] in (target.up, None)
    return store.layout.joints == target.layout.joints and same


def _mapped(opened: Sequence[Store], target: Target, init: Init | None) -> str:
    """What became of the stores, in a sentence."""
    said = []
    for store in opened:
        mapping = target.map(store.layout)
        if mapping is None:
            continue
        missing = f", without {', '.join(mapping.missing)}" if mapping.missing else ""
        said.append(f"{store.layout.name} to {target.layout.name}, {len(mapping.unused)} unused{missing}")
    joints = f"joints {'; '.join(dict.fromkeys(said))}; " if said else ""
    scaled = ", bodies scaled by their torso" if (target.size or {}).get("how") == "torso" else ""
    names = ", ".join(str(store.path) for store in opened)
    how = target.normalise["how"]
    return f"{names}: mapped to what {init.name if init else 'it'} takes ({joints}normalised {how}{scaled})"


def check_enough(data: Store, rows: Tensor, split: str | None, unit: str, items: int) -> None:
    """Refuse what nothing can be learned from, and warn of what hardly can."""
    if items < 2:
        where = f"{data.path}, split {split}" if split else str(data.path)
        raise InputError(
            where,
            f"{items} {unit} to learn from",
            f"two {unit}s or more: an encoder learns from their differences",
            "Prepare more recordings" + (", or take another split" if split else ""),
        )
    if unit == "clip" and data.lengths[rows].max() == 1 and distributed.current().rank == 0:
        warnings.warn("every clip to learn from is a single frame: there is no movement, only poses", stacklevel=3)


def rows(data: Store, split: str | None) -> Tensor:
    """The training part of a split, the same for every seed: `random` is then the one that evaluation tests on."""
    if split is None:
        return torch.arange(len(data))
    made = splits.split(data, split)
    for note in made.notes if distributed.current().rank == 0 else ():
        warnings.warn(note, stacklevel=3)
    return torch.as_tensor(made.train)
