"""Accuracy and retrieval of each stream (joint, motion, bone) and of all of them together, their scores averaged."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...utils.errors import InputError
from ..task import Outcome, Scores, Task
from . import knn, linear

FUSED = "fused"


@dataclass(frozen=True)
class Settings(linear.Probe):
    """Those of each stream's classifier (:class:`linear.Probe`), and how the streams are put together.

    Attributes:
        weights: one number for each stream, in the streams' order; none: equal ones. Later papers in HiCo's line take
            0.6 for joint and bone, 0.4 for motion (Dong et al. 2023).
        k: how many neighbours vote; one figure for each number.
    """

    weights: tuple[float, ...] = ()
    k: tuple[int, ...] = (1,)


def score(task: Task, settings: Settings) -> Scores:
    """Share of test clips that get their own label: by a classifier of each stream and by the weighted mean of their
    class scores; by the nearest training clips in each stream and by the weighted mean of the streams' cosines.

    The class scores are the outputs of the linear layer, as CMD's model averages them (Shah et al. 2023). Mean
    log-probabilities give the same labels: they differ from these by one number for all classes of a clip.

    The streams of one run are embedded together, so that the probes with random crops see the same crops of a clip.
    There is no baseline: hand-crafted features have no streams; those of ``linear`` and
    ``knn`` on the same split are the comparison.

    Returns:
        ``joint accuracy``, ..., ``fused accuracy``, ``joint 1-NN``, ..., ``fused 1-NN``. A model of a single stream has
        nothing to fuse: its scores are those of ``linear`` and ``knn``.

    Raises:
        InputError: a wrong number of weights, or weights that cannot be; see also ``linear`` and ``knn``.
    """
    streams = task.streams
    weights = checked(settings.weights, list(streams))
    linear.check(task, settings, "fusion")
    labels, truth = task.labels[task.train], task.labels[task.test]
    train, test, views = task.features(task.train), task.features(task.test), linear.crops(task, settings)
    galleries = {name: train[:, part] for name, part in streams.items()}
    queries = {name: test[:, part] for name, part in streams.items()}
    looks = {name: linear.classify(task, settings, views[..., part], queries[name]) for name, part in streams.items()}
    scores = {name: deque(each, maxlen=1).pop() for name, each in looks.items()}  # those after the last step
    if len(streams) > 1:
        scores[FUSED] = averaged(list(scores.values()), weights)
        galleries[FUSED], queries[FUSED] = (joined(list(side.values()), weights) for side in (galleries, queries))
    found = Scores()
    for name, each in scores.items():
        found.tell(f"{name} accuracy", linear.named(each, truth))
    for name, query in queries.items():
        for k, label in knn.predict(galleries[name], labels, query, settings.k).items():
            found.tell(f"{name} {k}-NN", Outcome((label == truth).astype(np.float64), label))
    return found


def is_stochastic(settings: Settings) -> bool:
    """Neighbours draw nothing; of the classifiers those that ``linear`` says."""
    return linear.is_stochastic(settings)


def checked(weights: Sequence[float], streams: Sequence[str]) -> np.ndarray:
    """Weights of sum 1, float64 ``[len(streams)]``; equal ones if none are given.

    Raises:
        InputError: another number of them, negative or infinite ones, or nothing but zeros.
    """
    if weights and len(weights) != len(streams):
        raise InputError("fusion.weights", f"{len(weights)} weights", f"one for each of {', '.join(streams)}")
    given = np.array(weights or np.ones(len(streams)), np.float64)
    if not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise InputError("fusion.weights", ", ".join(map(str, weights)), "numbers from 0 up, not all of them 0")
    return given / given.sum()


def averaged(scores: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the streams' class scores, float64 ``[m, K]``. A stream without weight has no say at all.

    Args:
        scores: ``[m, K]`` of each stream.
        weights: ``[S]`` of sum 1.
    """
    return np.sum([weight * each.astype(np.float64) for weight, each in zip(weights, scores) if weight], axis=0)


def joined(features: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Vectors whose cosine is the weighted mean of the streams' cosines, float32 ``[n, D]``.

    Each stream is brought to length 1 and multiplied by the root of its weight; streams without weight are left out.
    A single one that is left stays as it is, because a cosine does not depend on lengths.

    Args:
        features: ``[n, D_s]`` of each stream. A zero vector has no direction: the other streams decide for its clip.
        weights: ``[S]`` of sum 1.
    """
    kept = [(each, weight) for each, weight in zip(features, weights) if weight]
    if len(kept) == 1:
        return kept[0][0]
    lengths = [np.linalg.norm(each, axis=1, keepdims=True).clip(min=1e-12) / weight**0.5 for each, weight in kept]
    return np.concatenate([each / length.astype(np.float32) for (each, _), length in zip(kept, lengths)], axis=1)
