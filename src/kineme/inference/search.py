"""Find movements like one, or several, in an index: by file, by an interval of one, by clip id, by plus and minus."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.store import Store
from ..motion.motion import Motion
from ..utils.errors import InputError
from ..utils.progress import Show
from ..utils.registry import did_you_mean
from . import index_files
from .index import Entry, Index, Where
from .windows import distinct

if TYPE_CHECKING:
    from .model import Model

AWAY = 0.5  # weight of what a hit is not to be like (Rocchio 1971 takes less of it than of what it is to be like)
RANKED = 50  # hits whose frames are compared, where this is asked for
INTERVAL = re.compile(r"(?P<what>.+)@(?P<start>\d+(?:\.\d+)?|\.\d+)-(?P<end>\d+(?:\.\d+)?|\.\d+)")
Query = str | os.PathLike | Motion | Entry | np.ndarray
"""A clip id, or the path of a file; behind either ``@2.0-4.5`` for an interval in seconds, behind a file's name
``#CLIP`` for one of its clips; or a motion, an array of one, a vector ``[D]`` as the run gives it, or an entry of the
index, also other frames of one (``entry._replace(start=10, end=40, whole=False)``)."""


@dataclass(frozen=True)
class Asked:
    """A query, ready to be searched with.

    Attributes:
        text: what was asked for, in words.
        vectors: float64 ``[1 or 2, D]``: the unit vector, and that of the query seen in a mirror.
        motion: as it was read, cut to the interval; None where only the vector is known.
        id: of the clip of the index that it is, or lies in.
        frames: its frames in that clip.
        is_part: whether it is an interval of what was read.
        steps: its frame features, see :meth:`Searcher.steps`.
    """

    text: str
    vectors: np.ndarray
    motion: Motion | None = None
    id: str | None = None
    frames: tuple[int, int] = (0, 0)
    is_part: bool = False
    steps: np.ndarray | None = None


class Hit(NamedTuple):
    """A clip, or a window of one, that was found.

    Attributes:
        row: of the index.
        entry: what stands there.
        score: cosine with the query, of several the mean of those it is to be like less half the mean of others.
        mirrored: whether it is like the query seen in a mirror.
        aligned: mean cosine of frames laid on each other in time, where hits were ranked by it.
    """

    row: int
    entry: Entry
    score: float
    mirrored: bool = False
    aligned: float | None = None

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Where it begins and ends in its clip; None without a frame rate."""
        fps = self.entry.fps
        return None if fps is None else (self.entry.start / fps, self.entry.end / fps)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        e, seconds = self.entry, self.seconds or (None, None)
        values: dict[str, Any] = {"id": e.id, "score": round(self.score, 6), "start": seconds[0], "end": seconds[1]}
        values |= {"frames": [e.start, e.end], "whole": e.whole, "mirrored": self.mirrored}
        values |= {"label": e.label, "subject": e.subject, "camera": e.camera}
        return values if self.aligned is None else {**values, "aligned": round(self.aligned, 6)}


@dataclass(frozen=True)
class Prepared:
    """What is to be found, read and embedded: what is left is the comparison, see :meth:`Searcher.answer`."""

    plus: list[Asked]
    minus: list[Asked]
    k: int
    chosen: np.ndarray
    among: int
    windows: bool
    rerank: bool

    @property
    def vectors(self) -> np.ndarray:
        """float64 ``[1 or 2, D]``: the query, and it seen in a mirror."""
        found = np.mean([each.vectors for each in self.plus], 0)
        return found - AWAY * np.mean([each.vectors for each in self.minus], 0) if self.minus else found


class Answer(NamedTuple):
    """What a search found.

    Attributes:
        hits: best first.
        queries: what was asked for.
        among: how many entries were compared.
        milliseconds: of the comparison alone, without reading and embedding the query; of several searches that share
            it all of it.
        recall: None where all vectors were compared; else the share of true neighbours that an approximate index found
            when it was built.
    """

    hits: list[Hit]
    queries: list[Asked]
    among: int
    milliseconds: float
    recall: float | None = None


def search(
    where: Index | str | os.PathLike,
    query: Query | Sequence[Query],
    k: int = 10,
    *,
    run: Model | str | os.PathLike | None = None,
    cache: str | os.PathLike | None = None,
    progress: bool = False,
    **how: Any,
) -> list[Hit]:
    """The k movements most like a query.

    Args:
        where: an index, its folder, or a folder of motion files, or a store: these are indexed once
            (:func:`kineme.inference.indexing.of_folder`).
        query: what to find, or several of these: see :data:`Query`.
        k: how many.
        run: of an index where its run is now, of a folder the run to take (by default ``base``).
        cache: of a folder, where its index is kept.
        progress: show what is done once.
        how: as in :meth:`Searcher.find`: ``minus``, ``filters``, ``windows``, ``mirror``, ``rerank``.

    Raises:
        InputError: a query that is no motion, an interval outside of it, a damaged index, another run's ...

    Examples:
        >>> index = kineme.index(store, run, "searched-index")
        >>> [hit.entry.id for hit in kineme.search(index, motion, k=1)] == [motion.source]
        True
    """
    return opened(where, run, cache, progress).find(query, k, **how).hits


def opened(
    where: Index | str | os.PathLike,
    run: Model | str | os.PathLike | None = None,
    cache: str | os.PathLike | None = None,
    progress: Show = False,
    **asked: Any,
) -> Searcher:
    """What searches an index, or a folder that is indexed now if it was not yet; arguments as in :func:`search`."""
    if isinstance(where, Index) or index_files.is_index(where):
        odd = next((name for name, value in {**asked, "cache": cache}.items() if value is not None), None)
        if odd is not None:
            raise InputError(odd, "said of an index, which is made already", "a folder of motion files")
        searcher = Searcher(where if isinstance(where, Index) else Index(where), run)
    else:
        from . import indexing

        searcher = Searcher(indexing.of_folder(where, run, cache, progress, **asked), run)
    if run is not None:  # another one is refused at once, also where a query does not need it
        _ = searcher.model
    return searcher


class Searcher:
    """An index with its run and its stores, which are opened when a query needs them.

    Args:
        index: the index.
        run: where its run is now, or that run, opened.
        device: for the run.

    Examples:
        >>> searcher = Searcher(kineme.index(store, run, "kept-index"))
        >>> answer = searcher.find(store.ids[0], k=3)
        >>> len(answer.hits), answer.among, answer.hits[0].score <= 1.0 + 1e-6
        (3, 48, True)
    """

    def __init__(self, index: Index, run: Model | str | os.PathLike | None = None, device: str | None = None):
        self.index, self._run, self._device = index, run, device
        self._stores: dict[int, Store] = {}

    @functools.cached_property
    def model(self) -> Model:
        """The run that the index was made with."""
        from .indexing import run_of

        return run_of(self.index, self._run, self._device)

    def store(self, number: int) -> Store:
        """A store of the index."""
        if number not in self._stores:
            from .indexing import store_of

            self._stores[number] = store_of(self.index, number)
        return self._stores[number]

    def motion(self, entry: Entry) -> Motion:
        """The movement of an entry, cut out of its clip, its ``source`` the id."""
        whole = self.store(entry.store).motion(entry.row)
        return whole if entry.whole else whole.slice(entry.start, entry.end)

    # ------------------------------------------------------------------------------------------------ queries

    def ask(self, query: Query, mirror: bool = False, steps: bool = False) -> Asked:
        """A query, read and embedded.

        Args:
            query: see :data:`Query`.
            mirror: its mirror image as well.
            steps: its frame features as well.

        Raises:
            InputError: no motion, no such clip, an interval outside of it, none of the run's joints in it.
        """
        if isinstance(query, np.ndarray) and query.ndim == 1:
            if mirror or steps:
                raise InputError("query", "a vector, of which no mirror image and no frames are known", "a motion")
            return Asked("a vector", index_files.unit(query[None].astype(np.float64)))
        if isinstance(query, Entry):
            return self._of_entry(query, None if query.whole else (query.start, query.end), query.id, mirror, steps)
        if not isinstance(query, (str, os.PathLike)):
            motions = [query] if isinstance(query, Motion) else self.model.motions(query)
            return self._embedded(motions[0].source or "a motion", motions[0], None, mirror, steps)
        text = os.fspath(query)
        what, interval = (text, None) if self._is_known(text) else _interval(text)
        if not os.path.exists(_file(what)) and (row := self.index.find(what)) is not None:
            entry = self.index.entries([row])[0]
            cut = None if interval is None else _frames(text, self.motion(entry), interval)
            return self._of_entry(entry._replace(id=what), cut, text, mirror, steps)
        if not os.path.exists(_file(what)):
            near = did_you_mean(what, self.index.ids())
            found = f"neither a file nor the id of a clip of {self.index.path}"
            raise InputError(text, found, "a motion file, FILE@START-END in seconds, or a clip id", near)
        motion = self._read(what)
        cut = None if interval is None else _frames(text, motion, interval)
        return self._embedded(text, motion, cut, mirror, steps)

    def _of_entry(self, entry: Entry, cut: tuple[int, int] | None, text: str, mirror: bool, steps: bool) -> Asked:
        """A clip of the index, or some frames of it; its vector is known where it is a whole one."""
        if cut is None and not mirror and not steps and (row := self.index.find(entry.id)) is not None:
            vector = index_files.unit(self.index.vectors([row]).astype(np.float64))
            return Asked(text, vector, id=entry.id, frames=(entry.start, entry.end))
        motion = self.store(entry.store).motion(entry.row)
        return replace(self._embedded(text, motion, cut, mirror, steps), id=entry.id)

    def _is_known(self, text: str) -> bool:
        """Whether a word is a file or an id as it stands, so that an ``@`` in it is part of the name."""
        return os.path.exists(text) or self.index.find(text) is not None

    def _read(self, what: str) -> Motion:
        path = _file(what)
        motions = self.model.motions(path)
        clip = what[len(path) + 1 :]
        if clip:
            named = [m for m in motions if clip in (m.source, m.source.rpartition("#")[2])]
            named = named or ([motions[int(clip)]] if clip.isdecimal() and int(clip) < len(motions) else [])
            if not named:
                near = did_you_mean(clip, [m.source.rpartition("#")[2] for m in motions])
                raise InputError(what, "no clip of that name or number", f"one of its {len(motions)} clips", near)
            return named[0]
        if len(motions) != 1:
            found = f"{len(motions)} clips" if motions else "no clip that can be used"
            raise InputError(path, found, "one", f"Name one, such as {path}#{_clip(motions[0])}" if motions else "")
        return motions[0]

    def _embedded(self, text: str, motion: Motion, cut: tuple[int, int] | None, mirror: bool, steps: bool) -> Asked:
        from ..views.augment import centre_crop
        from .indexing import features

        wanted = self.model.card["coords"]
        if motion.coords != wanted:
            hint = "Search among such motion, with a run that learned from it (--run)"
            raise InputError(text, f"motion in {motion.coords}-D", f"in {wanted}-D, as the run takes it", hint)
        first, last = cut or (0, len(motion))
        loader = self.model.loader([motion, motion.mirror()] if mirror else [motion])
        span = np.array([[first, last]])
        if cut is None:
            crop = centre_crop(loader.lengths[:1], self.model.card["crop"]["ratio"])
            span = np.array([[int(crop.start), int(crop.start + crop.length)]])
        rows = np.arange(len(loader.lengths))
        vectors, frame, joints = features(self.model, loader, rows, span.repeat(len(rows), 0))
        return Asked(
            text,
            index_files.unit(vectors.astype(np.float64)),
            motion.slice(first, last),
            frames=(first, last),
            is_part=cut is not None,
            steps=self._steps(frame, joints) if steps else None,
        )

    # ----------------------------------------------------------------------------------------------- searching

    def find(
        self,
        query: Query | Sequence[Query],
        k: int = 10,
        *,
        minus: Sequence[Query] = (),
        filters: Where | None = None,
        windows: bool | None = None,
        mirror: bool = False,
        rerank: bool = False,
    ) -> Answer:
        """The k movements most like a query, or several.

        The score of a hit is its cosine with the query; of several the mean over all that it is to be like, less half
        the mean over those that it is not to be like. A clip of the index is not among the hits of itself.

        Args:
            query: what to find, or several: see :data:`Query`.
            k: how many at most. Of windows that share more than half of the shorter one the best is given.
            minus: what hits are not to be like.
            filters: see :data:`kineme.inference.index.Where`.
            windows: search windows of long recordings instead of these as a whole; by default if the query is an
                interval.
            mirror: also what is like the query seen in a mirror.
            rerank: sort the first 50 hits by their frames, laid on those of the query in time
                (:mod:`kineme.inference.rerank`); of several queries the first counts.

        Raises:
            InputError: see :func:`search`; k below 1, a filter that nothing passes.
        """
        asked = self.prepare(query, k, minus=minus, filters=filters, windows=windows, mirror=mirror, rerank=rerank)
        return self.answer([asked])[0]

    def prepare(
        self,
        query: Query | Sequence[Query],
        k: int = 10,
        *,
        minus: Sequence[Query] = (),
        filters: Where | None = None,
        windows: bool | None = None,
        mirror: bool = False,
        rerank: bool = False,
    ) -> Prepared:
        """A search up to its comparison; arguments and errors as in :meth:`find`."""
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise InputError("-k", repr(k), "a whole number above 0")
        several = isinstance(query, (list, tuple)) and not isinstance(query, Entry)
        listed: list[Any] = list(query) if several else [query]  # type: ignore[arg-type]
        if not listed:
            raise InputError("query", "nothing", "a motion file or a clip id")
        plus = [self.ask(each, mirror, rerank and place == 0) for place, each in enumerate(listed)]
        less = [self.ask(each, mirror) for each in minus]
        if windows is None:
            windows = any(each.is_part for each in plus)
        chosen = self.index.select(filters, windows)
        among = int(np.count_nonzero(chosen))
        if not among:
            raise InputError("filters", f"{dict(filters or {})}, which no entry passes", "what some entries are")
        return Prepared(plus, less, k, chosen, among, windows, rerank)

    def answer(self, searches: Sequence[Prepared]) -> list[Answer]:
        """What each search finds, as if it were alone; all that compare every vector read these together."""
        begin = time.perf_counter()
        found = self._hits(searches)
        milliseconds = 1000 * (time.perf_counter() - begin)
        answers = []
        for each, (hits, exact) in zip(searches, found):
            steps, recall = each.plus[0].steps, None if exact else self.index.card["approximate"]["recall"]
            hits = hits if steps is None else self._reranked(steps, hits)
            answers.append(Answer(hits[: each.k], [*each.plus, *each.minus], each.among, milliseconds, recall))
        return answers

    def _hits(self, searches: Sequence[Prepared]) -> list[tuple[list[Hit], bool]]:
        """Distinct hits, and whether all was compared; more rows are looked at until there are k, or no more."""
        own = [{a.id: a.frames for a in (*each.plus, *each.minus) if a.id is not None} for each in searches]
        most = [RANKED if each.rerank else each.k for each in searches]
        wanted = [k + len(those) for k, those in zip(most, own)]
        vectors = [each.vectors for each in searches]
        found: dict[int, tuple[list[Hit], bool]] = {}
        while len(found) < len(searches):
            due = [i for i in range(len(searches)) if i not in found]
            asked = [(vectors[i], min(wanted[i], searches[i].among), searches[i].chosen) for i in due]
            near = self.index.likely_each(asked)
            scored = [_best(rows, scores, vectors[i]) for i, (rows, scores, _) in zip(due, near)]
            entries = iter(self.index.entries([row for each in scored for row in each]))
            for i, (_, _, exact), best in zip(due, near, scored):
                hits = [Hit(row, next(entries), *said) for row, said in best.items()]
                hits = [hit for hit in hits if not _is_own(hit.entry, own[i])]
                if searches[i].windows and hits:
                    spans = np.array([[hit.entry.start, hit.entry.end] for hit in hits])
                    apart = distinct(spans, [hit.score for hit in hits], [hit.entry.id for hit in hits])
                    hits = [hits[at] for at in apart]
                if len(hits) >= most[i] or wanted[i] >= searches[i].among:
                    found[i] = (hits[: most[i]], exact)
                wanted[i] *= 4
        return [found[i] for i in range(len(searches))]

    def _reranked(self, steps: np.ndarray, hits: list[Hit]) -> list[Hit]:
        """Hits sorted by the mean cosine of their frames with those of the query, or of its mirror image."""
        from ..views.augment import centre_crop
        from . import rerank
        from .indexing import features

        clips = list(dict.fromkeys((hit.entry.store, hit.entry.row) for hit in hits))
        loader = self.model.loader([self.store(number).motion(row) for number, row in clips])
        spans = np.array([[hit.entry.start, hit.entry.end] for hit in hits])
        crop = centre_crop(loader.lengths, self.model.card["crop"]["ratio"])
        rows = np.array([clips.index((hit.entry.store, hit.entry.row)) for hit in hits])
        whole = np.array([hit.entry.whole for hit in hits])
        cropped = np.stack([crop.start, crop.start + crop.length], 1)[rows]
        _, frame, joints = features(self.model, loader, rows, np.where(whole[:, None], cropped, spans))
        others = self._steps(frame, joints)
        aligned = 1 - np.stack([rerank.costs(each, others) for each in steps])  # [1 or 2, n]
        sides = np.array([int(hit.mirrored) for hit in hits])
        scored = [hit._replace(aligned=float(aligned[side, i])) for i, (hit, side) in enumerate(zip(hits, sides))]
        return sorted(scored, key=lambda hit: -(hit.aligned or 0.0))

    def _steps(self, frame: np.ndarray | None, joints: np.ndarray) -> np.ndarray:
        """Frame features with unit rows ``[n, T', D']``: the encoder's where it has some, else poses."""
        from . import rerank

        return rerank.cosine(rerank.poses(joints, self.model.layout) if frame is None else frame)


def _best(rows: np.ndarray, scores: np.ndarray, vectors: np.ndarray) -> dict[int, tuple[float, bool]]:
    """By row its score and whether it is that with the query seen in a mirror, the best first."""
    found: dict[int, tuple[float, bool]] = {}
    for side, length in enumerate(np.linalg.norm(vectors, axis=1)):
        for row, score in zip(rows[side].tolist(), (scores[side] * length).tolist()):
            if row not in found or score > found[row][0]:
                found[row] = (score, side == 1)
    return {row: found[row] for row in sorted(found, key=lambda row: (-found[row][0], row))}


def _interval(text: str) -> tuple[str, tuple[float, float] | None]:
    """What is asked for, and the interval of it that stands behind an ``@``."""
    match = INTERVAL.fullmatch(text)
    if match is None:
        return text, None
    start, end = float(match["start"]), float(match["end"])
    if start >= end:
        raise InputError(
            text, f"an interval from {start:g} to {end:g} s", "START-END in seconds, the end after the start"
        )
    return match["what"], (start, end)


def _frames(text: str, motion: Motion, interval: tuple[float, float]) -> tuple[int, int]:
    """An interval in frames of a motion."""
    start, end = interval
    if motion.fps is None:
        hint = "Say it with a table of labels (column fps), or cut the file"
        raise InputError(
            text, "an interval in seconds, but no frames per second are known", "a motion with a rate", hint
        )
    seconds = len(motion) / motion.fps
    if end > seconds + 1 / motion.fps:
        found = f"an interval up to {end:g} s of a motion of {seconds:.2f} s"
        raise InputError(text, found, f"one within 0-{seconds:.2f}")
    first, last = round(start * motion.fps), min(round(end * motion.fps), len(motion))
    if first >= last:
        raise InputError(text, f"no frame between {start:g} and {end:g} s at {motion.fps:g} a second", "one or more")
    return first, last


def _file(what: str) -> str:
    """The file that a word names, without the clip behind a ``#``."""
    return what if os.path.exists(what) or "#" not in what else what.partition("#")[0]


def _clip(motion: Motion) -> str:
    return motion.source.rpartition("#")[2] or Path(motion.source).name


def _is_own(entry: Entry, own: dict[str, tuple[int, int]]) -> bool:
    """Whether an entry is of the clip that was asked with, and shares frames with what was asked."""
    if entry.id not in own:
        return False
    start, end = own[entry.id]
    return entry.start < end and start < entry.end
