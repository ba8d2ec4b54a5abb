"""Where each clip stands on the map: principal axes at once, t-SNE when it is ready, kept beside the index."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np

from ...utils import files
from ...utils.errors import InputError

LANDMARKS = 5_000  # clips that t-SNE lays out; others go to the median of their nearest ones
NEAREST, SAMPLED = 10, 2_000
SEED = 0
FORMAT = 1


class Maps:
    """The maps of a set of vectors.

    Args:
        vectors: unit vectors ``[N, D]``.
        folder: where a map is kept; where it cannot be written it is made again next time.
        finest: ``tsne``, or ``pca`` for that alone.

    Attributes:
        order: int64 ``[N]``, the clips in an order of which any beginning is a fair sample.
    """

    def __init__(self, vectors: np.ndarray, folder: Path, finest: str = "tsne"):
        self.vectors, self.folder = vectors, folder
        self.order = np.random.default_rng(SEED).permutation(len(vectors))
        self._made = {"pca": principal(vectors)}
        self._error = ""
        self._thread: threading.Thread | None = None
        if finest == "tsne" and len(vectors) >= 4:
            self._begin()

    @property
    def state(self) -> str:
        """``ready``, ``making`` or ``failed``."""
        return (
            "making" if self._thread is not None and self._thread.is_alive() else "failed" if self._error else "ready"
        )

    @property
    def kinds(self) -> list[str]:
        """Maps that there are, the best one first."""
        return sorted(self._made, key=["tsne", "pca"].index)

    @property
    def error(self) -> str:
        """Why the best map could not be made."""
        return self._error

    def get(self, kind: str) -> np.ndarray:
        """uint16 ``[N, 2]``, one place for each clip.

        Raises:
            InputError: a map that is not there.
        """
        if kind not in self._made:
            raise InputError("kind", repr(kind), f"one of {', '.join(self.kinds)}")
        return self._made[kind]

    def kept(self, kind: str) -> float:
        """Of each clip's 10 nearest, the share that is among its 10 nearest on the map, over 2,000 sampled clips."""
        from ...viz import plots  # matplotlib, as below

        return plots.kept_neighbours(self.vectors, self.get(kind), self.order[:SAMPLED])

    def _begin(self) -> None:
        digest = hashlib.sha256(np.ascontiguousarray(self.vectors).data)
        digest.update(f"{FORMAT} {LANDMARKS} {SEED}".encode())
        path = self.folder / f"map-{digest.hexdigest()[:16]}.npy"
        try:
            found = np.load(path, allow_pickle=False)
            if found.shape == (len(self.vectors), 2) and found.dtype == np.uint16:
                self._made["tsne"] = found
                return
        except (OSError, ValueError, EOFError):
            pass

        def make() -> None:
            try:
                made = neighbourly(self.vectors, self.order)
            except Exception as error:  # told on the page; the other map stays
                self._error = f"{type(error).__name__}: {error}"
                return
            self._made["tsne"] = made
            try:
                with files.atomic(path) as temporary, open(temporary, "wb") as file:
                    np.save(file, made)
            except OSError:
                pass

        self._thread = threading.Thread(target=make, daemon=True)
        self._thread.start()


def principal(vectors: np.ndarray) -> np.ndarray:
    """The two main axes of vectors ``[N, D]``, as places uint16 ``[N, 2]``."""
    if len(vectors) < 2:
        return np.full((len(vectors), 2), 32768, np.uint16)
    centred = vectors - vectors.mean(0)
    _, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    axes = axes[:, : -3 if axes.shape[1] > 2 else None : -1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])  # the same way round every time
    return places(np.pad(centred @ axes, [(0, 0), (0, 2 - axes.shape[1])]))


def neighbourly(vectors: np.ndarray, order: np.ndarray) -> np.ndarray:
    """t-SNE of up to :data:`LANDMARKS` clips; every other clip at the median of its ten nearest among them."""
    from ...viz import plots  # matplotlib, which takes a second to load

    first = np.sort(order[:LANDMARKS])
    found = np.empty((len(vectors), 2), np.float64)
    found[first] = plots.tsne(vectors[first], SEED)
    others = np.setdiff1d(np.arange(len(vectors)), first)
    if len(others):
        near = nearest(vectors[others], vectors[first], NEAREST)
        found[others] = np.median(found[first][near], 1)
        found[others] += np.random.default_rng(SEED).normal(size=(len(others), 2)) * np.ptp(found[first], 0) / 400
    return places(found)


def nearest(queries: np.ndarray, among: np.ndarray, k: int, block: int = 1024) -> np.ndarray:
    """Rows of the k unit vectors with the largest cosine, int64 ``[n, k]``, nearest first."""
    k = min(k, len(among))
    found = []
    for begin in range(0, len(queries), block):
        scores = queries[begin : begin + block] @ among.T
        part = np.argpartition(-scores, k - 1, 1)[:, :k]
        found.append(np.take_along_axis(part, np.argsort(-np.take_along_axis(scores, part, 1), 1, "stable"), 1))
    return np.concatenate(found) if found else np.empty((0, k), np.int64)


def places(points: np.ndarray) -> np.ndarray:
    """Points ``[N, 2]`` as uint16 between 0 and 65535, both axes by one measure, the middle in the middle."""
    low, high = points.min(0), points.max(0)
    reach = float((high - low).max()) or 1.0
    return np.round((points - (low + high) / 2) / reach * 65535 + 32767.5).clip(0, 65535).astype(np.uint16)
