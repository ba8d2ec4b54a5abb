"""A recogniser's cross-validation beside the same classifier on hand-crafted features, and the majority class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inference import classifier
from ..inference.memory_clips import gathered
from ..utils.errors import InputError
from . import baselines
from .scores import HAND_CRAFTED, TRAINED

if TYPE_CHECKING:
    from ..data.store import Store
    from ..inference.recogniser import Recogniser

MAJORITY = "majority class"
POOL = 500  # clips of the store that standardise hand-crafted features
NORMAL = 1.96  # of a 95 % interval


def scores(recogniser: Recogniser, store: Store, tell: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """How many held-out examples are right: by the recogniser, by the same classifier on hand-crafted features, and if
    the most frequent class were always named. All are held out in the same folds.

    Of the hand-crafted forms the best counts, which is chosen on these examples in its favour.

    Args:
        recogniser: one that was just taught.
        store: the clips that taught it.
        tell: is told the form under way.

    Returns:
        A row each: ``features`` (trained, hand-crafted, majority class), ``right``, ``examples``, ``score``, ``low``
        and ``high`` (95 % interval by Wilson, over examples), ``by`` (what was held out together); of hand-crafted
        features ``form`` and ``forms``, the scores of all.

    Raises:
        InputError: a recogniser that was opened, which has no examples.

    Examples:
        >>> names = store.column("label")
        >>> rows = scores(kineme.Recogniser.teach(model, store, names), store)
        >>> [row["features"] for row in rows]
        ['trained', 'hand-crafted', 'majority class']
    """
    taught = recogniser.taught
    if taught is None:
        raise InputError("recogniser", "one that was opened", "one that was just taught")
    numbers, folds = taught.numbers, taught.folds.numbers
    motions = [
        store[each.clip] if each.start is None or each.end is None else store[each.clip].slice(each.start, each.end)
        for each in taught.examples
    ]
    clips = gathered(motions, store.layout)
    clips.card = store.card
    rows = np.unique(np.linspace(0, len(store) - 1, min(POOL, len(store))).round().astype(np.int64))
    forms: dict[str, int] = {}
    for name, features, pool in baselines.unlabelled_forms(store, clips, rows):
        tell(name)
        held = classifier.cross_validated(features, numbers, pool, folds)
        forms[name] = int(held.right.sum())
    best = max(forms, key=lambda name: forms[name])
    total = len(numbers)
    shares = {name: right / total for name, right in forms.items()}
    counted = {
        TRAINED: int(taught.held.right.sum()),
        HAND_CRAFTED: forms[best],
        MAJORITY: int(np.bincount(numbers).max()),
    }
    return [
        {"features": name, "right": right, "examples": total, "score": right / total, "by": taught.folds.by}
        | dict(zip(("low", "high"), interval(right, total)))
        | ({"form": best, "forms": shares} if name == HAND_CRAFTED else {})
        for name, right in counted.items()
    ]


def interval(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927).

    Examples:
        >>> low, high = interval(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
    """
    share, square = right / total, NORMAL**2 / total
    middle = (share + square / 2) / (1 + square)
    half = NORMAL * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)
