"""Two encoders on one set: which neighbours they share, both maps in one direction; and what was taken for what."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np

from ...inference.model import Model, load
from ...inference.search import Searcher, opened
from ...utils.errors import InputError
from . import maps
from .workspace import Workspace

NEAREST, ALIGNED = 10, 5000
UNTRAINED = "untrained"
COLUMNS = ("clip", "true", "predicted", "score", "protocol", "metric", "features", "run", "seed")
MOST_LINES = 5_000_000


class Other:
    """The vectors of a second encoder for the same clips.

    Attributes:
        name: of its run.
        vectors: unit vectors ``[N, D]``.
        near: int64 ``[N, 10]``, nearest clips of each.
    """

    def __init__(self, name: str, vectors: np.ndarray):
        self.name, self.vectors = name, vectors
        self.near = neighbours(vectors)


def other(work: Workspace, where: str | os.PathLike, run: str, searcher: Searcher | None = None) -> Other:
    """A run's vectors for the clips of a workspace.

    Args:
        work: what is shown.
        where: the store or folder that it was opened from.
        run: a run, or ``untrained``: the encoder of the first one before training.
        searcher: the index of the second run, if it is open.

    Raises:
        InputError: a run that cannot take these clips, or another set of clips.
    """
    if run == UNTRAINED:
        model: Model = work.searcher.model.untrained()
        whole = {number: model.embed(work.searcher.store(number)) for number in work.stores}
        found = np.stack([whole[entry.store][entry.row] for entry in work.entries])
        return Other("before training", found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))
    searcher = searcher or opened(where, load(run), progress=True)
    index = searcher.index
    rows = np.flatnonzero(index.select())
    ids = [entry.id for entry in index.entries(rows)]
    places = dict(zip(ids, rows.tolist()))
    missing = [entry.id for entry in work.entries if entry.id not in places]
    if missing:
        raise InputError("--against", f"another set of clips: {missing[0]} is not in it", "the same clips")
    vectors = index.vectors([places[entry.id] for entry in work.entries])
    return Other(index.card["run"]["name"], vectors)


def neighbours(vectors: np.ndarray) -> np.ndarray:
    """The ten nearest other clips of each, int64 ``[N, k]``."""
    k = min(NEAREST, len(vectors) - 1)
    near = maps.nearest(vectors, vectors, k + 1)
    own = np.arange(len(vectors))[:, None]
    kept = near != own
    kept[kept.all(1), -1] = False  # of copies the clip itself may be missing
    return near[kept].reshape(len(vectors), k)


def shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many neighbours two lists ``[N, k]`` have in common, uint8 ``[N]``."""
    return (a[:, :, None] == b[:, None, :]).any(2).sum(1).astype(np.uint8)


def turned(b: np.ndarray, a: np.ndarray) -> np.ndarray:
    """A map turned, mirrored and scaled so that it lies on another (Procrustes), both ``[N, 2]``; float32."""
    some = np.linspace(0, len(a) - 1, min(len(a), ALIGNED)).astype(int)
    x, y = a.astype(np.float64), b.astype(np.float64)
    middle_x, middle_y = x[some].mean(0), y[some].mean(0)
    u, values, v = np.linalg.svd((y[some] - middle_y).T @ (x[some] - middle_x))
    scale = values.sum() / max(float(np.square(y[some] - middle_y).sum()), 1e-12)
    return ((y - middle_y) @ (u @ v) * scale + middle_x).astype(np.float32)


def facts(work: Workspace, near: np.ndarray) -> dict[str, float | None]:
    """How often the nearest clip has the same class, and the same subject; None where nobody knows."""
    said: dict[str, float | None] = {}
    for name in ("label", "subject"):
        values = work.columns.get(name)
        known = [i for i, value in enumerate(values or []) if value is not None]
        same = [values[i] == values[near[i, 0]] for i in known] if values and near.shape[1] else []
        said[name] = float(np.mean(same)) if same else None
    return said


# ---------------------------------------------------------------------------------------------------------- confusion


class Predictions:
    """What protocols said of clips: the file that ``kineme evaluate --predictions`` writes.

    Args:
        path: of the file.
        work: what is shown.

    Attributes:
        groups: which protocol, metric, features, run and seed -> true class, predicted class, score, clip.

    Raises:
        InputError: no such file, other columns, none of its clips is there.
    """

    def __init__(self, path: str | os.PathLike, work: Workspace):
        numbers = {entry.id: number for number, entry in enumerate(work.entries)}
        self.groups: dict[str, list[tuple[str, str, float, int]]] = {}
        self.missing = 0
        try:
            with open(path, encoding="utf-8", newline="") as file:
                table = csv.DictReader(file)
                if set(COLUMNS) - set(table.fieldnames or ()):
                    found = f"columns {', '.join(table.fieldnames or ())[:100]}"
                    raise InputError(path, found, ", ".join(COLUMNS), "Write it with kineme evaluate --predictions")
                for number, line in enumerate(table):
                    if number >= MOST_LINES:
                        raise InputError(path, f"more than {MOST_LINES} lines", "fewer")
                    row = numbers.get(line["clip"])
                    if row is None:
                        self.missing += 1
                        continue
                    said = {**line, "run": (line["run"] or "").replace("\\", "/").rpartition("/")[2]}
                    name = " ".join(said[key] or "" for key in COLUMNS[4:]).strip()
                    score = float(line["score"]) if line["score"] else 0.0
                    self.groups.setdefault(name, []).append((line["true"], line["predicted"], score, row))
        except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(path, f"not readable ({error})", "a CSV file of predictions") from None
        if not self.groups:
            raise InputError(path, f"{self.missing} predictions of other clips", f"clips of {Path(work.name).name}")

    def matrix(self, name: str) -> dict[str, Any]:
        """Classes, and how often one (row) was called another (column)."""
        lines = self._group(name)
        classes = sorted({word for true, said, _, _ in lines for word in (true, said)})
        places = {word: i for i, word in enumerate(classes)}
        counts = np.zeros((len(classes),) * 2, np.int64)
        np.add.at(counts, ([places[true] for true, *_ in lines], [places[said] for _, said, *_ in lines]), 1)
        said = {"groups": list(self.groups), "group": name or next(iter(self.groups)), "missing": self.missing}
        return {**said, "classes": classes, "counts": counts.tolist()}

    def cell(self, name: str, true: str, predicted: str) -> list[dict[str, Any]]:
        """Clips of one cell, those first that it was surest of."""
        found = [(score, row) for t, p, score, row in self._group(name) if (t, p) == (true, predicted)]
        return [{"row": row, "score": score} for score, row in sorted(found, key=lambda each: (-each[0], each[1]))]

    def _group(self, name: str) -> list[tuple[str, str, float, int]]:
        name = name or next(iter(self.groups))
        if name not in self.groups:
            raise InputError("protocol", repr(name[:80]), f"one of {', '.join(self.groups)[:200]}")
        return self.groups[name]
