"""Which clips a training sees: of one store or of several joined, of the training part of a split."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import splits, store_writer
from ..data import store as stores
from ..data.store import Store
from ..utils import distributed
from ..utils.distributed import ProcessGroup
from ..utils.errors import InputError


def joined(
    opened: Sequence[Store], run: Path, layout: str | None, here: ProcessGroup, card: dict[str, Any] | None
) -> Store:
    """The one store, or several joined on a layout inside the run's folder; of a resumed run what its card names."""
    if card is not None:
        data = opened[0] if len(opened) == 1 and opened[0].hash == card["data"] else None
        return data or stores.open(run / "joined" if (run / "joined").exists() else opened[0].path)
    if len(opened) == 1 and layout in (None, opened[0].layout.name):
        return opened[0]
    if here.rank == 0:
        store_writer.join(opened, run / "joined", layout)
    if here.size > 1:
        torch.distributed.barrier()
    return stores.open(run / "joined")


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
