"""Whether a linear classifier is as sure as it is right: expected calibration error, likelihood, a reliability plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.errors import InputError
from ..groups import resampled
from ..task import Outcome, Scores, Task
from . import linear

ECE, NLL, BRIER = "ECE", "NLL", "Brier"
TINY = 1e-12  # of a probability before its logarithm


@dataclass(frozen=True)
class Settings(linear.Probe):
    """Those of the classifier (:class:`linear.Probe`), and ``bins``: of equal width, from 0 to 1."""

    bins: int = 15

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise InputError("calibration.bins", str(self.bins), "1 or more")


def score(task: Task, settings: Settings) -> Scores:
    """Train as ``linear`` does, and look at the probabilities of the test clips.

    Returns:
        ``ECE``: expected calibration error, the mean distance of confidence and accuracy over the bins, weighted by
        their clips (Guo et al. 2017, equation 5); its row has the bins (``reliability``: mean confidence, share that is
        right, clips). ``NLL``: mean negative logarithm of the true class's probability. ``Brier``: mean squared
        distance of the probabilities from the truth, summed over classes (Brier 1950). Lower is better in all.
    """
    linear.check(task, settings, "calibration")
    *_, found = linear.classify(task, settings, linear.crops(task, settings), task.features(task.test))
    truth, probability = task.labels[task.test], np.zeros((len(task.test), len(task.classes)))
    probability[:, : found.shape[1]] = linear.probabilities(found)
    sure, right = probability.max(1), probability.argmax(1) == truth

    def error(sure: np.ndarray, right: np.ndarray) -> float:
        bins = reliability(sure, right, settings.bins)
        return float(sum(count * abs(confidence - share) for confidence, share, count in bins) / len(sure))

    scores, bins = Scores(), reliability(sure, right, settings.bins)
    between = {} if len(truth) < 2 else {"interval": resampled(lambda rows: error(sure[rows], right[rows]), len(truth))}
    scores.add(ECE, error(sure, right), {"reliability": bins, **between})
    own = probability[np.arange(len(truth)), truth]
    scores.tell(NLL, Outcome(-np.log(np.maximum(own, TINY))))
    scores.tell(BRIER, Outcome((probability**2).sum(1) - 2 * own + 1))
    return scores


def is_stochastic(settings: Settings) -> bool:
    """As ``linear``."""
    return linear.is_stochastic(settings)


def baseline(settings: Settings) -> tuple[str, Settings]:
    """One form of the hand-crafted features: the best of many would be that whose classifier is least sure."""
    return "reduced", Settings(max_iter=1000, bins=settings.bins)


def higher_is_better(metric: str) -> bool:
    """Errors."""
    return False


def picture(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Reliability diagrams of the trained, the untrained encoder and the hand-crafted features, of the first run."""
    from ...viz import plots

    drawn = {row["features"]: row["reliability"] for row in reversed(rows) if "reliability" in row}
    plots.reliability(dict(reversed(drawn.items())), path, f"linear classifier on {rows[0]['split']}")


def reliability(sure: np.ndarray, right: np.ndarray, bins: int) -> list[list[float]]:
    """Bins of equal width that hold something: mean confidence, share that is right, number of clips.

    Examples:
        >>> reliability(np.array([0.875, 0.625, 0.75]), np.array([True, False, True]), 2)
        [[0.75, 0.6666666666666666, 3]]
    """
    place = np.minimum((sure * bins).astype(np.int64), bins - 1)
    return [
        [float(sure[here].mean()), float(right[here].mean()), int(here.sum())]
        for number in np.unique(place)
        if (here := place == number).any()
    ]
