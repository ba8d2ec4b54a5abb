"""Accuracy of an encoder that is trained on all labels together with a linear classifier (fine-tuning)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...methods import generator
from ...training import finetune
from ...utils.errors import InputError
from ..task import Outcome, Scores, Task
from . import linear

TOP, BALANCED = "top-1", "balanced"
SHORT = finetune.Settings(epochs=40, milestones=(25, 35), patience=0)
"""Without held-out clips on which an epoch could be chosen: the last one counts."""


@dataclass(frozen=True)
class Settings:
    """``training``: see :class:`kineme.training.finetune.Settings`; nothing is held out, the last epoch counts."""

    training: finetune.Settings = field(default_factory=lambda: SHORT)


def score(task: Task, settings: Settings) -> Scores:
    """Train on the training side; the test side is looked at once, after the last epoch.

    The untrained encoder beside it is the same network trained from scratch. What is no network (hand-crafted features)
    is classified by logistic regression.

    Returns:
        ``top-1``, and ``balanced``: the mean of the accuracies of the classes.

    Raises:
        InputError: an ensemble; a training side of one class; a loss that is not finite.
    """
    outcome, truth, scores = classified(task, settings.training, "finetune"), task.labels[task.test], Scores()
    scores.tell(TOP, outcome)
    per_class = [outcome.values[truth == label].mean() for label in np.unique(truth)]
    scores.add(BALANCED, float(np.mean(per_class)))
    return scores


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The best of the reduced hand-crafted features, under logistic regression."""
    return "best reduced", settings


def classified(task: Task, settings: finetune.Settings, word: str) -> Outcome:
    """What a fine-tuned encoder says of the test clips.

    Args:
        task: its training side teaches.
        settings: of the training.
        word: what is drawn depends on it and on the task's seed.

    Raises:
        InputError: as :func:`score`.
    """
    linear.check(task, linear.Probe(), word)
    truth = task.labels[task.test]
    model: Any = task.model
    if hasattr(model, "models"):
        raise InputError(task.name, "several runs as an ensemble", "one run, whose encoder can be trained")
    if not hasattr(model, "loader"):
        train, test = task.features(task.train), task.features(task.test)
        found = linear.logistic(train, task.labels[task.train], test, max_iter=1000, each=not task.weighted)
        return linear.named(found, truth)
    classifier = finetune.finetune(
        model,
        task.store,
        task.train,
        task.labels[task.train],
        dataclasses.replace(settings, patience=0),
        generator(word, task.seed),
        classes=len(task.classes),
        tell=task.tell,
    )
    return linear.named(classifier.log_probabilities(task.store, task.test), truth)
