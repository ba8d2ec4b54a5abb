"""Accuracy when the clips of one camera train and those of all cameras test (CV-MIM's single-shot cross-view)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ...data.clip_table import text
from ...data.store import Store
from ...utils.errors import InputError
from ..task import Task, has_frame_codes
from . import knn, linear, sequence

MEAN, HELD_OUT = "mean", "held-out cameras"


@dataclass(frozen=True)
class Settings(sequence.Training):
    """Those of the classifier over time, and

    Attributes:
        classifier: ``sequence``: on per-frame codes; ``linear`` (logistic regression) or ``knn`` (the nearest
            neighbour): on one vector per clip; ``auto``: the first for runs with a code for each frame, the second for
            others.
        column: of the clip table; values of several together name a camera (NTU: ``camera,repetition``).
        C: of ``linear``.
    """

    classifier: Literal["auto", "sequence", "linear", "knn"] = "auto"
    column: tuple[str, ...] = ("camera",)
    C: float = 0.05


def score(task: Task, settings: Settings) -> dict[str, float]:
    """Train once for each camera on its training clips alone, test on the test clips of all cameras (Zhao et al. 2021).

    Returns:
        ``mean``: share of test clips that are right, over all trainings; ``held-out cameras``: the same of test clips
        that another camera filmed than the one that trained; then for each training camera ``1 -> all``, and for each
        pair ``1 -> 2``: trained on camera 1, tested on camera 2.

    Raises:
        InputError: fewer than two cameras; a camera whose training clips show a single class; see ``sequence``.
    """
    how = resolve(settings, task)
    task = sequence.narrowed(task, how)
    camera = cameras(task.store, how.column)
    names = {
        side: sorted({name for name in camera[rows] if name}, key=_natural)
        for side, rows in (("train", task.train), ("test", task.test))
    }
    if not names["train"] or len({*names["train"], *names["test"]}) < 2:
        raise InputError(
            f"cross_view.column {','.join(how.column)} of {task.store.path}",
            f"cameras {', '.join(names['train']) or 'none'} on the training side, "
            f"{', '.join(names['test']) or 'none'} on the test side",
            "two cameras or more",
            "Name another column with --set cross_view.column=NAME",
        )
    shots = {name: np.flatnonzero(camera[task.train] == name) for name in names["train"]}
    for name, chosen in shots.items():
        if len(np.unique(task.labels[task.train[chosen]])) < 2:
            raise InputError(
                f"cross_view, camera {name}",
                f"{len(chosen)} training clips of one class",
                "at least two classes",
                "Choose another split, or another column",
            )
    taught = _over_time if how.classifier == "sequence" else _by_clip
    right = {name: label == task.labels[task.test] for name, label in zip(shots, taught(task, shots.values(), how))}
    seen = camera[task.test]
    held = [right[name][there] for name in right if (there := (seen != name) & (seen != "")).any()]
    found = {MEAN: np.mean([each.mean() for each in right.values()])}
    found |= {HELD_OUT: np.mean([each.mean() for each in held])} if held else {}
    for name, each in right.items():
        found |= {f"{name} -> all": each.mean()}
        found |= {f"{name} -> {other}": each[seen == other].mean() for other in names["test"]}
    return {metric: float(share) for metric, share in found.items()}


def resolve(settings: Settings, task: Task) -> Settings:
    """The classifier that suits the kind of run, where it was left open."""
    if settings.classifier != "auto":
        return settings
    return dataclasses.replace(settings, classifier="sequence" if has_frame_codes(task.model) else "linear")


def is_stochastic(settings: Settings) -> bool:
    """Networks draw weights and order; a share of the labels is drawn."""
    return settings.classifier not in ("linear", "knn") or settings.fraction != 1


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The hand-crafted features that suit the classifier, under the same one."""
    form = {"linear": "best reduced", "knn": "best"}.get(settings.classifier, "keypoints")
    return form, dataclasses.replace(settings, part="pose")


def higher_is_better(metric: str) -> bool | None:
    """What is said concerns the means."""
    return True if metric in (MEAN, HELD_OUT) else None


def cameras(store: Store, columns: tuple[str, ...]) -> np.ndarray:
    """Name of every clip's camera, object ``[N]``; an empty text where a column has no value.

    Raises:
        InputError: no column, or one that the store lacks.
    """
    if not columns:
        raise InputError("column", "none", "one or more columns of the clip table, such as camera")
    parts = [[text(value) for value in store.column(name).tolist()] for name in columns]
    return np.array(["" if None in values else " ".join(map(str, values)) for values in zip(*parts)], object)


def _over_time(task: Task, shots: Iterable[np.ndarray], how: Settings) -> Iterator[np.ndarray]:
    """Labels of the test clips, int64 ``[m]``, for each choice of training clips; the codes are taken once."""
    train, test = (sequence.sequences(task, rows, how) for rows in (task.train, task.test))
    for chosen in shots:
        one = dataclasses.replace(task, train=task.train[chosen])
        some = sequence.Sequences(*train.batch(torch.from_numpy(chosen)))
        yield sequence.classify(one, some, test, how, how.steps)[-1].argmax(1)


def _by_clip(task: Task, shots: Iterable[np.ndarray], how: Settings) -> Iterator[np.ndarray]:
    """The same from one vector per clip."""
    train, test = task.features(task.train), task.features(task.test)
    for chosen in shots:
        labels = task.labels[task.train[chosen]]
        if how.classifier == "knn":
            yield knn.predict(train[chosen], labels, test, (1,))[1]
        else:
            yield linear.logistic(train[chosen], labels, test, how.C, each=not task.weighted).argmax(1)


def _natural(name: str) -> tuple[bool, float, str]:
    """Numbers by size, before text."""
    return (False, float(name), "") if name.isdigit() else (True, 0.0, name)
