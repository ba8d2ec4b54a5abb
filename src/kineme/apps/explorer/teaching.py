"""Labels that a person gives on the page, kept line by line, and what a classifier makes of them.

A set of labels is a file of JSON lines that only grows: each line is on the disk before the key press is answered, and
taking a label back is a further line. A killed process loses nothing; half a line at the end does not count.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...inference import classifier
from ...inference.classifier import Classifier
from ...utils.errors import InputError

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MOST_KINDS, MOST_NAME, MOST_ROWS = 64, 80, 5000
SOURCES = ("key", "selection", "suggestion")
FEWEST = 3  # labels of each kind before anything is estimated
NEARLY_ALL = 0.95  # share of all clips that one kind may take before the page says so
UNSURE, CLUSTERS, SAMPLED = 1000, 12, 4000


class Stale(Exception):
    """Another page has changed the labels; its argument is where they are now."""


@dataclass
class Operation:
    """Clips that got a label at once, or lost theirs."""

    rows: list[int]
    kind: str | None
    source: str
    at: float
    undone: bool = False


@dataclass
class LabelSet:
    """A set of labels, as its file says.

    Attributes:
        name: a slug.
        path: of the file.
        kinds: names, in the order of the keys.
        rev: how many lines the file has.
        done: what was done, undone things among it.
        away: labels of clips that are not in this set any more.
    """

    name: str
    path: Path
    kinds: list[str] = field(default_factory=list)
    rev: int = 0
    done: list[Operation] = field(default_factory=list)
    away: int = 0

    def labels(self) -> dict[int, str]:
        """Clip -> its kind."""
        found: dict[int, str] = {}
        for each in self.done:
            if each.undone:
                continue
            for row in each.rows:
                if each.kind is None:
                    found.pop(row, None)
                else:
                    found[row] = each.kind
        return found

    def counts(self) -> dict[str, int]:
        """Labels of each kind."""
        labels = list(self.labels().values())
        return {kind: labels.count(kind) for kind in self.kinds}


class Teaching:
    """Sets of labels in a folder.

    Args:
        folder: made when the first label is given.
        ids: of the clips, as they are numbered on the page.
    """

    def __init__(self, folder: Path, ids: Sequence[str]):
        self.folder, self.ids = folder, list(ids)
        self._numbers = {id: number for number, id in enumerate(self.ids)}
        self._sets: dict[str, LabelSet] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Sets that there are."""
        return sorted(path.stem for path in self.folder.glob("*.jsonl") if SLUG.fullmatch(path.stem))

    def get(self, name: str) -> LabelSet:
        """A set; an empty one where there is none yet.

        Raises:
            InputError: a name that is no slug, a damaged file.
        """
        if not SLUG.fullmatch(name):
            raise InputError("set", repr(name[:60]), "small letters, digits and hyphens, at most 40")
        with self._lock:
            if name not in self._sets:
                self._sets[name] = self._read(name)
            return self._sets[name]

    def _read(self, name: str) -> LabelSet:
        found = LabelSet(name, self.folder / f"{name}.jsonl")
        if not found.path.is_file():
            return found
        data = found.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:  # a line that was cut off while it was written
            with open(found.path, "rb+") as file:
                file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._apply(found, json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                where = f"{found.path.name}, line {number}"
                raise InputError(where, f"no label ({error})", "lines that kineme explore wrote") from None
            found.rev += 1
        return found

    def _apply(self, found: LabelSet, line: dict[str, Any]) -> None:
        if "kinds" in line:
            found.kinds = [str(kind) for kind in line["kinds"]]
        elif "undo" in line:
            found.done[int(line["undo"])].undone = bool(line["undone"])
        else:
            rows = [self._numbers[clip] for clip in line["clips"] if clip in self._numbers]
            found.away += len(line["clips"]) - len(rows)
            found.done.append(Operation(rows, line["kind"], str(line["source"]), float(line["time"])))

    def _write(self, found: LabelSet, lines: list[dict[str, Any]]) -> None:
        """Append lines and wait until they are on the disk; only then do they count."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        with open(found.path, "ab") as file:
            before = file.tell()
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
        for line in lines:
            self._apply(found, line)
        found.rev += len(lines)

    def set_kinds(self, name: str, kinds: Sequence[str], rev: int) -> LabelSet:
        """Say which kinds there are, in the order of the keys.

        Raises:
            InputError: names that are none, one twice, one left out that has labels.
            Stale: another page was faster.
        """
        found, names = self.get(name), [kind.strip() for kind in kinds]
        if len(names) > MOST_KINDS or len(set(names)) != len(names):
            raise InputError("kinds", f"{len(names)} names", f"up to {MOST_KINDS}, each once")
        for kind in names:
            if not 0 < len(kind) <= MOST_NAME or not kind.isprintable():
                raise InputError("kind", repr(kind[:40]), f"1 to {MOST_NAME} characters")
        with self._lock:
            self._check(found, rev)
            lost = [kind for kind, count in found.counts().items() if count and kind not in names]
            if lost:
                raise InputError("kinds", f"{lost[0]!r} left out, which has labels", "all kinds that have some")
            self._write(found, [{"kinds": names, "time": time.time()}])
        return found

    def label(self, name: str, operations: Sequence[tuple[Sequence[int], str | None, str]], rev: int) -> LabelSet:
        """Label clips, or take their labels away.

        Args:
            name: of the set.
            operations: clips, their kind or None, and how it was said (:data:`SOURCES`).
            rev: of the set as the page knows it.

        Raises:
            InputError: no such kind.
            Stale: another page was faster.
        """
        found = self.get(name)
        lines = []
        for rows, kind, source in operations:
            if kind is not None and kind not in found.kinds:
                raise InputError("kind", repr(kind[:40]), "one of the set")
            clips = [self.ids[row] for row in rows]
            lines.append({"clips": clips, "kind": kind, "source": source, "time": time.time()})
        with self._lock:
            self._check(found, rev)
            self._write(found, lines)
        return found

    def undo(self, name: str, rev: int, again: bool = False) -> LabelSet:
        """Take the last thing back, or do it once more.

        Raises:
            InputError: nothing to take back.
            Stale: another page was faster.
        """
        found = self.get(name)
        with self._lock:
            self._check(found, rev)
            last = len(found.done)
            while last and found.done[last - 1].undone:
                last -= 1
            number = last if again else last - 1
            if not 0 <= number < len(found.done):
                raise InputError("undo", "nothing to " + ("do again" if again else "take back"))
            self._write(found, [{"undo": number, "undone": not again, "time": time.time()}])
        return found

    @staticmethod
    def _check(found: LabelSet, rev: int) -> None:
        if rev != found.rev:
            raise Stale(found.rev)


# -------------------------------------------------------------------------------------------------- what is made of it


class Taught:
    """What a classifier makes of the labels of a set.

    Args:
        vectors: ``[N, D]`` of all clips.
        groups: column -> a value for each clip, None where it is not known: what is held out together.
    """

    def __init__(self, vectors: np.ndarray, groups: dict[str, list[Any]]):
        self.vectors, self.groups = vectors, groups
        self.pool = classifier.spread(vectors)

    def fitted(self, found: LabelSet) -> tuple[Classifier, list[str]] | None:
        """A classifier, and the names of its classes, sorted; None before two kinds have a label."""
        labels = found.labels()
        kinds = sorted(set(labels.values()))
        if len(kinds) < 2:
            return None
        rows = np.array(sorted(labels))
        numbers = np.array([kinds.index(labels[row]) for row in rows.tolist()])
        return classifier.train(self.vectors[rows], numbers, self.pool, len(kinds)), kinds

    def answer(self, found: LabelSet) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Of each clip the number of its kind in the set, 255 before there are two, and how far it is before the next
        one, uint8 ``[N]`` both; what else is to be said."""
        made = self.fitted(found)
        if made is None:
            return np.full(len(self.vectors), 255, np.uint8), np.zeros(len(self.vectors), np.uint8), []
        scores, kinds = self._scores(made[0]), made[1]
        places = np.array([found.kinds.index(kind) for kind in kinds], np.uint8)
        best = scores.argmax(1)
        counted = np.bincount(best, minlength=len(kinds)) / len(best)
        notices = []
        if counted.max() > NEARLY_ALL and len(best) > 20:
            notices.append(f"Nearly everything is called {kinds[int(counted.argmax())]!r}. Label some that are not.")
        return places[best], np.round(255 * _margins(scores).clip(0, 1)).astype(np.uint8), notices

    def _scores(self, made: Classifier) -> np.ndarray:
        """float32 ``[N, K]``: one product with weights that the scale is taken into."""
        weights = made.weights / made.scale[:, None]
        return self.vectors @ weights + (made.bias - made.mean @ weights)

    def ask(self, found: LabelSet, count: int) -> list[dict[str, Any]]:
        """Clips whose labels would tell most, and why: ``between`` two kinds, or ``unseen``, far from all labels."""
        labels = found.labels()
        made = self.fitted(found)
        if made is None:
            return [{"row": row, "why": "unseen"} for row in self._typical() if row not in labels][:count]
        scores = self._scores(made[0])
        margins = _margins(scores)
        margins[list(labels)] = np.inf
        least = np.argsort(margins, kind="stable")[: min(UNSURE, len(margins) - len(labels))]
        unit = self.vectors[least] / np.maximum(np.linalg.norm(self.vectors[least], axis=1, keepdims=True), 1e-9)
        known = self.vectors[sorted(labels)]
        known = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-9)
        near = (unit @ known.T).max(1) if len(least) else np.empty(0)
        asked: list[dict[str, Any]] = []
        order = list(range(len(least)))
        while order and len(asked) < count:
            between = len(asked) % 2 == 0
            place = order[0] if between else min(order, key=lambda i: near[i])
            order.remove(place)
            near = np.maximum(near, unit @ unit[place])
            row = int(least[place])
            best = np.argsort(-scores[row])[:2]
            said = {made[1][k]: round(float(scores[row, k]), 3) for k in best.tolist()}
            asked.append({"row": row, "why": "between" if between else "unseen", "p": said})
        return asked

    def _typical(self) -> list[int]:
        """The middle clip of each of some clusters, those of the largest first."""
        from sklearn.cluster import KMeans

        rows = np.random.default_rng(0).permutation(len(self.vectors))[:SAMPLED]
        points = self.vectors[rows] / np.maximum(np.linalg.norm(self.vectors[rows], axis=1, keepdims=True), 1e-9)
        if len(points) <= CLUSTERS:
            return rows.tolist()
        made = KMeans(CLUSTERS, n_init=1, random_state=0).fit(points)
        far = np.linalg.norm(points - made.cluster_centers_[made.labels_], axis=1)
        sizes = np.bincount(made.labels_, minlength=CLUSTERS)
        middles = [np.where(made.labels_ == k, far, np.inf).argmin() for k in np.argsort(-sizes, kind="stable")]
        return [int(rows[i]) for i in middles]

    def estimate(self, found: LabelSet) -> dict[str, Any] | None:
        """How often it is right, by labels that were held out together; None before three of each kind are there."""
        labels = found.labels()
        kinds = sorted(set(labels.values()))
        if len(kinds) < 2 or min(list(labels.values()).count(kind) for kind in kinds) < FEWEST:
            return None
        rows = np.array(sorted(labels))
        numbers = np.array([kinds.index(labels[row]) for row in rows.tolist()])
        groups = {name: [values[row] for row in rows.tolist()] for name, values in self.groups.items()}
        folds = classifier.choose_folds(groups, numbers)
        right = classifier.cross_validated(self.vectors[rows], numbers, self.pool, folds.numbers).right
        parts = [right[folds.numbers == fold].mean() for fold in np.unique(folds.numbers)]
        each = {kind: round(float(right[numbers == k].mean()), 3) for k, kind in enumerate(kinds)}
        said = {"accuracy": float(right.mean()), "spread": float(np.std(parts)), "by": folds.by, "labels": len(rows)}
        return {**said, "kinds": each}


def _margins(scores: np.ndarray) -> np.ndarray:
    """By how much the best column is above the next one."""
    two = np.partition(scores, -2, axis=1)[:, -2:]
    return (two[:, 1] - two[:, 0]).astype(np.float64)
