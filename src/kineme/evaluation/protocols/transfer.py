"""Accuracy on another labelled store: 1-NN and a linear probe there, frozen or fine-tuned; layouts mapped by name."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...data import splits
from ...data import store as stores
from ...training import finetune as training
from ...utils.errors import InputError
from ..groups import interval
from ..task import Outcome, Scores, Task, make_task
from . import finetune, knn, linear

KINDS = ("knn", "linear", "finetune")
WORDS = {"knn": "1-NN", "linear": "linear", "finetune": "fine-tuned"}


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        target: folder of the other store, labelled; where its layout has all joints of the run's, it is mapped.
        target_split: a split of it; none: other people, another camera, else at random, as ``pretrain`` advises.
        kinds: ``knn``: the nearest neighbour; ``linear``: logistic regression on the vectors; ``finetune``: encoder and
            classifier are trained on the target.
        C: of the logistic regression, see ``linear``.
        training: of the fine-tuning, see :class:`kineme.training.finetune.Settings`.
    """

    target: str = ""
    target_split: str | None = None
    kinds: tuple[str, ...] = KINDS
    C: float = 0.05
    training: training.Settings = field(default_factory=lambda: finetune.SHORT)

    def __post_init__(self) -> None:
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise InputError("transfer.kinds", f"{self.kinds}", f"one or more of {', '.join(KINDS)}")


def score(task: Task, settings: Settings) -> Scores:
    """What the encoder, as it was trained, is worth on clips of another set.

    The store that the evaluation names says nothing here, but for the run: its rows are on the other store's split,
    which they name.

    Returns:
        ``1-NN``, ``linear`` and ``fine-tuned``, each with the ``interval`` over the target's test clips.

    Raises:
        InputError: no target, or one without labels; clips that the run cannot take.
    """
    other = _elsewhere(task, settings)
    truth, scores = other.labels[other.test], Scores()
    sides: dict[str, Any] = {
        "split": f"{other.store.path.name} {other.name}",
        "train": len(other.train),
        "test": len(other.test),
        "classes": len(np.unique(other.labels[np.concatenate([other.train, other.test])])),
        "unlabelled": other.unlabelled,
        "unseen": other.unseen,
        "notes": list(other.notes),
        "seen": None,
    }
    for kind in settings.kinds:
        if kind == "finetune" and not hasattr(other.model, "loader"):
            continue  # fixed vectors, or an ensemble: there is nothing to train
        outcome = _classified(other, truth, kind, settings)
        scores.add(WORDS[kind], float(outcome.values.mean()), sides | {"interval": interval(outcome.values[None])})
    return scores


def resolve(settings: Settings, task: Task) -> Settings:
    """A target has to be named."""
    if not settings.target:
        raise InputError("transfer.target", "no store", "the labelled store to transfer to", "Give --target STORE")
    return settings


def is_stochastic(settings: Settings) -> bool:
    """Fine-tuning draws."""
    return "finetune" in settings.kinds


def baseline(settings: Settings) -> tuple[str, Settings]:
    """Hand-crafted features of the target, under the nearest neighbour and logistic regression."""
    return "positions", dataclasses.replace(
        settings, kinds=tuple(k for k in settings.kinds if k != "finetune") or KINDS[:2]
    )


def _elsewhere(task: Task, settings: Settings) -> Task:
    """The task of the same model on the target."""
    store = stores.opened(settings.target)
    split = settings.target_split or splits.advised(store)
    if split is None:
        raise InputError(f"transfer.target {store.path}", "no split of two clips to learn from", "a larger store")
    other = make_task(task.model, store, split, split)
    other.seed, other.tell = task.seed, task.tell
    return other


def _classified(other: Task, truth: np.ndarray, kind: str, settings: Settings) -> Outcome:
    if kind == "finetune":
        return finetune.classified(other, settings.training, "transfer")
    train, test, labels = other.features(other.train), other.features(other.test), other.labels[other.train]
    if kind == "knn":
        found = knn.predict(train, labels, test, (1,))[1]
        return Outcome((found == truth).astype(np.float64), found)
    linear.check(other, linear.Probe(), "transfer")
    return linear.named(linear.logistic(train, labels, test, settings.C, 1000), truth)
