"""What a protocol said of every test clip: a table of predictions, a confusion matrix."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..utils.errors import InputError
from ..utils.files import atomic
from .scores import TRAINED, Contestant, Row, contestants

if TYPE_CHECKING:
    from .run import Rows
    from .task import Outcome

COLUMNS = ("clip", "true", "predicted", "score", "protocol", "metric", "features", "run", "seed")


class Confusion(NamedTuple):
    """How often a class was taken for another: int64 ``[K, K]`` (true, predicted), the names, and of what it is."""

    counts: np.ndarray
    classes: list[str]
    title: str


def write(rows: Rows, path: str | os.PathLike) -> int:
    """Write what was predicted for each test clip as CSV.

    Columns are ``clip`` (its id), ``true``, ``predicted``, ``score`` (how sure: a probability, a cosine), then which
    protocol, metric, features, run and seed. Of trained runs; of hand-crafted features where there is no run.

    Args:
        rows: what :func:`kineme.evaluate` gives.
        path: of the file.

    Returns:
        how many lines were written, beside the heading.

    Raises:
        InputError: no protocol that predicts labels.

    Examples:
        >>> from kineme.evaluation import predictions
        >>> rows = kineme.evaluate(model, store, ["knn"], untrained=False, baseline=False)
        >>> predictions.write(rows, "predicted.csv") == 2 * rows[0]["test"]  # 1-NN and 5-NN
        True
    """
    task, count = rows.task, 0
    ids, truth = [task.store.ids[row] for row in task.test.tolist()], task.labels[task.test].tolist()
    with atomic(Path(path)) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for row, outcome in _labelled(rows):
            said: Any = outcome.labels
            sure = [None] * len(said) if outcome.scores is None else outcome.scores.tolist()
            own = [row[name] for name in COLUMNS[4:]]
            for at in np.flatnonzero(np.isfinite(outcome.values)).tolist():
                given = "" if sure[at] is None else f"{sure[at]:.6g}"
                table.writerow([ids[at], task.classes[truth[at]], task.classes[said[at]], given, *own])
                count += 1
    return count


def confusion(rows: Rows) -> Confusion:
    """Of one metric: the first that trains a classifier on the vectors, else the first that predicts; over its runs and
    seeds.

    Raises:
        InputError: no protocol that predicts labels.
    """
    return _counted(rows, _labelled(rows), *_metric(_labelled(rows)))


def confusions(rows: Rows) -> dict[Contestant, Confusion]:
    """The same for everybody who was scored by that metric and predicts labels.

    Raises:
        InputError: no protocol that predicts labels.
    """
    metric = _metric(_labelled(rows))
    parts: dict[Contestant, list[tuple[Row, Outcome]]] = {}
    for row, outcome in rows.told:
        if outcome.labels is not None and (row["protocol"], row["metric"]) == metric:
            parts.setdefault(Contestant(row["features"], row.get("group", "")), []).append((row, outcome))
    return {who: _counted(rows, parts[who], *metric) for who in contestants(rows) if who in parts}


def _metric(told: list[tuple[Row, Outcome]]) -> tuple[str, str]:
    """Protocol and metric of which a confusion matrix is drawn."""
    names = list(dict.fromkeys((row["protocol"], row["metric"]) for row, _ in told))
    return ([name for name in names if name[0] == "linear"] or names)[0]


def _counted(rows: Rows, told: list[tuple[Row, Outcome]], protocol: str, metric: str) -> Confusion:
    task = rows.task
    shown = np.unique(task.labels[np.concatenate([task.train, task.test])])
    counts = np.zeros((len(task.classes),) * 2, np.int64)
    for row, outcome in told:
        if (row["protocol"], row["metric"]) == (protocol, metric):
            counted = np.isfinite(outcome.values)
            np.add.at(counts, (task.labels[task.test][counted], np.asarray(outcome.labels)[counted]), 1)
    title = f"{protocol} {metric} on {told[0][0]['split']}"
    return Confusion(counts[np.ix_(shown, shown)], [task.classes[label] for label in shown], title)


def _labelled(rows: Rows) -> list[tuple[Row, Outcome]]:
    """The rows of trained runs, else of what there is, with labels that were predicted."""
    told = [(row, outcome) for row, outcome in rows.told if outcome.labels is not None]
    if not told:
        names = ", ".join(dict.fromkeys(row["protocol"] for row in rows))
        raise InputError("predictions", f"protocols that predict no labels: {names}", "one such as knn or linear")
    return [each for each in told if each[0]["features"] == TRAINED] or told
