"""Accuracy when test clips come out differently: noise, missing joints, dropped frames, rates, rotation, layouts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...utils.errors import InputError
from ..robustness import ALTERATIONS, altered, applicable
from ..task import Outcome, Scores, Task
from . import knn, linear

CLEAN = "clean"


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        alterations: which; none: all that the store can have (2-D clips are not rotated about the vertical).
        classifier: ``linear``: logistic regression; ``knn``: the nearest training clip. Either knows training clips as
            they are.
        C: of ``linear``.
    """

    alterations: tuple[str, ...] = ()
    classifier: Literal["linear", "knn"] = "linear"
    C: float = 0.05

    def __post_init__(self) -> None:
        for name in self.alterations:
            if name not in ALTERATIONS:
                raise InputError("robustness.alterations", f"{name!r}", f"some of {', '.join(ALTERATIONS)}")


def score(task: Task, settings: Settings) -> Scores:
    """Train on the training side as it is, test on the test side as it is and altered in every way and strength.

    Returns:
        ``clean``, and for each alteration (:data:`kineme.evaluation.robustness.ALTERATIONS`) the mean over its levels;
        its row has the ``curve``, (level, score) from the weakest to the strongest, and ``across``: what levels are.

    Raises:
        InputError: alterations that the store cannot have; a run that looks at pictures.
    """
    scores, truth = Scores(), task.labels[task.test]
    known = applicable(task.store)
    for name in settings.alterations:
        if name not in known:
            raise InputError(f"robustness, {name}", f"clips of {task.store.path}", "3-D clips, or another alteration")
    if getattr(getattr(task.model, "encoder", None), "pictures", False) and task.store.has_pictures:
        raise InputError(task.name, "a run that looks at pictures", "a run on poses, whose joints can be altered")
    if settings.classifier == "linear":
        linear.check(task, linear.Probe(C=settings.C), "robustness")
    chosen = {name: known[name] for name in settings.alterations or known}
    places = [(CLEAN, None), *((name, level) for name, each in chosen.items() for level in each.levels)]
    shown = [task.features(task.test), *_shown(task, places[1:])]
    found = _predicted(task, np.concatenate(shown), settings).reshape(len(places), -1)
    right = {place: (labels == truth).astype(np.float64) for place, labels in zip(places, found)}
    scores.tell(CLEAN, Outcome(right[CLEAN, None], found[0]))
    for name, each in chosen.items():
        curve = [[level, float(right[name, level].mean())] for level in each.levels]
        scores.tell(
            name,
            Outcome(np.mean([right[name, level] for level in each.levels], 0)),
            {"curve": curve, "across": each.across},
        )
    return scores


def baseline(settings: Settings) -> tuple[str, Settings]:
    """One form of the hand-crafted features: those of altered clips have to be made anew."""
    return "positions", settings


def picture(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """One panel for each alteration, a line for each kind of features: the mean over runs and seeds."""
    from ...viz import plots

    curves: dict[str, dict[str, list[tuple[float | str, float]]]] = {}
    for name in dict.fromkeys(row["metric"] for row in rows if "curve" in row):
        for kind in dict.fromkeys(row["features"] for row in rows):
            some = [
                row["curve"] for row in rows if row["metric"] == name and row["features"] == kind and "curve" in row
            ]
            if some:
                heights = np.mean([[score for _, score in curve] for curve in some], 0).tolist()
                curves.setdefault(name, {})[kind] = [(level, height) for (level, _), height in zip(some[0], heights)]
    across = {row["metric"]: row["across"] for row in rows if "curve" in row}
    plots.lines(curves, path, f"robustness on {rows[0]['split']}", across)


def _shown(task: Task, places: Sequence[tuple[str, Any]]) -> Iterator[np.ndarray]:
    """The vectors of the test clips, altered in each way."""
    rows = np.arange(len(task.test))
    for name, level in places:
        if task.tell is not None:
            task.tell(f"{name} {level}")
        yield task.embedded(altered(task.store, task.test, name, level, task.seed), rows)


def _predicted(task: Task, shown: np.ndarray, settings: Settings) -> np.ndarray:
    """Labels of vectors ``[n, D]``, by what the training side teaches, int64 ``[n]``."""
    train, labels = task.features(task.train), task.labels[task.train]
    if settings.classifier == "knn":
        return knn.predict(train, labels, shown, (1,))[1]
    return linear.logistic(train, labels, shown, settings.C, 1000, each=not task.weighted).argmax(1)
