"""Accuracy of the nearest neighbours in the training set, by cosine (retrieval)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...inference.nearest import neighbours
from ...utils.errors import InputError
from ..task import Outcome, Scores, Task

rivals = ("svm",)


@dataclass(frozen=True)
class Settings:
    """``k``: how many neighbours vote; one figure for each number."""

    k: tuple[int, ...] = (1, 5)


def score(task: Task, settings: Settings) -> Scores:
    """Share of test clips whose nearest training clips have, by majority, their label.

    Raises:
        InputError: no k, or one below 1 or above the number of training clips.
    """
    labels, truth, scores = task.labels[task.train], task.labels[task.test], Scores()
    train, test = task.features(task.train), task.features(task.test)
    near = _nearest(train, test, settings.k)
    for k, found in _votes(labels[near], settings.k).items():
        first = near[np.arange(len(near)), (labels[near] == found[:, None]).argmax(1)]  # of those that voted for it
        scores.tell(f"{k}-NN", Outcome((found == truth).astype(np.float64), found, cosines(train[first], test)))
    return scores


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
    return _votes(labels[_nearest(train, test, k)], k)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of the rows of two arrays ``[n, D]``, float64 ``[n]``; 0 where one is zero."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.einsum("nd,nd->n", one, other, dtype=np.float64) / np.maximum(lengths, 1e-12)


def _nearest(train: np.ndarray, test: np.ndarray, k: Sequence[int]) -> np.ndarray:
    """The rows of ``train`` nearest to each of ``test``, int64 ``[m, max(k)]``."""
    if not k or min(k) < 1:
        raise InputError("knn.k", f"{tuple(k)}", "one or more numbers of neighbours, from 1 up")
    return neighbours(train, test, max(k))


def _votes(near: np.ndarray, k: Sequence[int]) -> dict[int, np.ndarray]:
    """By the labels of the nearest ``[m, max(k)]``, ``{k: int64 [m]}``."""
    return {number: _majority(near[:, :number], int(near.max()) + 1) for number in k}


def _majority(labels: np.ndarray, classes: int) -> np.ndarray:
    """The most frequent label of each row; the smallest of those that are equally frequent."""
    cells = np.arange(len(labels))[:, None] * classes + labels
    return np.bincount(cells.ravel(), minlength=len(labels) * classes).reshape(-1, classes).argmax(1)
