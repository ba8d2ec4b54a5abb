"""Accuracy from few labels: 1, 5, 10 and 20 % of the training labels, on a frozen encoder or a fine-tuned one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...data import splits
from ...training import finetune as training
from ...utils.errors import InputError
from ..task import Outcome, Scores, Task
from . import finetune, linear

FROZEN, TUNED = "frozen", "finetune"
WORDS = {FROZEN: "frozen", TUNED: "fine-tuned"}


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        fractions: shares of the labels of the training side; one figure for each.
        kinds: ``frozen``: logistic regression on the vectors; ``finetune``: encoder and classifier are trained.
        draws: so many draws of the labels of every fraction, over which the figure is a mean.
        stratified: take the share of every class, at least one clip of each. Published figures (CMD, HaLP) draw over
            all clips.
        C: of the logistic regression, see ``linear``.
        training: of the fine-tuning, see :class:`kineme.training.finetune.Settings`.
    """

    fractions: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2)
    kinds: tuple[str, ...] = (FROZEN, TUNED)
    draws: int = 5
    stratified: bool = False
    C: float = 0.05
    training: training.Settings = field(default_factory=lambda: finetune.SHORT)

    def __post_init__(self) -> None:
        if not self.fractions or not all(0 < share <= 1 for share in self.fractions):
            raise InputError("semi.fractions", f"{self.fractions}", "one or more numbers above 0, at most 1")
        if not self.kinds or not set(self.kinds) <= set(WORDS):
            raise InputError("semi.kinds", f"{self.kinds}", f"one or both of {', '.join(WORDS)}")
        if self.draws < 1:
            raise InputError("semi.draws", str(self.draws), "1 or more")


def score(task: Task, settings: Settings) -> Scores:
    """Train on some of the labels, test on all test clips; mean over the draws.

    Draw d of seed s is the same for every model. A class that no drawn clip shows is always wrong.

    Returns:
        ``1 % frozen``, ``1 % fine-tuned``, ...; their rows also have ``labels`` (how many were drawn), ``draws`` (the
        score of each) and ``fraction``.

    Raises:
        InputError: labels of fewer than two classes in a draw; an ensemble that is to be fine-tuned.
    """
    scores = Scores()
    for kind in settings.kinds:
        if kind == TUNED and not hasattr(task.model, "loader") and not hasattr(task.model, "models"):
            continue  # fixed vectors, such as hand-crafted features: frozen is all that there is
        for share in settings.fractions:
            draws = [_drawn(task, settings, share, task.seed * settings.draws + k) for k in range(settings.draws)]
            told = [_KINDS[kind](task, rows, settings, k) for k, rows in enumerate(draws)]
            values = np.stack([outcome.values for outcome in told])
            more = {"labels": len(draws[0]), "draws": values.mean(1).tolist(), "fraction": share}
            scores.tell(f"{100 * share:g} % {WORDS[kind]}", Outcome(values.mean(0)), more)
    return scores


def resolve(settings: Settings, task: Task) -> Settings:
    """An ensemble has no encoder that could be trained: frozen only, unless it was asked for otherwise."""
    if hasattr(task.model, "models") and settings.kinds == Settings.kinds:
        return dataclasses.replace(settings, kinds=(FROZEN,))
    return settings


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The best of the reduced hand-crafted features, under logistic regression."""
    return "best reduced", dataclasses.replace(settings, kinds=(FROZEN,))


def _drawn(task: Task, settings: Settings, share: float, seed: int) -> np.ndarray:
    """Training clips whose labels are known, int64 rows."""
    rows = splits.fraction(task.train, task.labels, share, seed, settings.stratified)
    classes = len(np.unique(task.labels[rows]))
    if classes < 2:
        raise InputError(
            f"semi, {100 * share:g} % of {len(task.train)} labels",
            f"{len(rows)} clips of {classes} class",
            "two classes or more",
            "Take larger fractions (--set semi.fractions=0.1,0.2) or a share of every class "
            "(--set semi.stratified=true)",
        )
    return rows


def _frozen(task: Task, rows: np.ndarray, settings: Settings, draw: int) -> Outcome:
    train, test = task.features(rows), task.features(task.test)
    found = linear.logistic(train, task.labels[rows], test, settings.C, 1000, each=not task.weighted)
    return linear.named(_whole(found, task), task.labels[task.test])


def _tuned(task: Task, rows: np.ndarray, settings: Settings, draw: int) -> Outcome:
    return finetune.classified(dataclasses.replace(task, train=rows), settings.training, f"semi {draw}")


def _whole(found: np.ndarray, task: Task) -> np.ndarray:
    """Class scores with a column for every class."""
    missing = len(task.classes) - found.shape[1]
    return np.pad(found, ((0, 0), (0, missing)), constant_values=-np.inf)


_KINDS: dict[str, Callable[[Task, np.ndarray, Settings, int], Outcome]] = {FROZEN: _frozen, TUNED: _tuned}
