"""Candidates for the nearest vectors of a large index by faiss: graphs (HNSW) or lists (IVF), and how many they miss.

HNSW: Malkov, Yashunin (2018), *Efficient and robust approximate nearest neighbor search using hierarchical navigable
small world graphs*. IVF: inverted lists around k-means centres, of which some are searched. What is found is compared
again by full vectors, so scores are exact; only a neighbour can be missing.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import InputError

KINDS = ("exact", "hnsw", "ivf")
LINKS, WIDTH = 16, 100  # of a graph: links of a node, candidates while it is built
PER_LIST = 64  # vectors that train each centre
ENOUGH = 0.95  # of the true neighbours: more is searched until a sample has them, or all is
SAMPLED, K = 200, 10  # vectors that recall is measured by, neighbours of each
SEED = 0


def faiss(asked: str) -> Any:
    """The package.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError:
        hint = "pip install 'kineme[search]'"
        raise InputError(asked, "the package faiss is not installed", "faiss-cpu", hint) from None


class Approximate:
    """An index of faiss over all rows of vectors.

    Args:
        inner: of faiss.
        kind: ``hnsw`` or ``ivf``.
        effort: candidates (HNSW) or lists (IVF) that are looked at for each query.
    """

    def __init__(self, inner: Any, kind: str, effort: int):
        self.inner, self.kind, self.effort = inner, kind, effort

    @classmethod
    def train(cls, vectors: np.ndarray, kind: str) -> Approximate:
        """Build one over unit vectors ``[N, D]``.

        Raises:
            InputError: faiss is not installed, no such kind.
        """
        library = faiss(f"--kind {kind}")
        count, dim = vectors.shape
        if kind == "hnsw":
            inner = library.IndexHNSWFlat(dim, LINKS, library.METRIC_INNER_PRODUCT)
            inner.hnsw.efConstruction = WIDTH
            found = cls(inner, kind, 32)
        elif kind == "ivf":
            lists = max(1, min(int(4 * np.sqrt(count)), count // PER_LIST))
            inner = library.index_factory(dim, f"IVF{lists},Flat", library.METRIC_INNER_PRODUCT)
            inner.cp.seed = SEED
            some = np.random.default_rng(SEED).permutation(count)[: PER_LIST * lists]
            inner.train(np.ascontiguousarray(vectors[np.sort(some)]))
            found = cls(inner, kind, 4)
        else:
            raise InputError("--kind", repr(kind), f"one of {', '.join(KINDS)}")
        inner.add(np.ascontiguousarray(vectors))
        return found

    @classmethod
    def read(cls, path: Path, kind: str, effort: int) -> Approximate:
        """One that was written.

        Raises:
            InputError: faiss is not installed, a damaged file.
        """
        library = faiss(str(path))
        try:
            return cls(library.read_index(str(path)), kind, effort)
        except RuntimeError as error:
            hint = "Build it again: kineme index --out INDEX --kind KIND"
            raise InputError(path, f"not readable ({str(error)[:120]})", "an index of faiss", hint) from None

    def write(self, path: Path) -> None:
        """Write it."""
        faiss(str(path)).write_index(self.inner, str(path))

    @property
    def most(self) -> int:
        """Beyond this effort nothing more is found."""
        return self.inner.nlist if self.kind == "ivf" else max(self.inner.ntotal, 1)

    def candidates(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Rows that are likely the nearest ``count``, int64 ``[m, count]``; -1 where fewer were found.

        Args:
            queries: float32 ``[m, D]``, unit vectors.
        """
        if self.kind == "hnsw":
            self.inner.hnsw.efSearch = max(self.effort, count)
        else:
            self.inner.nprobe = self.effort
        return self.inner.search(np.ascontiguousarray(queries, np.float32), count)[1]

    def settle(self, vectors: np.ndarray, exact: np.ndarray, sampled: np.ndarray) -> float:
        """Look at more until enough is found; the recall of the ten nearest.

        Args:
            vectors: unit vectors ``[N, D]``.
            exact: their true nearest, int64 ``[m, k]``.
            sampled: rows that were asked for, ``[m]``.
        """
        while True:
            found = self.candidates(vectors[sampled], exact.shape[1])
            recall = float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact)]))
            if recall >= ENOUGH or self.effort >= self.most:
                return recall
            self.effort = min(2 * self.effort, self.most)
