"""Part ``search``: the ten nearest in an index of 10 thousand, 100 thousand, 1 million vectors, against a full sort.

``difference`` is the share of neighbours that are not those of the full sort: 1 - recall. Vectors are drawn around
centres, as those of clips lie.
"""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
from measure import Case
from shared import Bench

from kineme.inference import index as index_module
from kineme.inference.index import Index, create
from kineme.utils import files

K, TOGETHER, BLOCK = 10, 64, 50_000
SHARE = 4  # vectors may take one part in so many of the free memory


def cases(bench: Bench) -> Iterator[Case]:
    dim = bench.sizes.search_dim
    for many in bench.sizes.searched:
        if 4 * many * dim > files.free_memory() / SHARE:
            print(f"search of {many} vectors left out: {4 * many * dim / 1e9:.1f} GB, too much for the free memory")
            continue
        index = made(bench.folder / f"index-{many}", many, dim)
        vectors = np.concatenate([block for _, block in index.blocks()])
        asked = next(drawn(TOGETHER, dim, seed=1)).astype(np.float64)
        expected = sorted_whole(vectors, asked)
        found, _ = index.nearest(asked, K)
        lost = 1 - np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), expected.tolist())])
        for queries in (1, TOGETHER):
            yield Case(
                f"search of {many}, {queries} at a time",
                bench.threads,
                functools.partial(index.nearest, asked[:queries], K),
                functools.partial(sorted_whole, vectors, asked[:queries]),
                float(lost),
                0.0,
                "query",
                queries,
            )
        if many <= bench.sizes.approximated and importlib.util.find_spec("faiss"):
            yield from approximately(bench, index, asked, expected)
        yield Case(
            f"index of {many} opened, one clip found by its id",
            bench.threads,
            functools.partial(opened, index.path, f"clip{many // 2}"),
            functools.partial(read, index.path),
            float(opened(index.path, f"clip{many // 2}") != many // 2),
            0.0,
            "index",
        )


def approximately(bench: Bench, index: Index, asked: np.ndarray, expected: np.ndarray) -> Iterator[Case]:
    """One query by candidates of faiss, against all vectors compared; building and size are printed."""
    chosen = index.select()
    for kind in ("hnsw", "ivf"):
        begin, least = time.perf_counter(), process_memory()
        said = index.approximate(kind)
        spent = time.perf_counter() - begin
        more, on_disk = most_memory() - least, next(index.path.glob("faiss-*.index")).stat().st_size
        print(
            f"{kind} of {len(index)}: built and measured in {spent:.1f} s, at most {more / 1e6:.0f} MB more memory, "
            f"{on_disk / 1e6:.0f} MB on disk, effort {index.card['approximate']['effort']}, recall said {said:.3f}"
        )
        found = likely(index, asked, chosen)[0]
        lost = 1 - np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), expected.tolist())])
        yield Case(
            f"search of {len(index)} by {kind}, 1 at a time",
            bench.threads,
            functools.partial(likely, index, asked[:1], chosen),
            functools.partial(index.nearest, asked[:1], K),
            float(lost),
            0.1,
            "query",
            1,
        )
    index.approximate("exact")


def likely(index: Index, asked: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """By candidates also where there are so few vectors that the index would compare all."""
    with mock.patch.object(index_module, "FEW", 0):
        return index.likely(asked, K, chosen)


def process_memory() -> int:
    """Bytes of memory that this process has now; from now on :func:`most_memory` counts anew. Linux; else 0."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _status("VmRSS")


def most_memory() -> int:
    """The most bytes since :func:`process_memory`; Linux, else 0."""
    return _status("VmHWM")


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def drawn(many: int, dim: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Vectors ``[n, D]`` around 500 centres, block after block."""
    centres = np.random.default_rng(99).normal(size=(500, dim)).astype(np.float32)
    rng = np.random.default_rng(seed)
    for begin in range(0, many, BLOCK):
        size = min(BLOCK, many - begin)
        yield centres[rng.integers(0, 500, size)] + 0.7 * rng.standard_normal((size, dim), np.float32)


def made(folder: Path, many: int, dim: int) -> Index:
    folder.mkdir()
    index, rows = create(folder, dim, {"name": "bench", "path": "", "weights": ""}, None), np.arange(many)
    entries = {
        "id": [f"clip{row}" for row in range(many)],
        "row": rows,
        "start": np.zeros(many, np.int64),
        "end": np.full(many, 60),
        "fps": np.full(many, 30.0),
        "whole": np.ones(many, bool),
        "cut": np.zeros(many, bool),
        **{name: np.char.mod(f"{name}%d", rows % 60) for name in ("label", "subject", "camera")},
    }
    index.add(drawn(many, dim), entries, {"path": "", "hash": ""})
    return index


def sorted_whole(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """All cosines, all of them sorted, the first k ``[m, k]``."""
    units = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    return np.stack([np.argsort(-(vectors @ query), kind="stable")[:K] for query in units])


def opened(path: Path, id: str) -> int | None:
    return Index(path).find(id)


def read(path: Path) -> np.ndarray:
    """What an index without a memory map would cost: its vectors read."""
    return np.load(next(path.glob("vectors-*.npy")))
