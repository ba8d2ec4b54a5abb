"""Who is who in a recording: people followed over time, by id and by position, each in one place.

There is one rule for all formats, those of detectors and those of sensors (:func:`follow`): who has an id is followed
by it; who has none, or a new one after he was lost, continues the track whose joints were nearest a moment ago. Tracks
that never overlap in time share a place, the most seen one comes first (:func:`arrange`); a recording that is listed by
places already stays as it is if everybody keeps his (:func:`settle`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..utils.errors import InputError
from . import Options

WITHOUT_ID = "detections without an id, followed by position"  # notes
NEW_ID = "people who went on under another id, found by position"
PUT_BACK = "recordings in which people change places in the file, put back"
LEFT_SO = "recordings in which ids change places in the file, left so"
MAX_OPEN = 256  # tracks that wait for their next detection
MAX_POINTS = 1 << 25  # frames x persons x joints of a clip
SEVERAL = 64  # ids that are compared with each other, at most
PATIENCE = 30  # frames for which a person who is not seen is waited for
REACH = 0.5  # sizes of the body by which its joints move from one detection to the next, at most


def settle(
    joints: np.ndarray, seen: np.ndarray, ids: np.ndarray | None = None, as_listed: bool = False
) -> tuple[np.ndarray, np.ndarray, dict[str, Any], dict[str, int]]:
    """A recording by places of a list (Kinect bodies, arrays of several people), every person in one place.

    It stays as it is where everybody keeps his place, and with ``as_listed``.

    Args:
        joints: ``[T, M, V, C]``; NaN is no place.
        seen: confidence ``[T, M, V]``.
        ids: ``[T, M]`` objects: who stands there, None if unknown.
        as_listed: only count whether ids change their places.

    Returns:
        joints and confidence, of the same shapes; columns: ``followed``, where there are several people; notes.
    """
    clear = seen > 0
    if not np.isfinite(joints).all():
        clear &= np.isfinite(joints).all(-1)
    at, slot = np.nonzero(clear.any(2))
    if joints.shape[1] == 1 or not len(at) or (as_listed and ids is None):
        return joints, seen, {}, {}
    names = None if ids is None else [name_of(name) for name in ids[at, slot].tolist()]
    if as_listed:
        places = len(set(zip(names or [], slot.tolist())) - {(None, k) for k in range(joints.shape[1])})
        moved = places > len(set(names or []) - {None})
        return joints, seen, {}, {LEFT_SO: int(moved)}
    track, how, counts = follow(at, joints[at, slot], clear[at, slot], names)
    if len(np.unique(track * joints.shape[1] + slot)) == track.max() + 1:
        return joints, seen, {"followed": how}, counts
    place = _fit(at, track, joints.shape[1])
    settled, known = np.zeros_like(joints), np.zeros_like(seen)
    settled[at, place], known[at, place] = joints[at, slot], seen[at, slot]
    return settled, known, {"followed": how}, {**counts, PUT_BACK: 1}


def listed(options: Options) -> bool:
    """Whether bodies are to stay in the order of the file (setting ``people``, or ``faithful``)."""
    return options.faithful or (options.table or {}).get("people") == "listed"


def somewhere(joints: np.ndarray) -> np.ndarray:
    """Which joints ``[..., 3]`` are not at the origin, where Kinect files have those that are not there; float32."""
    there: np.ndarray = joints[..., 0] != 0
    for axis in range(1, joints.shape[-1]):
        there = there | (joints[..., axis] != 0)
    return there.astype(np.float32)


def name_of(value: Any) -> Any:
    """An id, or None for what trackers write where they have none: nothing, NaN, a negative number."""
    no_name = value is None or value == "" or (isinstance(value, (int, float)) and not value >= 0)
    return None if no_name else value


def follow(
    at: np.ndarray, joints: np.ndarray, seen: np.ndarray, ids: Sequence[Any] | None = None
) -> tuple[np.ndarray, str, dict[str, int]]:
    """Tracks by id where there are any, else by position.

    An id that was there before continues its track; of two detections with one id the nearer keeps it. Of all others
    in every frame the detection and the open track that are nearest to each other belong together, then the next two,
    and so on; near means the mean distance of their joints in sizes of the larger body (the diagonal of its box), up to
    ``REACH``. A joint that only one of them has counts as ``REACH``: three joints of a ghost are no match for a whole
    body. A detection that remains opens a track; a track not continued for ``PATIENCE`` frames is open no longer. A new
    id continues an open track only if that track's own id never comes again.

    Args:
        at: frame of each detection ``[D]``, ascending.
        joints: ``[D, V, C]``; seen: bool ``[D, V]``, at least one joint of each.
        ids: names, None where there is none.

    Returns:
        Number of the track of each detection ``[D]``, from 0 in the order in which they open; what they were followed
        by: ``id``, ``position`` or ``id and position``; how many had no id, or another one than before.
    """
    names = [None] * len(at) if ids is None else [name_of(name) for name in ids]
    nameless = names.count(None)
    if nameless == len(names):
        return _follow(at, joints, seen, names)[0], "position", {}
    number: dict[Any, int] = {}
    track = np.array([number.setdefault(name, len(number)) for name in names])
    once = len(np.unique(at * len(number) + track)) == len(at)
    if not nameless and once and _nobody_returns(at, track, len(number)):
        return track, "id", {}
    track, new = _follow(at, joints, seen, names)
    nameless = names.count(None)  # with those whose name another one keeps
    how = "id and position" if nameless or new else "id"
    return track, how, {WITHOUT_ID: nameless, NEW_ID: new}


def _nobody_returns(at: np.ndarray, track: np.ndarray, count: int) -> bool:
    """Whether nobody comes soon after somebody else has gone, who might be the same under another id."""
    if count > SEVERAL:
        return bool((at[:count] == at[0]).all())
    begin, end = np.full(count, at[-1]), np.full(count, at[0])
    np.minimum.at(begin, track, at)
    np.maximum.at(end, track, at)
    gone = begin[:, None] - end
    return not ((gone > 0) & (gone <= PATIENCE)).any()


def _follow(at: np.ndarray, joints: np.ndarray, seen: np.ndarray, names: list[Any]) -> tuple[np.ndarray, int]:
    """Tracks, and how many names went on with a track of other names. Names that another one keeps become None."""
    near = _Nearness(joints, seen)
    track = np.empty(len(at), np.int64)
    ends = {name: frame for name, frame in zip(names, at.tolist()) if name is not None}  # the last frame of each
    of: dict[Any, int] = {}  # track of a name
    latest: list[int] = []  # detection with which each track ended so far
    until: list[int] = []  # frame after which no name of the track comes again
    waiting: list[int] = []  # tracks that may be open
    new = 0
    starts = np.flatnonzero(np.diff(at, prepend=-1))
    bounds = list(zip(starts.tolist(), [*starts[1:].tolist(), len(at)]))
    runs = near.steady(at, starts) if not ends else np.zeros(len(starts), np.int64)
    k = 0
    while k < len(bounds):
        low, high = bounds[k]
        now = int(at[low])
        waiting = [t for t in waiting if now - at[latest[t]] <= PATIENCE][-MAX_OPEN:]
        if runs[k] and sorted(latest[t] for t in waiting) == list(range(low - (high - low), low)):
            size, frames = high - low, int(runs[k])  # the next frames list the same people in the same order
            same = np.tile(track[low - size : low], frames)
            track[low : low + len(same)] = same
            for t in waiting:
                latest[t] += size * frames
            k += frames
            continue
        taken = _by_name(range(low, high), names, of, latest, near)
        rest = [d for d in range(low, high) if d not in taken.values()]
        free = [t for t in waiting if t not in taken]
        for t, d in near.pairs(free, rest, latest, [until[t] < now for t in free], [names[d] is None for d in rest]):
            taken[t] = d
            rest.remove(d)
            new += names[d] is not None and until[t] >= 0
        for d in rest:
            taken[len(latest)] = d
            latest.append(d)
            until.append(-1)
        for t, d in taken.items():
            track[d], latest[t] = t, d
            if names[d] is not None:
                of[names[d]] = t
                until[t] = max(until[t], ends[names[d]])
        waiting = [t for t in waiting if t not in taken] + sorted(taken, key=taken.__getitem__)
        k += 1
    return track, new


def _by_name(here: range, names: list[Any], of: dict[Any, int], latest: list[int], near: _Nearness) -> dict[int, int]:
    """Track -> detection of this frame, for names known before; of two with one name the nearer keeps it."""
    taken: dict[int, int] = {}
    first: dict[Any, int] = {}
    for d in here:
        name = names[d]
        if name is None:
            continue
        if name in of:
            rival = taken.get(of[name])
            if rival is not None:
                apart = near.cost(np.array([latest[of[name]]]), np.array([rival, d]))[0]
                d, rival = (d, rival) if apart[1] < apart[0] else (rival, d)
                names[rival] = None
            taken[of[name]] = d
        elif name in first:
            keeps, loses = (d, first[name]) if near.joints_of(d) > near.joints_of(first[name]) else (first[name], d)
            first[name], names[loses] = keeps, None
        else:
            first[name] = d
    return taken


class _Nearness:
    """How far detections are from each other."""

    def __init__(self, joints: np.ndarray, seen: np.ndarray):
        self.joints, self.seen = np.where(seen[..., None], joints, 0).astype(np.float64), seen  # others may be infinite
        low, high = (np.where(seen[..., None], self.joints, fill) for fill in (np.inf, -np.inf))
        self.spans = np.linalg.norm(high.max(1) - low.min(1), axis=1)
        self.centres = self.joints.mean(1)
        self.centres[~np.all(seen, axis=1)] = np.nan  # which tell nothing

    def joints_of(self, detection: int) -> int:
        return int(self.seen[detection].sum())

    def cost(self, old: np.ndarray, new: np.ndarray) -> np.ndarray:
        """``[..., O, N]`` between detections ``[..., O]`` and ``[..., N]``; see :func:`follow`."""
        a, b = old[..., :, None], new[..., None, :]
        both, either = self.seen[a] & self.seen[b], self.seen[a] | self.seen[b]
        apart = np.linalg.norm(self.joints[a] - self.joints[b], axis=-1)
        apart /= np.maximum(np.maximum(self.spans[a], self.spans[b]), 1e-30)[..., None]
        cost = np.where(both, apart, REACH * either).sum(-1) / either.sum(-1)
        cost[~both.any(-1)] = np.inf
        return cost

    def pairs(
        self, tracks: list[int], rest: list[int], latest: list[int], ended: list[bool], nameless: list[bool]
    ) -> Iterator[tuple[int, int]]:
        """Tracks and detections that belong together, nearest first."""
        if not (tracks and rest):
            return
        cost = self.cost(np.array([latest[t] for t in tracks]), np.array(rest))
        cost[~np.logical_or.outer(ended, nameless)] = np.inf
        found = list(rest)
        while cost.min() <= REACH:
            old, d = divmod(int(cost.argmin()), len(found))
            cost[old], cost[:, d] = np.inf, np.inf
            yield tracks[old], found[d]

    def steady(self, at: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """For each frame how many frames from it on list the people of the frame before in the same order ``[F]``.

        Whatever is said of a frame holds only if no other track is open.
        """
        sizes = np.diff(starts, append=len(at))
        kept = np.zeros(len(starts), bool)
        close = np.diff(at[starts], prepend=-PATIENCE - 1) <= PATIENCE
        for size in range(1, 5):
            frames = np.flatnonzero((sizes == size) & (np.roll(sizes, 1) == size) & close)
            for some in np.array_split(frames, len(frames) // 512 + 1):
                now = starts[some][:, None] + np.arange(size)
                own = self.cost((now - size)[..., None], now[..., None])[..., 0, 0]
                least = np.minimum(own[:, :, None], own[:, None, :])
                centres = self.centres[(now - size)[:, :, None]] - self.centres[now[:, None, :]]
                spans = np.maximum(self.spans[(now - size)[:, :, None]], self.spans[now[:, None, :]])
                apart = np.linalg.norm(centres, axis=-1) / np.maximum(spans, 1e-30)  # of whole bodies, at most the cost
                crossed = ~(apart > least) & ~np.eye(size, dtype=bool)
                close_by = np.flatnonzero(crossed.any((1, 2)))
                cost = self.cost((now - size)[close_by], now[close_by])
                crossed[close_by] &= ~(cost > least[close_by])  # greedy pairs never cross
                kept[some] = (own <= REACH).all(1) & ~crossed.any((1, 2))
        runs = np.zeros(len(starts), np.int64)
        breaks, frames = np.append(np.flatnonzero(~kept), len(starts)), np.flatnonzero(kept)
        runs[frames] = breaks[np.searchsorted(breaks, frames)] - frames
        return runs


def arrange(
    where: object, at: np.ndarray, track: np.ndarray, weight: np.ndarray, frames: int, most: int = MAX_POINTS
) -> np.ndarray:
    """The place (person) of each detection ``[D]``: one for a whole track, from its first frame to its last.

    The track with the greatest sum of ``weight`` is placed first, each into the first place that is free all the time.

    Raises:
        InputError: more than ``most`` places are needed.
    """
    names, inverse = np.unique(track, return_inverse=True)
    total = np.bincount(inverse, weight, len(names))
    begin, end = np.full(len(names), frames), np.zeros(len(names), np.int64)
    np.minimum.at(begin, inverse, at)
    np.maximum.at(end, inverse, at)
    place, taken = np.zeros(len(names), np.int64), np.zeros((0, frames), bool)
    for i in np.lexsort((begin, -total)):
        free = ~taken[:, begin[i] : end[i] + 1].any(1)
        place[i] = free.argmax() if free.any() else len(taken)
        if not free.any():
            if len(taken) >= most:
                raise InputError(
                    where,
                    f"{frames} frames of more than {len(taken)} people",
                    f"at most {MAX_POINTS} frames x people x joints",
                )
            taken = np.concatenate([taken, np.zeros((1, frames), bool)])
        taken[place[i], begin[i] : end[i] + 1] = True
    return place[inverse]


def _fit(at: np.ndarray, track: np.ndarray, places: int) -> np.ndarray:
    """The place of each detection where there are ``places``, enough for every frame.

    One for a whole track, the longest first; a track that finds none free all the time goes through those that are.
    """
    place, taken = np.empty(len(at), np.int64), np.zeros((places, int(at[-1]) + 1), bool)
    order = np.argsort(track, kind="stable")
    for mine in sorted(np.split(order, np.flatnonzero(np.diff(track[order])) + 1), key=len, reverse=True):
        free = ~taken[:, at[mine]]
        always = free.all(1)
        place[mine] = always.argmax() if always.any() else free.argmax(0)
        taken[place[mine], at[mine]] = True
    return place
