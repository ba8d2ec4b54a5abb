"""What the page shows: the clips of an index, their columns, their vectors, and what is like them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...inference import rerank
from ...inference.cache import Cache
from ...inference.index import Entry
from ...inference.search import Answer, Prepared, Searcher
from ...motion.motion import Motion
from ...utils.errors import InputError
from . import clips
from .gathering import Gathering
from .maps import Maps

MOST_CATEGORIES = 65_000
SHOWN = ("label", "subject", "camera")  # columns that come first
GROUPS = ("subject", "performance", "source")  # what a recogniser is held out by
HIDDEN = ("id", "source", "start", "end")
KEPT = 512  # clips in memory
MAP_FRAMES = 400  # of each clip that is laid on another


class Sought(NamedTuple):
    """A search: what hits are like, further clips that they are to be like and unlike, how many, among which."""

    query: Entry | Motion
    plus: Sequence[int] = ()
    minus: Sequence[int] = ()
    k: int = 12
    windows: bool = False
    mirror: bool = False
    where: Mapping[str, Any] | None = None


class Workspace:
    """An index, opened to be looked at. Its clips are numbered from 0, as the page numbers them.

    Args:
        searcher: the index with its run and stores.
        name: what it is called.
        finest: the best map that is made, see :class:`kineme.apps.explorer.maps.Maps`.

    Attributes:
        rows: int64 ``[N]``, rows of the index, one for each clip.
        entries: what stands there.
        searches: takes what is :class:`Sought`, and answers those who ask at once together.
    """

    def __init__(self, searcher: Searcher, name: str, finest: str = "tsne"):
        self.searcher, self.name = searcher, name
        index = searcher.index
        self.rows = np.flatnonzero(index.select())
        self.entries: list[Entry] = index.entries(self.rows)
        self._numbers = {(entry.store, entry.row): number for number, entry in enumerate(self.entries)}
        self.vectors = index.vectors(self.rows)
        self.maps = Maps(self.vectors, index.path, finest)
        self._lock = threading.Lock()  # the run is asked by one at a time
        self.searches = Gathering(self._found)
        self.motion = functools.lru_cache(KEPT)(self._motion)

    def __len__(self) -> int:
        return len(self.rows)

    def _motion(self, number: int) -> Motion:
        return self.searcher.motion(self.entries[number])

    def check(self, numbers: Sequence[int], most: int) -> list[int]:
        """Numbers of clips from outside.

        Raises:
            InputError: too many, or one that is not there.
        """
        if not 0 < len(numbers) <= most:
            raise InputError("rows", f"{len(numbers)} of them", f"1 to {most}")
        for number in numbers:
            if not 0 <= number < len(self):
                raise InputError("rows", str(number), f"0 to {len(self) - 1}")
        return list(numbers)

    @functools.cached_property
    def raw(self) -> np.ndarray:
        """Vectors as the run gives them, float32 ``[N, D]``: what recognisers are taught by. Made when first needed."""
        index = self.searcher.index
        known = {"weights": index.card["run"]["weights"], "stores": [each["hash"] for each in index.card["stores"]]}
        cache = Cache(index.path, {**known, "rows": self.rows.tolist()}, (len(self), index.dim))
        found = cache.read()
        if found is None:
            whole = {number: self.searcher.model.embed(self.searcher.store(number)) for number in self.stores}
            found = np.stack([whole[entry.store][entry.row] for entry in self.entries]).astype(np.float32)
            cache.write(found)
        return found

    @functools.cached_property
    def stores(self) -> list[int]:
        """Numbers of the stores that clips are in."""
        return sorted({entry.store for entry in self.entries})

    def groups(self) -> dict[str, list[Any]]:
        """Columns that say what clips have in common, the most telling first."""
        found = {}
        for name in GROUPS:
            values: list[Any] = []
            columns = {n: self.searcher.store(n).column(name) for n in self.stores}
            several = len(self.stores) > 1
            for entry in self.entries:
                value = columns[entry.store][entry.row]
                missing = value is None or value != value
                values.append(None if missing else (entry.store, value) if several else value)
            found[name] = values
        return found

    @property
    def in_image(self) -> bool:
        """Whether the run looks at coordinates in the image."""
        return self.searcher.model.card["normalise"].get("how") == "image"

    # ------------------------------------------------------------------------------------------------- about it

    @functools.cached_property
    def hidden(self) -> int | None:
        """The joint that is no part of bodies, see :func:`kineme.apps.explorer.clips.false_root`."""
        some = np.linspace(0, len(self) - 1, min(len(self), clips.POOLED)).round().astype(int)
        return clips.false_root([self._motion(number) for number in some.tolist()]) if len(self) else None

    @functools.cached_property
    def about(self) -> dict[str, Any]:
        """What the page has to know first."""
        store, index = self.searcher.store(0), self.searcher.index
        run = index.card["run"]
        names = [entry.fps for entry in self.entries if entry.fps is not None]
        return {
            "card": 1,
            "name": self.name,
            "hash": store.hash,
            "clips": len(self),
            "frames": int(sum(entry.end - entry.start for entry in self.entries)),
            "coords": store.coords,
            "fps": float(np.median(names)) if names else None,
            "layout": {
                "name": store.layout.name,
                "joints": list(store.layout.joints),
                "limbs": clips.drawn(store.layout, self.hidden),
                "head": clips.head(store.layout),
            },
            "columns": [self.describe(name) for name in self.columns],
            "runs": [{"id": "a", "name": run["name"], "dim": index.dim, "hash": run["weights"][:12]}],
            "windows": bool((~index.column("whole")).any()),
            "limits": {"k": 200, "clips": 24, "strips": 64, "frames": clips.MOST_FRAMES},
        }

    # ------------------------------------------------------------------------------------------------- columns

    @functools.cached_property
    def columns(self) -> dict[str, list[Any]]:
        """By name one value for each clip, None where there is none; only columns that say something."""
        found: dict[str, list[Any]] = {name: [getattr(entry, name) for entry in self.entries] for name in SHOWN}
        found["seconds"] = [e.fps and round((e.end - e.start) / e.fps, 3) for e in self.entries]
        for number in self.stores:
            table = self.searcher.store(number).clips
            for name in table.column_names:
                if name not in found and name not in HIDDEN:
                    values = table[name].to_pylist()
                    found[name] = [
                        values[entry.row] if entry.store == number else (found[name][i] if name in found else None)
                        for i, entry in enumerate(self.entries)
                    ]
        kept = {}
        for name, values in found.items():
            different = {value for value in values if value is not None}
            text = any(isinstance(value, str) for value in different)
            if different and (name in SHOWN or len(different) > 1) and not (text and len(different) > MOST_CATEGORIES):
                kept[name] = values
        return kept

    def describe(self, name: str) -> dict[str, Any]:
        """A column: ``class`` with its categories, the most frequent first, or ``number`` with its range."""
        values = self.columns[name]
        known = [value for value in values if value is not None]
        if name not in SHOWN and all(isinstance(value, (int, float)) for value in known):
            return {"name": name, "kind": "number", "min": float(min(known)), "max": float(max(known))}
        return {"name": name, "kind": "class", "categories": self.categories(name)}

    @functools.lru_cache(64)  # noqa: B019  a workspace lives as long as its server
    def categories(self, name: str) -> list[str]:
        """Different values of a column as text, the most frequent first."""
        values, counts = np.unique([str(v) for v in self.columns[name] if v is not None], return_counts=True)
        return [str(values[i]) for i in np.lexsort((values, -counts))]

    def codes(self, name: str) -> np.ndarray:
        """A column as the page takes it, in map order: numbers of categories, the last one for none; or float32.

        Raises:
            InputError: no such column.
        """
        if name not in self.columns:
            raise InputError("column", repr(name), f"one of {', '.join(self.columns)}")
        values = self.columns[name]
        about = self.describe(name)
        if about["kind"] == "number":
            numbers = np.array([np.nan if v is None else float(v) for v in values], np.float32)
            return numbers[self.maps.order]
        places = {text: i for i, text in enumerate(about["categories"])}
        dtype = np.uint8 if len(places) < 255 else np.uint16
        coded = np.array([np.iinfo(dtype).max if v is None else places[str(v)] for v in values], dtype)
        return coded[self.maps.order]

    def row(self, number: int) -> dict[str, Any]:
        """What a list says of a clip."""
        entry = self.entries[number]
        seconds = None if not entry.fps else round((entry.end - entry.start) / entry.fps, 3)
        facts = {"label": entry.label, "subject": entry.subject, "camera": entry.camera}
        return {"row": number, "name": entry.id, "seconds": seconds, "frames": entry.end - entry.start, **facts}

    # -------------------------------------------------------------------------------------------------- search

    def part(self, number: int, start: float | None, end: float | None) -> Entry:
        """A clip, or its frames between two seconds (frames, where no rate is known).

        Raises:
            InputError: nothing between them.
        """
        entry = self.entries[number]
        if start is None and end is None:
            return entry
        first, last = span(entry.end - entry.start, entry.fps, start, end)
        return entry._replace(start=first, end=last, whole=False)

    def search(self, query: Entry | Motion, **how: Any) -> dict[str, Any]:
        """The k most alike, with numbers of clips in place of their ids; see :class:`Sought`."""
        return self.searches.ask(Sought(query, **how)).result()

    def _found(self, sought: Sequence[Sought]) -> list[dict[str, Any] | Exception]:
        """What each search finds, or its error; the vectors of the index are read once for all."""
        found: list[Any] = []
        with self._lock:
            for each in sought:
                try:
                    found.append(self._prepared(each))
                except Exception as error:  # of this search alone
                    found.append(error)
            prepared = [each for each in found if isinstance(each, Prepared)]
            answers = iter(self.searcher.answer(prepared) if prepared else [])
        return [self._said(next(answers)) if isinstance(each, Prepared) else each for each in found]

    def _prepared(self, sought: Sought) -> Prepared:
        asked = [sought.query, *(self.entries[number] for number in sought.plus)]
        away = [self.entries[number] for number in sought.minus]
        how: dict[str, Any] = {"filters": sought.where or None, "windows": sought.windows, "mirror": sought.mirror}
        return self.searcher.prepare(asked, sought.k, minus=away, **how)

    def _said(self, answer: Answer) -> dict[str, Any]:
        said = {"exact": answer.recall is None, "recall": answer.recall, "among": answer.among}
        return {"hits": self._hits(answer), **said, "ms": round(answer.milliseconds, 2)}

    def _hits(self, answer: Answer) -> list[dict[str, Any]]:
        found = []
        for hit in answer.hits:
            number = self._numbers.get((hit.entry.store, hit.entry.row))
            if number is not None:
                rate = hit.entry.fps or 1.0
                at = {"from": hit.entry.start / rate, "to": hit.entry.end / rate} if not hit.entry.whole else {}
                found.append({**self.row(number), "score": hit.score, "mirrored": hit.mirrored, **at})
        return found

    def vector(self, query: Entry | Motion) -> np.ndarray:
        """The unit vector ``[D]`` of a movement."""
        with self._lock:
            return self.searcher.ask(query).vectors[0].astype(np.float32)

    def place(self, vector: np.ndarray, kind: str) -> list[int]:
        """Where a movement of this vector stands on a map: the median of its ten nearest clips."""
        near = np.argsort(-(self.vectors @ vector), kind="stable")[:10]
        return np.median(self.maps.get(kind)[near], 0).round().astype(int).tolist()

    def align(self, a: Motion, b: Motion) -> tuple[np.ndarray, float]:
        """For each frame of a the frame of b that is like it, by poses, and how far they are apart."""
        rows = []
        for motion in (a, b):
            fitted = self.searcher.model.fitted(motion) if a.layout.joints != b.layout.joints else motion
            if len(fitted) > clips.MOST_FRAMES:
                raise InputError("align", f"{len(fitted)} frames", f"at most {clips.MOST_FRAMES}")
            keep = np.linspace(0, len(fitted) - 1, min(len(fitted), MAP_FRAMES)).round().astype(int)
            joints = np.nan_to_num(fitted.joints[keep][:, :1])
            rows.append((keep, rerank.poses(joints[None], fitted.layout)[0]))
        (kept_a, poses_a), (kept_b, poses_b) = rows
        way, cost = rerank.path(poses_a, poses_b)
        full = np.interp(np.arange(len(a)), kept_a, kept_b[way])
        return full.round().astype(np.uint16), cost


def span(frames: int, fps: float | None, start: float | None, end: float | None) -> tuple[int, int]:
    """Frames between two seconds, as they are counted without a rate.

    Raises:
        InputError: none.
    """
    rate = fps or 1.0
    first = 0 if start is None else round(start * rate)
    last = frames if end is None else min(round(end * rate), frames)
    if not 0 <= first < last:
        raise InputError("interval", f"{start} to {end}", f"a part of 0 to {frames / rate:.2f}")
    return first, last
