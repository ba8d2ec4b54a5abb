"""Which clips a run was trained on, so that whoever scores it can tell when it has seen the test clips."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data import splits
from ..data.store import Store
from ..utils.errors import InputError
from ..utils.files import atomic
from . import card as cards

FILE = "trained_on.npy"


def marks(store: Store, rows: np.ndarray) -> np.ndarray:
    """Two numbers for each clip, uint64 ``[n, 2]``: one of its frames and confidence, one of its id and length.

    The first is the same in every store that holds the clip normalised alike, however many people its other clips have;
    the second whatever the normalisation.
    """
    found = np.empty((len(rows), 2), np.uint64)
    for i, row in enumerate(rows.tolist()):
        part = slice(store.offsets[row], store.offsets[row + 1])
        name = re.sub(r"~[0-9]+$", "", store.ids[row])  # joined stores number what comes again
        frames, confidence = store.frames[part], store.confidence[part]
        people = 1 + int(np.flatnonzero(confidence.any((0, 2))).max(initial=0))  # the rest is padding
        content = hashlib.blake2b(frames[:, :people].tobytes(), digest_size=8)
        content.update(confidence[:, :people].tobytes())
        called = hashlib.blake2b(f"{name}\n{store.lengths[row]}".encode("utf-8", "backslashreplace"), digest_size=8)
        found[i] = [int.from_bytes(each.digest(), "little") for each in (content, called)]
    return found


def write(run: Path, store: Store, rows: np.ndarray, begun: Path | None = None) -> None:
    """Keep the marks of a run's training clips in its folder, with those of the run that it begins with."""
    found = marks(store, rows)
    earlier = None if begun is None else _read(begun)
    if earlier is not None:
        found = np.unique(np.concatenate([found, earlier]), axis=0)
    with atomic(run / FILE) as temporary, open(temporary, "wb") as file:
        np.save(file, found)


def seen(run: Path, store: Store, rows: np.ndarray) -> tuple[np.ndarray, bool]:
    """Which clips a run, or one that it began with, was trained on.

    Runs that do not say are judged by the hashes of their stores and their split.

    Args:
        run: its folder.
        store: any store.
        rows: int64 ``[n]`` of it.

    Returns:
        bool ``[n]``, and whether that is all: False where the clips of one of these runs are not known.
    """
    found, complete, known = np.zeros(len(rows), bool), True, None
    for path, card in _chain(run):
        trained = _read(path)
        if trained is not None:
            known = marks(store, rows) if known is None else known
            found |= np.isin(known[:, 0], trained[:, 0]) | np.isin(known[:, 1], trained[:, 1])
            continue
        told = _by_split(card, store, rows) if card is not None else None
        complete &= told is not None
        found |= told if told is not None else False
    return found, complete


def _chain(run: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """A run and those that it began with; None where one is gone and what is left does not hold its clips."""
    met: set[Path] = set()
    while run not in met:
        met.add(run)
        try:
            card: dict[str, Any] | None = cards.read(run)
        except InputError:
            card = None
        yield run, card
        begun = (card or {}).get("init") or {}
        if not begun.get("run"):
            return
        if (run / FILE).exists() and not (Path(begun["run"]) / "card.json").exists():
            return  # it is gone, but its clips are known here
        run = Path(begun["run"])


def _by_split(card: dict[str, Any], store: Store, rows: np.ndarray) -> np.ndarray | None:
    """Which clips the card of an older run says, or None where it says nothing about this store."""
    if store.hash not in [card.get("data"), *(each.get("hash") for each in card.get("stores") or ())]:
        return None
    if card.get("split") is None:
        return np.ones(len(rows), bool)
    try:
        return np.isin(rows, splits.split(store, card["split"]).train)
    except InputError:
        return None


def _read(run: Path) -> np.ndarray | None:
    """The marks in a run's folder, or None where there are none, or damaged ones."""
    try:
        found = np.load(run / FILE, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.dtype == np.uint64 and found.ndim == 2 and found.shape[1] == 2 else None
