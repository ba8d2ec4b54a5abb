"""Accuracy of a support vector machine with an RBF kernel: a classifier that is not linear, as a reference."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ...utils.errors import InputError
from ..task import Outcome, Scores, Task
from . import linear

MOST = 5000  # training clips; the time grows with their square


@dataclass(frozen=True)
class Settings:
    """``C``: inverse strength of the penalty; one figure for each number."""

    C: tuple[float, ...] = (1.0, 10.0)


def score(task: Task, settings: Settings) -> Scores:
    """Share of test clips that it gets right, on centred vectors of mean variance 1, gamma = 1 / D.

    Raises:
        InputError: a training side of one class or of more than 5,000 clips; a C that is not positive.
    """
    from sklearn.svm import SVC

    linear.check(task, linear.Probe(), "svm")
    if not settings.C or not all(0 < C < float("inf") for C in settings.C):
        raise InputError("svm.C", f"{settings.C}", "one or more positive numbers")
    if len(task.train) > MOST:
        raise InputError("svm", f"{len(task.train)} training clips", f"at most {MOST}", "Score with linear or knn")
    train, test = task.features(task.train).astype(np.float64), task.features(task.test).astype(np.float64)
    mean, scale = train.mean(0), max(float(np.sqrt(train.var(0).mean())), 1e-12)
    train, test = (train - mean) / scale, (test - mean) / scale
    truth = task.labels[task.test]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", linear.FEW, UserWarning)
        models = {C: SVC(C=C, gamma=1 / train.shape[1]).fit(train, task.labels[task.train]) for C in settings.C}
    scores = Scores()
    for C, model in models.items():
        found, margins = model.predict(test), model.decision_function(test)
        sure = margins.max(1) if margins.ndim == 2 else np.abs(margins)
        scores.tell(f"accuracy, C = {C:g}", Outcome((found == truth).astype(np.float64), found, sure))
    return scores


def is_stochastic(settings: Settings) -> bool:
    """Nothing is drawn."""
    return False


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The best of the reduced hand-crafted features."""
    return "best reduced", settings


def refuses(task: Task) -> str:
    """Why a task is left out where nobody asked for this protocol by name, or nothing."""
    many = len(task.train) > MOST
    return f"left out: {len(task.train)} training clips, of which it takes {MOST} at most" if many else ""
