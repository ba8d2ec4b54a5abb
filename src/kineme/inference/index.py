"""An index on disk: unit vectors of clips, and of windows of long recordings, to be searched by cosine.

Opening reads a card and maps the vectors; it loads no torch. Adding and removing write further files beside those that
are there and then replace the card, so a killed process leaves the index as it was before or as it is after, and
whoever has it open reads on.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..utils import files
from ..utils.errors import InputError
from ..utils.registry import did_you_mean
from . import index_files
from .approximate import KINDS, SAMPLED, SEED, Approximate
from .approximate import K as NEAREST
from .exact import GRID, SLACK, Wanted, candidates, union
from .index_files import AGAIN, COLUMNS, FORMAT

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 16 << 20  # bytes of vectors that are multiplied at a time
FEW = 20_000  # chosen rows up to which all are compared, also where there is an approximate index
MOST_PARTS = 32  # files of vectors; beyond this, or with more removed than kept, all is written once more
FILTERS = ("label", "subject", "camera", "length")
Where = Mapping[str, Any]
"""What entries must be: ``{"label": "walk"}``, ``{"subject": ["S1", "S2"]}``, ``{"subject": {"not": "S3"}}``,
``{"length": (1.0, 4.0)}`` in seconds, either end None."""

Search = tuple[np.ndarray, int, np.ndarray]  # queries, k and chosen rows


class Entry(NamedTuple):
    """What an entry of the index is of.

    Attributes:
        id: of the clip.
        store, row: number of the store in the index' card, and the clip's row there.
        start, end: frames ``start`` up to, not including, ``end``.
        fps: frames per second, or None.
        whole: the whole clip, no window of it.
        label, subject, camera: text, or None.
    """

    id: str
    store: int
    row: int
    start: int
    end: int
    fps: float | None
    whole: bool
    label: str | None
    subject: str | None
    camera: str | None


class Index:
    """An index, opened.

    Attributes:
        path: its folder.
        card: contents of ``card.json``.
        dim: D, of its vectors.

    Raises:
        InputError: no index, a damaged one, or one of another version. Changed bytes are found by :meth:`verify` only.

    Examples:
        >>> index = kineme.Index(kineme.index(store, run, "opened-index").path)
        >>> rows, scores = index.nearest(index.vectors([3]), k=2)
        >>> index.entries(rows[0])[0].id == store.ids[3], bool(scores[0, 0] > 0.999)
        (True, True)
    """

    def __init__(self, path: str | os.PathLike):
        self.path = files.as_path(path, "an index")
        self._open()

    def _open(self) -> None:
        for name in ("_removed", "_alive", "_approximate"):
            self.__dict__.pop(name, None)
        self.card = index_files.read_card(self.path)
        self.dim: int = self.card["dim"]
        self._columns: dict[str, Any] = {}
        parts = [part for part in self.card["parts"] if part["rows"]]
        self._parts = [index_files.mapped(self.path / part["vectors"], (part["rows"], self.dim)) for part in parts]
        self._offsets = np.cumsum([0, *map(len, self._parts)])

    def __len__(self) -> int:
        """Entries, whole clips and windows."""
        return int(self._offsets[-1]) - len(self._removed)

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r}, {len(self)} entries of {self.dim} dimensions)"

    @functools.cached_property
    def _removed(self) -> np.ndarray:
        """Rows that do not count any more, int64 ``[r]``."""
        name, rows = self.card["removed"], int(self._offsets[-1])
        if name is None:
            return np.empty(0, np.int64)
        try:
            found = np.load(self.path / name, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(self.path / name, f"not readable ({error})", "rows of the index", AGAIN) from None
        if found.dtype != np.int64 or found.ndim != 1 or not ((found >= 0) & (found < rows)).all():
            raise InputError(self.path / name, f"{found.dtype} of shape {found.shape}", f"rows below {rows}", AGAIN)
        return found

    @functools.cached_property
    def _alive(self) -> np.ndarray:
        alive = np.ones(int(self._offsets[-1]), bool)
        alive[self._removed] = False
        return alive

    # ------------------------------------------------------------------------------------------------- entries

    def column(self, name: str) -> np.ndarray:
        """One column of numbers or bool of all rows ``[N]``, removed ones among them; NaN where there is none."""
        if name not in self._columns:
            self._columns[name] = self.arrow(name).to_numpy()
        return self._columns[name]

    def _codes(self, name: str) -> tuple[np.ndarray, list[Any]]:
        """A column of text as numbers ``[N]`` (-1: none) into the list of its values."""
        key = f"{name} codes"
        if key not in self._columns:
            column = self.arrow(name).combine_chunks().dictionary_encode()
            self._columns[key] = (column.indices.fill_null(-1).to_numpy(), column.dictionary.to_pylist())
        return self._columns[key]

    def arrow(self, name: str) -> pa.ChunkedArray:
        """One column of all rows, removed ones among them."""
        key = f"{name} as it was read"
        if key not in self._columns:
            self._columns[key] = self._read([name])[name]
        return self._columns[key]

    def _read(self, columns: list[str] | None) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = []
        for part in self.card["parts"]:
            path = self.path / part["entries"]
            try:
                table = pq.read_table(path, columns=columns, memory_map=True)
                wrong = [name for name in columns or COLUMNS if str(table[name].type) != COLUMNS[name]]
            except (pa.ArrowException, OSError, KeyError) as error:
                raise InputError(path, f"not readable ({str(error)[:200]})", "entries of an index", AGAIN) from None
            if wrong or len(table) != part["rows"]:
                found = f"column {wrong[0]} of another type" if wrong else f"{len(table)} rows"
                raise InputError(path, found, f"{part['rows']} entries as card.json says", AGAIN)
            tables.append(table)
        return pa.concat_tables(tables) if tables else index_files.table({name: [] for name in columns or COLUMNS})

    def entries(self, rows: Sequence[int] | np.ndarray) -> list[Entry]:
        """What stands in some rows."""
        rows = np.asarray(rows, np.int64)
        picked = [self.arrow(name).take(rows).to_pylist() for name in Entry._fields]
        return [_entry(values) for values in zip(*picked)]

    def vectors(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Unit vectors of some rows, float32 ``[n, D]``."""
        rows = np.asarray(rows, np.int64)
        out = np.empty((len(rows), self.dim), np.float32)
        for part, begin in zip(self._parts, self._offsets):
            here = (rows >= begin) & (rows < begin + len(part))
            out[here] = part[rows[here] - begin]
        return out

    def find(self, id: str) -> int | None:
        """The row of the whole clip of that id; None if there is none."""
        import pyarrow.compute as pc

        same = np.flatnonzero(pc.equal(self.arrow("id"), id).to_numpy())
        rows = same[self._alive[same] & self.column("whole")[same]]
        return int(rows[0]) if len(rows) else None

    def ids(self) -> list[str]:
        """Ids of the clips, in the order in which they came."""
        return self.arrow("id").take(np.flatnonzero(self._alive & self.column("whole"))).to_pylist()

    # -------------------------------------------------------------------------------------------------- search

    def select(self, where: Where | None = None, windows: bool = False) -> np.ndarray:
        """Which rows are asked for, bool ``[N]``.

        Args:
            where: see :data:`Where`.
            windows: windows instead of the clips that are cut into them (clips that are not stay); else whole clips.

        Raises:
            InputError: a filter that does not exist, or a value that no entry has.
        """
        whole = self.column("whole")
        chosen = self._alive & (~(whole & self.column("cut")) if windows else whole)
        for name, wanted in (where or {}).items():
            if name not in FILTERS:
                known = f"one of {', '.join(FILTERS)}"
                raise InputError(f"filter {name!r}", "no such filter", known, did_you_mean(name, FILTERS))
            chosen = chosen & (self._lasting(wanted) if name == "length" else self._among(name, wanted))
        return chosen

    def _among(self, name: str, wanted: Any) -> np.ndarray:
        codes, values = self._codes(name)
        unwanted = isinstance(wanted, Mapping)
        asked = wanted.get("not") if isinstance(wanted, Mapping) else wanted
        if asked is None or (isinstance(wanted, Mapping) and len(wanted) != 1):
            raise InputError(f"filter {name!r}", repr(wanted), 'a value, a list of values, or {"not": value}')
        listed = [asked] if isinstance(asked, (str, int, np.integer)) else list(asked)
        texts = [str(value) for value in listed]
        for text in texts:
            if text not in values:
                shown = ", ".join(map(str, values[:12])) + (" ..." if len(values) > 12 else "")
                near = did_you_mean(text, [value for value in values if value is not None])
                there = f"one of {shown}" if shown else f"entries with a {name}"
                raise InputError(f"filter {name}={text}", f"no entry has this {name}", there, near)
        found = np.isin(codes, [values.index(text) for text in texts])
        return ~found if unwanted else found

    def _lasting(self, wanted: Any) -> np.ndarray:
        try:
            low, high = (None if end is None else float(end) for end in wanted)
        except (TypeError, ValueError):
            raise InputError(
                "filter 'length'", repr(wanted), "(shortest, longest) in seconds, either may be None"
            ) from None
        seconds = (self.column("end") - self.column("start")) / self.column("fps")  # NaN: unknown
        return (seconds >= (-np.inf if low is None else low)) & (seconds <= (np.inf if high is None else high))

    def nearest(self, queries: np.ndarray, k: int, chosen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The rows nearest to each query by cosine, nearest first; of equally near ones the earlier first. Exact.

        float32 products in blocks, of which the best are kept and compared again in float64.

        Args:
            queries: ``[m, D]`` of any length; scores are those of vectors of length one.
            k: how many.
            chosen: of which rows, bool ``[N]`` (:meth:`select`); by default all that are not removed.

        Returns:
            int64 ``[m, k']`` rows, float32 ``[m, k']`` cosines; k' is k, or fewer where fewer are chosen.

        Raises:
            InputError: k below 1, queries of another dimension.
        """
        return self.nearest_each([(queries, k, self._alive if chosen is None else chosen)])[0]

    def nearest_each(self, searches: Sequence[Search]) -> list[tuple[np.ndarray, np.ndarray]]:
        """What :meth:`nearest` finds by queries, k and chosen rows of each search; all vectors are read once."""
        wanted = []
        for queries, k, chosen in searches:
            queries = np.atleast_2d(np.asarray(queries, np.float64))
            if k < 1:
                raise InputError("k", str(k), "a whole number above 0")
            if queries.shape[1] != self.dim:
                raise InputError("query", f"a vector of {queries.shape[1]} dimensions", f"{self.dim}, as the index has")
            wanted.append(Wanted(index_files.unit(queries), k, chosen))
        found = candidates(self.blocks(union(wanted)), wanted) if wanted else []
        return [self.settle(each.queries, places, each.k) for each, places in zip(wanted, found)]

    # ------------------------------------------------------------------------------------------------ approximately

    def approximate(self, kind: str) -> float:
        """Build what :meth:`likely` searches; adding and removing take it away again.

        Args:
            kind: ``hnsw``, ``ivf``, or ``exact`` for none.

        Returns:
            recall: of the ten nearest of 200 entries, the share that is found (at least 0.95, or all was looked at).

        Raises:
            InputError: faiss is not installed, no such kind, more vectors than fit into the free memory.
        """
        if kind not in KINDS:
            raise InputError("--kind", repr(kind), f"one of {', '.join(KINDS)}", did_you_mean(kind, KINDS))
        recall = 1.0
        with self._changing() as (card, name):
            if kind != "exact":
                files.fits(self.path, 3 * 4 * self.dim * len(self._alive))
                vectors = self.vectors(np.arange(len(self._alive)))
                vectors[self._removed] = 0  # rows keep their numbers, and what was removed is like nothing
                made = Approximate.train(vectors, kind)
                alive = np.flatnonzero(self._alive)
                sampled = np.sort(np.random.default_rng(SEED).permutation(alive)[:SAMPLED])
                recall = made.settle(vectors, self.nearest(vectors[sampled], min(NEAREST, len(alive)))[0], sampled)
                file = f"faiss-{name}.index"
                with files.atomic(self.path / file) as temporary:
                    made.write(temporary)
                said = {"kind": kind, "file": file, "effort": made.effort, "recall": round(recall, 4)}
                card["approximate"] = {**said, "sha256": index_files.digest(self.path / file)}
        return recall

    @functools.cached_property
    def _approximate(self) -> Approximate | None:
        said = self.card.get("approximate")
        if said is None:
            return None
        try:
            return Approximate.read(self.path / said["file"], said["kind"], said["effort"])
        except InputError as error:
            warnings.warn(f"{error} Until then it is searched exactly.", stacklevel=4)
            return None

    def likely(self, queries: np.ndarray, k: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """The rows nearest to each query as :meth:`nearest` gives them, and whether they are those for sure.

        Where there is an approximate index and many rows are chosen, it names candidates, which are compared by full
        vectors; all else is compared with every vector.
        """
        return self.likely_each([(queries, k, chosen)])[0]

    def likely_each(self, searches: Sequence[Search]) -> list[tuple[np.ndarray, np.ndarray, bool]]:
        """What :meth:`likely` finds by each search; those that need every vector share one reading of them."""
        guessed = [self._guessed(*each) for each in searches]
        exact = iter(self.nearest_each([each for each, found in zip(searches, guessed) if found is None]))
        return [(*next(exact), True) if found is None else (*found, False) for found in guessed]

    def _guessed(self, queries: np.ndarray, k: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Rows and cosines among candidates of the approximate index; None where all have to be compared."""
        among = int(np.count_nonzero(chosen))
        made = self._approximate if among > FEW else None
        if made is None:
            return None
        queries = index_files.unit(np.atleast_2d(np.asarray(queries, np.float64)))
        count = min(len(chosen), (k + SLACK) * -(-2 * len(chosen) // among))
        found = made.candidates(queries.astype(np.float32), count)
        kept = [rows[(rows >= 0) & chosen[rows]] for rows in found]
        if min(map(len, kept)) < min(k, among):  # the filter left too few
            return None
        return self.settle(queries, np.stack([rows[: min(map(len, kept))] for rows in kept]), k)

    def settle(self, queries: np.ndarray, places: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best of some rows ``[m, n]`` of each unit query, compared in float64; see :meth:`nearest`."""
        scores = np.empty(places.shape)
        for i, (query, rows) in enumerate(zip(queries, places)):
            scores[i] = np.einsum("nd,d->n", self.vectors(rows).astype(np.float64), query)  # whatever rows are beside
        order = np.stack([np.lexsort((rows, -np.round(near * GRID))) for rows, near in zip(places, scores)])[:, :k]
        return np.take_along_axis(places, order, 1), np.take_along_axis(scores, order, 1).astype(np.float32)

    def blocks(self, chosen: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Row numbers and vectors of what is chosen, by default of all that is not removed, block by block."""
        chosen = self._alive if chosen is None else chosen
        size = max(1, BLOCK // (4 * self.dim))
        for part, offset in zip(self._parts, self._offsets):
            for begin in range(0, len(part), size):
                end = min(begin + size, len(part))
                wanted = np.flatnonzero(chosen[offset + begin : offset + end])
                if not len(wanted):
                    continue
                block = part[begin:end]
                yield offset + begin + wanted, block if len(wanted) == end - begin else block[wanted]

    # ------------------------------------------------------------------------------------------------- changes

    def add(self, blocks: Iterable[np.ndarray], entries: Mapping[str, Sequence[Any]], store: Mapping[str, Any]) -> None:
        """Add entries of one store.

        Args:
            blocks: their vectors ``[n, D]``, block after block, of any length.
            entries: columns as in :data:`COLUMNS`, without ``store``.
            store: what the card says of it: ``path``, ``hash``.

        Raises:
            InputError: an id that is there already, another process that changes the index, no room on the disk.
        """
        with self._changing() as (card, name):
            known = set(self.ids())
            again = next((id for id, whole in zip(entries["id"], entries["whole"]) if whole and id in known), None)
            if again is not None:
                hint = f"Remove it first: kineme index --out {self.path} --remove {again!r}"
                raise InputError(f"clip {again!r}", f"in {self.path} already", "clips that are new to it", hint)
            table = index_files.table({**entries, "store": [len(card["stores"])] * len(entries["id"])})
            card["parts"].append(
                index_files.write_part(self.path, name, table, map(index_files.unit, blocks), self.dim)
            )
            card["stores"].append(dict(store))
            if len(card["parts"]) > MOST_PARTS:
                self._rewrite(card, f"{name}a", np.append(self._alive, np.ones(len(table), bool)))

    def remove(self, patterns: Sequence[str]) -> int:
        """Remove clips with their windows; how many clips.

        Args:
            patterns: ids, or patterns of them with ``*``.

        Raises:
            InputError: a pattern that fits no clip.
        """
        with self._changing() as (card, name):
            codes, names = self._codes("id")
            there = set(np.unique(codes[self._alive]).tolist())
            gone: set[int] = set()
            for pattern in patterns:
                fits = {i for i in there if names[i] == pattern or fnmatchcase(names[i], pattern)}
                if not fits:
                    near = did_you_mean(pattern, (names[i] for i in there))
                    raise InputError(f"--remove {pattern}", f"no clip of {self.path} has this id", "ids of clips", near)
                gone |= fits
            dead = np.isin(codes, list(gone)) | ~self._alive
            if 2 * dead.sum() > len(dead):
                self._rewrite(card, name, ~dead)
            else:
                card["removed"] = f"removed-{name}.npy"
                with files.atomic(self.path / card["removed"]) as temporary, open(temporary, "wb") as file:
                    np.save(file, np.flatnonzero(dead))
        return len(gone)

    def _rewrite(self, card: dict[str, Any], name: str, keep: np.ndarray) -> None:
        """All that is kept as one part."""
        import pyarrow as pa

        files_of, offset, size = [part for part in card["parts"] if part["rows"]], 0, max(1, BLOCK // (4 * self.dim))
        parts = [index_files.mapped(self.path / part["vectors"], (part["rows"], self.dim)) for part in files_of]
        previous, self.card = self.card, card
        try:
            table = self._read(None).filter(pa.array(keep))
        finally:
            self.card = previous

        def blocks() -> Iterator[np.ndarray]:
            nonlocal offset
            for part in parts:
                for begin in range(0, len(part), size):
                    block = part[begin : begin + size]
                    yield block[keep[offset + begin : offset + begin + len(block)]]
                offset += len(part)

        card["parts"], card["removed"] = [index_files.write_part(self.path, name, table, blocks(), self.dim)], None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[dict[str, Any], str]]:
        """The card as it is now, to be changed, and a name for new files; written and opened again in the end."""
        with files.locked(self.path, "another process is changing this index", "Try again when it has finished"):
            self._open()
            card = {**self.card, "parts": list(self.card["parts"]), "stores": list(self.card["stores"])}
            card["generation"] += 1
            card["approximate"] = None
            try:
                yield card, f"{card['generation']:04d}"
                files.write_json(self.path / "card.json", card)
            finally:
                kept = index_files.named(index_files.read_card(self.path))
                for path in self.path.iterdir():
                    if path.name.startswith(("vectors-", "entries-", "removed-", "faiss-")) and path.name not in kept:
                        path.unlink(missing_ok=True)  # whoever has it mapped reads on
            self._open()

    def verify(self) -> None:
        """Read every byte of vectors and entries and compare with the digests in the card.

        Raises:
            InputError: names the first file of which a byte has changed.
        """
        for part in self.card["parts"]:
            for kind in ("vectors", "entries"):
                path = self.path / part[kind]
                self._verify(path, part[f"{kind}_sha256"])
        if self.card.get("approximate"):
            self._verify(self.path / self.card["approximate"]["file"], self.card["approximate"]["sha256"])

    @staticmethod
    def _verify(path: Path, digest: str) -> None:
        if not path.is_file() or index_files.digest(path) != digest:
            raise InputError(path, "missing, or bytes have changed since it was written", hint=AGAIN)


def create(path: Path, dim: int, run: Mapping[str, Any], windows: Mapping[str, float] | None) -> Index:
    """An index without entries in a folder that is there.

    Args:
        path: the folder.
        dim: D.
        run: ``name``, ``path`` and ``weights`` (their hash).
        windows: ``seconds`` and ``step``, of recordings that are long enough to be cut; None: none are.
    """
    card = {"kind": "index", "format": FORMAT, "dim": dim, "run": dict(run), "windows": windows and dict(windows)}
    files.write_json(path / "card.json", {**card, "generation": 0, "stores": [], "parts": [], "removed": None})
    return Index(path)


def _entry(values: Sequence[Any]) -> Entry:
    """An entry of plain values; a rate that is not known is None."""
    entry = Entry(*values)
    return entry if entry.fps is not None and entry.fps == entry.fps else entry._replace(fps=None)
