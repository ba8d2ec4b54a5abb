"""Accuracy of the nearest neighbours in the training set, by cosine (retrieval)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...inference.nearest import neighbours
from ...utils.errors import InputError
from ..task import Task

rivals = ("svm",)


@dataclass(frozen=True)
class Settings:
    """``k``: how many neighbours vote; one figure for each number."""

    k: tuple[int, ...] = (1, 5)


def score(task: Task, settings: Settings) -> dict[str, float]:
    """Share of test clips whose nearest training clips have, by majority, their label."""
    return {metric: float(np.mean(hits)) for metric, hits in correct(task, settings).items()}


def correct(task: Task, settings: Settings) -> dict[str, np.ndarray]:
    """Which test clips get their label, bool ``[m]``."""
    labels = task.labels[task.train]
    found = predict(task.features(task.train), labels, task.features(task.test), settings.k)
    return {f"{k}-NN": label == task.labels[task.test] for k, label in found.items()}


def is_stochastic(settings: Settings) -> bool:
    """Nothing is drawn."""
    return False


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The best of all forms."""
    return "best", settings


def predict(train: np.ndarray, labels: np.ndarray, test: np.ndarray, k: Sequence[int]) -> dict[int, np.ndarray]:
    """Labels by majority of the k nearest by cosine, one vote each; a drawn vote goes to the smallest label.

    Args:
        train, test: float32 ``[n, D]``, ``[m, D]``; they need not be normalised.
        labels: int64 ``[n]``, not negative.
        k: numbers of neighbours; the search is made once.

    Returns:
        ``{k: int64 [m]}``.

    Raises:
        InputError: no k, or one below 1 or above n.
    """
    if not k or min(k) < 1:
        raise InputError("knn.k", f"{tuple(k)}", "one or more numbers of neighbours, from 1 up")
    near = labels[neighbours(train, test, max(k))]
    return {number: _majority(near[:, :number], int(labels.max()) + 1) for number in k}


def _majority(labels: np.ndarray, classes: int) -> np.ndarray:
    """The most frequent label of each row; the smallest of those that are equally frequent."""
    cells = np.arange(len(labels))[:, None] * classes + labels
    return np.bincount(cells.ravel(), minlength=len(labels) * classes).reshape(-1, classes).argmax(1)
