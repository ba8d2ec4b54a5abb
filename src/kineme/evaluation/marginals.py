"""Adapt a classifier to unlabelled clips of another domain of which the proportions of the classes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Generator, nn

from ..data.store import Store
from ..nn.sinkhorn import correct_marginals
from ..training.finetune import Classifier, Labelled, Tell, Trainer
from ..utils.errors import InputError
from ..utils.settings import positive

Proportions = Literal["true", "uniform", "estimated"]
ROUNDS, SETTLED = 1000, 1e-8  # of the estimate of proportions


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        epochs: of the target's clips; nothing is chosen there, so the weights after the last one count.
        eps: of the correction: 1 matches the proportions by one factor for each class, smaller values also sharpen (the
            published script has 0.05, which takes ten times as long to converge).
        threshold: corrected probability that a pseudo-label must exceed.
        capped: at most as many pseudo-labels of a class as its proportion allows, the most probable ones.
        average: share of the teacher's weights that is kept at each step of the student.
        rate: learning rates as a share of those of fine-tuning.
    """

    epochs: int = 10
    eps: float = 1.0
    threshold: float = 0.0
    capped: bool = False
    average: float = 0.99
    rate: float = 1.0

    def __post_init__(self) -> None:
        positive(self, "adaptation", "epochs", "eps", "rate")
        for name in ("threshold", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"adaptation.{name}", f"{getattr(self, name)}", "a number from 0 on, below 1")


def adapt(
    classifier: Classifier,
    source: Labelled,
    target: Store,
    rows: np.ndarray,
    proportions: np.ndarray | None,
    settings: Settings,
    gen: Generator,
    tell: Tell | None = None,
) -> Classifier:
    """Train a copy of a classifier on pseudo-labelled clips of a target and, one to one, labelled ones of its source.

    The teacher labels all target clips at the beginning of every epoch: its log-probabilities are corrected to the
    proportions (:func:`kineme.nn.sinkhorn.correct_marginals`), and the most probable class counts. Its weights are an
    average of the student's, taken after every step (Schneider et al. 2022 name teacher, proportions, transport and
    threshold; how these work together is inferred).

    Args:
        classifier: trained on the source; it stays as it is.
        source: clips with labels.
        target: clips without labels.
        rows: int64 ``[n]`` of the target.
        proportions: ``[K]`` of the target, of sum 1; None estimates them anew in every epoch.
        settings: see :class:`Settings`.
        gen: of order, views and dropout.
        tell: called with a note after every epoch.

    Returns:
        the student.

    Raises:
        InputError: proportions that the correction cannot reach, no pseudo-label above the threshold.
    """
    student, teacher = classifier.copy(), classifier.copy()
    trainer = Trainer(student, gen, settings.rate)
    prior = _prior(source, classifier)
    rows = np.asarray(rows, np.int64)
    for epoch in range(settings.epochs):
        found = teacher.log_probabilities(target, rows)
        wanted = estimate(found, prior) if proportions is None else proportions
        corrected = correct_marginals(torch.from_numpy(found), torch.from_numpy(wanted), settings.eps).numpy()
        labels, kept = pseudo_labels(corrected, wanted, settings.threshold, settings.capped)
        if not len(kept):
            best = f"{corrected.max():.3f}" if corrected.size else "none"
            raise InputError(
                "adaptation.threshold",
                f"no clip of {len(rows)} has a probability above {settings.threshold:g} (the highest: {best})",
                "a lower threshold",
            )
        loss = trainer.epoch(
            [source, Labelled(target, rows[kept], labels)], lambda: move(teacher, student, settings.average)
        )
        if tell is not None:
            tell(f"adaptation {epoch + 1} of {settings.epochs}, {len(kept)} pseudo-labels, loss {loss:.3f}")
    return student


def pseudo_labels(
    probabilities: np.ndarray, proportions: np.ndarray, threshold: float = 0.0, capped: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class of each clip where it is probable enough.

    Args:
        probabilities: float64 ``[n, K]``.
        proportions: ``[K]``.
        threshold: probability to exceed.
        capped: keep at most ``round(proportions[c] * n)`` of a class c, the most probable ones.

    Returns:
        labels int64 ``[m]`` and the clips that have them, int64 ``[m]``, ascending.

    Examples:
        >>> pseudo_labels(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([1 / 3, 2 / 3]), capped=True)
        (array([0, 1]), array([0, 2]))
    """
    labels, best = probabilities.argmax(1), probabilities.max(1, initial=0.0)
    kept = best > threshold
    if capped:
        order = np.lexsort((-best, labels))
        rank = np.empty(len(labels), np.int64)
        begins = np.searchsorted(labels[order], np.arange(len(proportions)))
        rank[order] = np.arange(len(labels)) - begins[labels[order]]
        kept &= rank < np.rint(proportions * len(labels))[labels]
    chosen = np.flatnonzero(kept)
    return labels[chosen], chosen


def estimate(log_probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Proportions of the classes among clips, from what a classifier says of them (Saerens et al. 2002, equation 2.9).

    Expectation maximisation: posteriors are weighted by the ratio of estimated to trained proportions, their mean is
    the next estimate. It holds as far as the classifier's probabilities do.

    Args:
        log_probabilities: float64 ``[n, K]``.
        prior: ``[K]``, the proportions that the classifier was trained with.

    Returns:
        float64 ``[K]``, of sum 1.
    """
    there = prior > 0
    posterior = np.exp(log_probabilities[:, there])
    posterior /= posterior.sum(1, keepdims=True)
    found = prior[there].astype(np.float64)
    for _ in range(ROUNDS):
        weighted = posterior * (found / prior[there])
        before, found = found, (weighted / weighted.sum(1, keepdims=True)).mean(0)
        if np.abs(found - before).max() < SETTLED:
            break
    whole = np.zeros(len(prior))
    whole[there] = found
    return whole / whole.sum()


@torch.no_grad()
def move(teacher: Classifier, student: Classifier, kept: float) -> None:
    """Move the teacher's weights, in place, towards the student's; what is no float is taken over."""
    for mine, other in zip(_state(teacher), _state(student)):
        if mine.is_floating_point():
            mine.lerp_(other, 1 - kept)
        else:
            mine.copy_(other)


def _state(classifier: Classifier) -> Sequence[torch.Tensor]:
    modules: nn.Module = classifier.modules()
    return [*modules.parameters(), *modules.buffers()]


def _prior(source: Labelled, classifier: Classifier) -> np.ndarray:
    """The proportions that the classifier was trained with; those of a balanced loss are even."""
    counts = np.bincount(source.labels, minlength=classifier.classes)
    weights = (counts > 0).astype(np.float64) if classifier.settings.balanced else counts.astype(np.float64)
    return weights / weights.sum()
