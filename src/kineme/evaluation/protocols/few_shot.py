"""Accuracy from one or five examples of each of five classes, over many draws (few-shot episodes)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...utils.errors import InputError
from ..task import Scores, Task


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        ways: classes of an episode.
        shots: examples of each class; one figure for each number.
        queries: test clips of each class in an episode, or as many as there are.
        episodes: how many are drawn.
    """

    ways: int = 5
    shots: tuple[int, ...] = (1, 5)
    queries: int = 15
    episodes: int = 600

    def __post_init__(self) -> None:
        for name, least in (("ways", 2), ("queries", 1), ("episodes", 2)):
            if getattr(self, name) < least:
                raise InputError(f"few_shot.{name}", str(getattr(self, name)), f"{least} or more")
        if not self.shots or min(self.shots) < 1:
            raise InputError("few_shot.shots", f"{self.shots}", "one or more numbers from 1 up")


class Episode(NamedTuple):
    """One draw: examples int64 ``[ways, shots]`` and queries int64 ``[Q]``, rows of the store, and which of the classes
    each query is, ``[Q]``.
    """

    examples: np.ndarray
    queries: np.ndarray
    classes: np.ndarray


def score(task: Task, settings: Settings) -> Scores:
    """Examples come from the training side, queries from the test side, so that what is tested is what the split tests:
    other people, another camera. A query belongs to the class whose examples' mean direction is nearest by cosine
    (Snell et al. 2017, with frozen features). All models are given the same episodes.

    Returns:
        ``5-way 1-shot``, ...: mean over the episodes; the ``interval`` (95 %) is over episodes, as the field gives it.

    Raises:
        InputError: fewer classes than ``ways`` with enough examples and a test clip.
    """
    scores, rows = Scores(), np.union1d(task.train, task.test)
    features = task.features(rows).astype(np.float64)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    for shots in settings.shots:
        rights = []
        for episode in episodes(task, settings, shots):
            centres = features[np.searchsorted(rows, episode.examples)].mean(1)
            centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
            found = (features[np.searchsorted(rows, episode.queries)] @ centres.T).argmax(1)
            rights.append(np.mean(found == episode.classes))
        mean, half = float(np.mean(rights)), float(1.96 * np.std(rights, ddof=1) / np.sqrt(len(rights)))
        more = {"interval": [mean - half, mean + half], "episodes": settings.episodes}
        scores.add(f"{settings.ways}-way {shots}-shot", mean, more)
    return scores


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The best of the reduced hand-crafted features."""
    return "best reduced", settings


def episodes(task: Task, settings: Settings, shots: int) -> Iterator[Episode]:
    """Draw from the task's seed: classes, then examples and queries of each, without a clip twice."""
    gen = np.random.default_rng([task.seed, shots])
    train, test = (
        [rows[task.labels[rows] == label] for label in range(len(task.classes))] for rows in (task.train, task.test)
    )
    usable = [label for label, (some, asked) in enumerate(zip(train, test)) if len(some) >= shots and len(asked)]
    if len(usable) < settings.ways:
        raise InputError(
            f"few_shot.ways {settings.ways} of {task.store.path}",
            f"{len(usable)} classes with {shots} training clips and a test clip",
            f"{settings.ways} or more",
            f"Score fewer at a time: --set few_shot.ways={max(2, len(usable))}",
        )
    for _ in range(settings.episodes):
        chosen = gen.choice(usable, settings.ways, replace=False)
        examples = np.stack([gen.choice(train[label], shots, replace=False) for label in chosen])
        asked = [gen.choice(test[k], min(settings.queries, len(test[k])), replace=False) for k in chosen]
        yield Episode(examples, np.concatenate(asked), np.repeat(np.arange(settings.ways), list(map(len, asked))))
