"""Which action happens when in long recordings (temporal localisation): sliding windows, mean average precision."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...data import store as stores
from ...data.clip_table import text
from ...data.store import Store
from ...motion import normalise
from ...motion.motion import Motion
from ...utils.errors import InputError
from ..groups import resampled
from ..robustness import AlteredStore
from ..task import Scores, Task
from . import linear

BLOCK = 100_000  # frames of windows in memory at a time


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        recordings: folder of a store of whole recordings; the test clips say by ``recording`` (or ``source``),
            ``start`` and ``end`` what happens there when. None: recordings are joined from test clips.
        join: test clips in a joined recording.
        windows: lengths, as shares of the median training clip.
        stride: from one window to the next, as a share of the window.
        overlap: a detection that overlaps a surer one of its class by more (intersection over union) is dropped.
        thresholds: from how much overlap on a detection is right; one figure for each.
        C: of the logistic regression on the training clips, see ``linear``.
    """

    recordings: str = ""
    join: int = 10
    windows: tuple[float, ...] = (0.5, 1.0, 2.0)
    stride: float = 0.25
    overlap: float = 0.3
    thresholds: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7)
    C: float = 0.05

    def __post_init__(self) -> None:
        if self.join < 2:
            raise InputError("localisation.join", str(self.join), "2 or more")
        for name in ("windows", "thresholds"):
            values = getattr(self, name)
            if not values or min(values) <= 0 or (name == "thresholds" and max(values) > 1):
                raise InputError(f"localisation.{name}", f"{values}", "one or more numbers above 0")
        for name in ("stride", "overlap"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"localisation.{name}", str(getattr(self, name)), "a number above 0, at most 1")


class Spans(NamedTuple):
    """Stretches of frames in recordings: ``recording``, ``start``, ``end`` (not included) and ``label``, int64 ``[n]``;
    ``score`` float64 ``[n]`` of those that were detected.
    """

    recording: np.ndarray
    start: np.ndarray
    end: np.ndarray
    label: np.ndarray
    score: np.ndarray

    def pick(self, chosen: np.ndarray) -> Spans:
        """Some of them, by a mask or by their numbers."""
        return Spans(*(column[chosen] for column in self))


class Recordings(NamedTuple):
    """Long recordings with what happens in them.

    Attributes:
        motions: one for each.
        truth: what happens when.
        rows: a test clip of each, which lends it its entry in the clip table.
        note: where they come from.
    """

    motions: list[Motion]
    truth: Spans
    rows: np.ndarray
    note: str


def score(task: Task, settings: Settings) -> Scores:
    """Windows of several lengths slide over each recording; each is normalised as the clips of the store are, embedded,
    and named by a logistic regression on the training clips. There is no class for nothing: what lies between
    actions is named as well, with less confidence. Of windows of one class that overlap the surest is kept.

    Returns:
        ``mAP@0.5``, ...: mean over the classes of the area under interpolated precision and recall of the detections
        (Everingham et al. 2010); one is right if its intersection over union with an action of its class that no
        surer one has found is at least so large. Rows have the number of ``recordings`` and of ``actions``, and a
        note on where they come from.

    Raises:
        InputError: too few test clips to join; recordings that the clips do not name.
    """
    linear.check(task, linear.Probe(C=settings.C), "localisation")
    found = _whole(task, settings) if settings.recordings else _joined(task, settings)
    spans = _windows(task, found, settings)
    shown = np.concatenate(list(_embedded(task, found, spans)))
    train, labels = task.features(task.train), task.labels[task.train]
    sure = linear.probabilities(linear.logistic(train, labels, shown, settings.C, 1000, each=not task.weighted))
    detected = suppressed(spans._replace(label=sure.argmax(1), score=sure.max(1)), settings.overlap)
    scores = Scores()
    more = {
        "recordings": len(found.motions),
        "actions": len(found.truth.label),
        "notes": [*task.notes, f"localisation: {found.note}"],
    }
    for threshold in settings.thresholds:
        again = functools.partial(_drawn, detected, found.truth, threshold)
        many = len(found.motions)
        between = {} if many < 2 else {"interval": resampled(again, many)}
        precision = mean_average_precision(detected, found.truth, threshold)
        scores.add(f"mAP@{threshold:g}", precision, more | between)
    return scores


def _drawn(detected: Spans, truth: Spans, threshold: float, recordings: np.ndarray) -> float:
    """The same of recordings that were drawn; one that was drawn twice counts as two."""

    def drawn(spans: Spans) -> Spans:
        rows = [np.flatnonzero(spans.recording == which) for which in recordings.tolist()]
        number = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        return spans.pick(np.concatenate(rows))._replace(recording=number)

    return mean_average_precision(drawn(detected), drawn(truth), threshold)


def is_stochastic(settings: Settings) -> bool:
    """Which clips are joined is drawn."""
    return not settings.recordings


def baseline(settings: Settings) -> tuple[str, Settings]:
    """One form of the hand-crafted features: those of windows have to be made anew."""
    return "positions", settings


def overlaps(one: Spans, other: Spans) -> np.ndarray:
    """Intersection over union of every two spans, ``[n, m]``; 0 in different recordings.

    Examples:
        >>> spans = Spans(*np.array([[0, 0], [0, 5], [10, 15], [1, 1], [1, 1]]))
        >>> overlaps(spans, spans).round(3)
        array([[1.   , 0.333],
               [0.333, 1.   ]])
    """
    start = np.maximum(one.start[:, None], other.start[None])
    shared = (np.minimum(one.end[:, None], other.end[None]) - start).clip(min=0)
    union = (one.end - one.start)[:, None] + (other.end - other.start)[None] - shared
    return shared / np.maximum(union, 1) * (one.recording[:, None] == other.recording[None])


def suppressed(spans: Spans, overlap: float) -> Spans:
    """Without those that overlap a surer one of the same class and recording by more than that (non-maximum
    suppression), the surest first.
    """
    order = np.argsort(-spans.score, kind="stable")
    keys = spans.recording * (spans.label.max(initial=0) + 1) + spans.label
    kept: list[int] = []
    for key in np.unique(keys):
        mine = order[keys[order] == key]
        near = overlaps(spans.pick(mine), spans.pick(mine)) > overlap
        free = np.ones(len(mine), bool)
        for place in range(len(mine)):
            if free[place]:
                kept.append(int(mine[place]))
                free[place:] &= ~near[place, place:]
    chosen = np.array(kept, np.int64)
    return spans.pick(chosen[np.argsort(-spans.score[chosen], kind="stable")])


def mean_average_precision(detected: Spans, truth: Spans, threshold: float) -> float:
    """Mean over the classes that happen; see :func:`score`.

    Examples:
        >>> truth = Spans(*np.array([[0, 0], [0, 20], [10, 30], [0, 1], [0, 0]]))
        >>> detected = Spans(*np.array([[0, 0], [1, 50], [10, 60], [0, 1], [1, 1]]))
        >>> mean_average_precision(detected, truth, 0.5)
        0.5
    """
    return float(np.mean([_average_precision(detected, truth, label, threshold) for label in np.unique(truth.label)]))


def _average_precision(detected: Spans, truth: Spans, label: int, threshold: float) -> float:
    said, there = detected.pick(detected.label == label), truth.pick(truth.label == label)
    said = said.pick(np.argsort(-said.score, kind="stable"))
    near, free = overlaps(said, there), np.ones(len(there.label), bool)
    right = np.zeros(len(said.label), bool)
    for place, row in enumerate(near):
        best = int(np.where(free, row, -1.0).argmax())
        right[place] = free[best] and row[best] >= threshold
        free[best] &= not right[place]
    if not len(right):
        return 0.0
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # interpolated: the best at this recall or a larger one
    return float(precision[right].sum() / len(free))


def _joined(task: Task, settings: Settings) -> Recordings:
    """Test clips one after the other, drawn from the task's seed."""
    order = np.random.default_rng(task.seed).permutation(task.test)
    groups = [part for part in np.array_split(order, max(1, round(len(order) / settings.join))) if len(part) > 1]
    if not groups:
        raise InputError("localisation", f"{len(task.test)} test clips", "two or more, to join to a recording")
    motions, spans = [], []
    for number, rows in enumerate(groups):
        clips = [task.store.motion(int(row)) for row in rows]
        joints, confidence = (
            np.concatenate([getattr(clip, name) for clip in clips]) for name in ("joints", "confidence")
        )
        motions.append(clips[0].with_(joints=joints, confidence=confidence))
        ends = np.cumsum([len(clip) for clip in clips])
        spans += [
            (number, end - len(clip), end, task.labels[row]) for clip, end, row in zip(clips, ends.tolist(), rows)
        ]
    note = (
        f"{len(motions)} recordings were joined from about {settings.join} test clips each, drawn at random: actions "
        "follow each other without a pause, and bodies jump from one to the next"
    )
    return Recordings(motions, _truth(spans), np.array([rows[0] for rows in groups]), note)


def _whole(task: Task, settings: Settings) -> Recordings:
    """The recordings that the test clips were cut out of."""
    store, long = task.store, stores.opened(settings.recordings)
    if long.layout.joints != store.layout.joints or long.coords != store.coords:
        raise InputError(long.path, f"recordings in {long.layout.name}", f"{store.layout.name}, as the clips")
    place = {name: row for column in ("id", "source", "recording") for row, name in enumerate(_names(long, column))}
    column = "recording" if "recording" in store.clips.column_names else "source"
    named, starts, ends = _names(store, column), store.numbers("start"), store.numbers("end")
    spans, used = [], dict[int, tuple[int, int]]()  # row of the recording -> its number, and a clip of it
    for row in task.test.tolist():
        where = place.get(named[row])
        if where is not None and named[row] is not None and np.isfinite([starts[row], ends[row]]).all():
            number, _ = used.setdefault(where, (len(used), row))
            end = min(int(ends[row]), int(long.lengths[where]))
            spans.append((number, int(starts[row]), end, int(task.labels[row])))
    if not spans:
        raise InputError(
            f"localisation.recordings {long.path}",
            f"no test clip of {store.path} names one of them by {column}, with start and end",
            "the recordings that the clips were cut out of",
        )
    whole = f"{len(used)} whole recording{'s' if len(used) > 1 else ''}"
    note = f"{whole}, {len(spans)} of {len(task.test)} test clips happen there"
    rows = np.array([row for _, row in used.values()])
    return Recordings([long.motion(where) for where in used], _truth(spans), rows, note)


def _names(store: Store, column: str) -> list[str | None]:
    """A column as text; nothing where the store lacks it."""
    known = column in store.clips.column_names
    return [text(value) for value in store.column(column).tolist()] if known else [None] * len(store)


def _truth(spans: Sequence[tuple[int, int, int, int]]) -> Spans:
    recording, start, end, label = np.array(spans, np.int64).reshape(-1, 4).T
    return Spans(recording, start, end, label, np.ones(len(label)))


def _windows(task: Task, found: Recordings, settings: Settings) -> Spans:
    """Where windows lie; one of the whole recording where that is shorter."""
    usual, spans = float(np.median(task.store.lengths[task.train])), []
    for number, motion in enumerate(found.motions):
        for share in settings.windows:
            length = min(max(2, round(share * usual)), len(motion))
            step = max(1, round(settings.stride * length))
            spans += [(number, start, start + length, 0) for start in range(0, len(motion) - length + 1, step)]
    return _truth(list(dict.fromkeys(spans)))


def _embedded(task: Task, found: Recordings, spans: Spans) -> Iterator[np.ndarray]:
    """The vectors of windows, in blocks."""
    store, block = task.store, np.cumsum(spans.end - spans.start) // BLOCK
    for part in np.split(np.arange(len(block)), np.flatnonzero(np.diff(block)) + 1):
        if task.tell is not None:
            task.tell(f"{part[0]} of {len(block)} windows")
        cut = [
            normalise.apply(found.motions[spans.recording[i]][spans.start[i] : spans.end[i]], store.card["normalise"])
            for i in part.tolist()
        ]
        joints, confidence = (
            np.concatenate([getattr(each, name) for each in cut]) for name in ("joints", "confidence")
        )
        lengths = np.array([len(each) for each in cut])
        clips = AlteredStore(store, found.rows[spans.recording[part]], joints, confidence, lengths)
        yield task.embedded(clips, np.arange(len(part)))
