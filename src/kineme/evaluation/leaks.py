"""What test clips share with training clips: the same frames, recording, performance or subject; near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..data.clip_table import text
from ..data.near_duplicates import TOLERANCE, compared
from ..data.store import Store, datasets
from ..inference.nearest import neighbours
from ..training.trained_on import marks
from .baselines import components
from .hand_crafted import HandCrafted

NEIGHBOURS = 3  # training clips, nearest by their joints over time, that a test clip is compared with
SAMPLE = 300  # training clips that give the principal components
MOST = 4 * 10**8  # pairs of clips; beyond it near-duplicates are not looked for
SAME = ("recording", "performance", "subject")  # columns in which clips of one value are related
COPIES = ("frames", "overlap", "near-duplicate")  # kinds that no split means
WORDS = {
    "frames": "are training clips once more",
    "overlap": "overlap a training clip in time",
    "recording": "share their recording with a training clip",
    "performance": "share their performance with a training clip",
    "subject": "share their subject with a training clip",
    "near-duplicate": "are near-duplicates of training clips",
}


class Leak(NamedTuple):
    """Test clips that share something with training clips.

    Attributes:
        kind: ``frames`` (the very same), ``overlap`` (frames of one recording are in both), ``recording``,
            ``performance``, ``subject``, ``near-duplicate``.
        test: int64 ``[n]``, rows of the test clips.
        train: int64 ``[n]``, a training clip that each shares it with.
    """

    kind: str
    test: np.ndarray
    train: np.ndarray


def find(store: Store, train: np.ndarray, test: np.ndarray) -> list[Leak]:
    """What the test side of a split has in common with the training side, the gravest first; kinds without a clip are
    left out.

    Near-duplicates are clips that by the rule of :func:`kineme.data.near_duplicates.compared` hardly differ from one of
    the three training clips that are nearest by their joints over time; clips of the same frames or in time overlapping
    ones are not named again.

    Args:
        store: any.
        train, test: int64 rows.

    Examples:
        >>> from kineme.evaluation.leaks import find
        >>> rows = np.arange(len(store))
        >>> [leak.kind for leak in find(store, rows[:6], rows[3:9])][0]
        'frames'
    """
    found = [_pairs("frames", marks(store, train)[:, :1], marks(store, test)[:, :1], train, test)]
    found.append(_overlapping(store, train, test))
    found += [_same(store, name, train, test) for name in SAME if name in store.clips.column_names]
    known = np.concatenate([leak.test for leak in found[:2]])
    found.insert(2, _near(store, train, np.setdiff1d(test, known)))
    return [leak for leak in found if len(leak.test)]


def note(store: Store, leaks: Sequence[Leak], test: int) -> str:
    """What was found, as a sentence; nothing where nothing was.

    Args:
        test: number of test clips.
    """
    parts = []
    for kind, rows, others in leaks:
        first = f" ({store.ids[rows[0]]} and {store.ids[others[0]]})" if kind in ("overlap", "near-duplicate") else ""
        parts.append(f"{len(rows)} {WORDS[kind]}{first}")
    return f"of {test} test clips {', '.join(parts)}" if parts else ""


def _pairs(kind: str, of_train: np.ndarray, of_test: np.ndarray, train: np.ndarray, test: np.ndarray) -> Leak:
    """Test clips whose value a training clip has."""
    first: dict[bytes, int] = {}
    for value, row in zip(of_train, train.tolist()):
        first.setdefault(value.tobytes(), row)
    shared = [(row, first[value.tobytes()]) for value, row in zip(of_test, test.tolist()) if value.tobytes() in first]
    both = np.array(shared, np.int64).reshape(-1, 2)
    return Leak(kind, both[:, 0], both[:, 1])


def _same(store: Store, column: str, train: np.ndarray, test: np.ndarray) -> Leak:
    """Clips of one value in a column; subject 1 of one data set is not subject 1 of another."""
    values = [text(value) for value in store.column(column).tolist()]
    owner = store.column("dataset").tolist() if datasets(store) else [None] * len(values)
    first: dict[tuple, int] = {}
    for row in train.tolist():
        first.setdefault((owner[row], values[row]), row)
    shared = [
        (row, first[owner[row], values[row]])
        for row in test.tolist()
        if values[row] is not None and (owner[row], values[row]) in first
    ]
    both = np.array(shared, np.int64).reshape(-1, 2)
    return Leak(column, both[:, 0], both[:, 1])


def _overlapping(store: Store, train: np.ndarray, test: np.ndarray) -> Leak:
    """Clips that were cut out of one recording so that some frames are in both."""
    column = "recording" if "recording" in store.clips.column_names else "source"
    names, starts, ends = store.column(column).tolist(), store.numbers("start"), store.numbers("end")
    of_name: dict[str, list[int]] = {}
    for row in train[np.isfinite(starts[train] + ends[train])].tolist():
        of_name.setdefault(str(names[row]), []).append(row)
    shared = []
    for row in test[np.isfinite(starts[test] + ends[test])].tolist():
        others = np.array(of_name.get(str(names[row]), []), np.int64)
        meets = others[(starts[others] < ends[row]) & (starts[row] < ends[others])]
        if len(meets):
            shared.append((row, int(meets[0])))
    both = np.array(shared, np.int64).reshape(-1, 2)
    return Leak("overlap", both[:, 0], both[:, 1])


def _near(store: Store, train: np.ndarray, test: np.ndarray) -> Leak:
    """Test clips with a near-duplicate among the training clips whose joints over time are most like theirs."""
    none = Leak("near-duplicate", np.zeros(0, np.int64), np.zeros(0, np.int64))
    if not len(test) or len(train) < 2 or len(train) * len(test) > MOST:
        return none
    sample = train[np.linspace(0, len(train) - 1, min(SAMPLE, len(train))).astype(np.int64)]
    plain = HandCrafted(upright=True)
    mean, axes, _ = components(plain.embed(store, sample))
    reduced = replace(plain, mean=mean, axes=axes)
    near = neighbours(reduced.embed(store, train), reduced.embed(store, test), min(NEIGHBOURS, len(train)))
    pairs = np.stack([train[near].ravel(), np.repeat(test, near.shape[1])], 1)
    nearest: dict[int, tuple[float, int]] = {}
    for some in compared(store, pairs):
        for (other, row), error in zip(some.pairs.tolist(), some.error.tolist()):
            if error <= TOLERANCE:
                nearest[row] = min((error, other), nearest.get(row, (error, other)))
    both = np.array([(row, nearest[row][1]) for row in sorted(nearest)], np.int64).reshape(-1, 2)
    return Leak("near-duplicate", both[:, 0], both[:, 1])
