"""How well clusters of the vectors agree with the classes (k-means, FINCH): NMI, ARI, accuracy after matching."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ...nn.finch import finch, finch_exactly
from ...utils.errors import InputError
from ..agreement import agreement, matched
from ..groups import resampled
from ..task import Outcome, Scores, Task

KMEANS, FINCH = "k-means", "FINCH"


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        clusters: how many; by default as many as there are classes on the test side.
        methods: ``k-means`` on vectors of length 1, the best of ``starts``; ``FINCH`` (Sarfraz et al. 2019), whose
            clusters are joined until so many are left.
        starts: of k-means.
    """

    clusters: int | None = None
    methods: tuple[str, ...] = (KMEANS, FINCH)
    starts: int = 10

    def __post_init__(self) -> None:
        if not self.methods or not set(self.methods) <= {KMEANS, FINCH}:
            raise InputError("clustering.methods", f"{self.methods}", f"one or both of {KMEANS}, {FINCH}")
        for name, least in (("clusters", 2), ("starts", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise InputError(f"clustering.{name}", str(value), f"{least} or more")


def score(task: Task, settings: Settings) -> Scores:
    """Cluster the test clips by their vectors alone, and compare with their classes. Nothing is learned from the
    training side.

    Returns:
        ``k-means NMI`` (normalised mutual information, arithmetic mean), ``k-means ARI`` (adjusted Rand index),
        ``k-means accuracy`` (clusters matched with classes so that most clips are right, Kuhn 1955), and the same of
        FINCH; ``FINCH found``: the number of its own clusters nearest to that of the classes, only reported.

    Raises:
        InputError: a test side of one class, or with fewer clips than clusters.
    """
    truth, scores = task.labels[task.test], Scores()
    classes = len(np.unique(truth))
    count = settings.clusters or classes
    if classes < 2 or len(truth) < count:
        raise InputError(
            "clustering", f"{len(truth)} test clips of {classes} classes, {count} clusters", "more of them"
        )
    features = task.features(task.test).astype(np.float64)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    for method in settings.methods:
        found = (
            _kmeans(features, count, settings.starts, task.seed) if method == KMEANS else finch_exactly(features, count)
        )
        figures = agreement(found, truth)
        for figure, least in (("NMI", 0.0), ("ARI", -1.0)):
            again = functools.partial(_drawn, found, truth, figure)
            between = {"interval": resampled(again, len(truth), least)}
            scores.add(f"{method} {figure}", figures[figure], between)
        scores.tell(f"{method} accuracy", Outcome((matched(truth, found) == truth).astype(np.float64)))
    if FINCH in settings.methods:
        levels = finch(features).max(0) + 1
        scores.add(f"{FINCH} found", float(min(levels, key=lambda each: abs(each - classes))))
    return scores


def _drawn(found: np.ndarray, truth: np.ndarray, figure: str, rows: np.ndarray) -> float:
    """A figure of clips that were drawn."""
    return agreement(found[rows], truth[rows])[figure]


def is_stochastic(settings: Settings) -> bool:
    """FINCH draws nothing."""
    return KMEANS in settings.methods


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The best of the reduced hand-crafted features."""
    return "best reduced", settings


def higher_is_better(metric: str) -> bool | None:
    """How many clusters FINCH finds is only reported."""
    return None if metric.endswith("found") else True


def _kmeans(features: np.ndarray, count: int, starts: int, seed: int) -> np.ndarray:
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct vectors than clusters
        return KMeans(count, n_init=starts, random_state=seed).fit_predict(features).astype(np.int64)
