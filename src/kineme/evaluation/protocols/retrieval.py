"""Search by cosine: share of test clips with one of their class among the k nearest, and mean average precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import normalize

from ...data import store as stores
from ...data.clip_table import text
from ...data.store import Store
from ...utils import hardware
from ...utils.errors import InputError
from ..robustness import in_layout
from ..task import Outcome, Scores, Task, normalised

MAP = "mAP"
ROWS = 512  # queries at a time
Hidden = Callable[[slice], np.ndarray]
"""What some queries are not to find: bool ``[b, n]``."""
AUTO = "auto"
COLUMNS = ("camera", "dataset")  # across which is looked where nobody says


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        k: ``R@k``: the share of queries with a clip of their class among the k nearest; one figure for each number.
        gallery: where is looked: the training side, or the other clips of the test side.
        across: columns of the clip table; also search among clips with another value there than the query's, e.g.
            across cameras. ``auto``: ``camera`` and ``dataset``, where the gallery has several.
        source: folder of another labelled store: also look there, its classes matched by name, its layout mapped to
            the run's.
        layouts: also show the queries in these layouts: joints that they lack are missing, others are made from those
            that they have.
    """

    k: tuple[int, ...] = (1, 5, 10)
    gallery: Literal["train", "test"] = "train"
    across: tuple[str, ...] = (AUTO,)
    source: str = ""
    layouts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.k or min(self.k) < 1:
            raise InputError("retrieval.k", f"{tuple(self.k)}", "one or more numbers of neighbours, from 1 up")


def score(task: Task, settings: Settings) -> Scores:
    """Look every test clip up by the cosine of its vector.

    Queries without any clip of their class in the gallery count in no figure: nothing could be found. How many those
    are stands in the rows (``left_out``). Average precision: the mean, over the clips of the class, of the share of
    their class among all that are at least as near (the area under precision and recall, not interpolated).

    Returns:
        ``R@1``, ..., ``mAP``; the same ``across camera``, ..., ``from STORE``, ``in LAYOUT``.

    Raises:
        InputError: a column or a layout that there is not; no query that anything could be found for.
    """
    scores, truth = Scores(), task.labels[task.test]
    queries = task.features(task.test)
    rows = task.train if settings.gallery == "train" else task.test
    gallery, labels = (queries if settings.gallery == "test" else task.features(rows)), task.labels[rows]
    itself: Hidden | None = None
    if settings.gallery == "test":

        def itself(part: slice) -> np.ndarray:
            return rows[None] == task.test[part, None]

    _enter(scores, "", queries, truth, gallery, labels, settings, itself)
    for name, values in _columns(task, rows, settings):
        _enter(
            scores, f" across {name}", queries, truth, gallery, labels, settings, _same(values[task.test], values[rows])
        )
    for name in settings.layouts:
        seen = in_layout(task.store, task.test, name)
        shown = task.embedded(seen, np.arange(len(task.test)))
        _enter(scores, f" in {name}", shown, truth, gallery, labels, settings, itself)
    if settings.source:
        other = stores.opened(settings.source)
        there, classes = _matched(other, task.classes)
        found = task.embedded(other, there)
        _enter(scores, f" from {other.path.name}", queries, truth, found, classes, settings)
    return scores


def is_stochastic(settings: Settings) -> bool:
    """Nothing is drawn."""
    return False


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The best of all forms, searched in the store itself."""
    return "best", replace(settings, source="", layouts=())


def average_precision(relevant: np.ndarray) -> np.ndarray:
    """Of ranked lists, not interpolated.

    Args:
        relevant: bool ``[m, n]``, the nearest first.

    Returns:
        float64 ``[m]``; NaN where nothing is relevant.

    Examples:
        >>> average_precision(np.array([[True, False, True], [False, False, False]]))  # (1 / 1 + 2 / 3) / 2
        array([0.83333333,        nan])
    """
    found = relevant.cumsum(1)
    precision = (found / np.arange(1, relevant.shape[1] + 1) * relevant).sum(1)
    total = relevant.sum(1)
    return np.where(total > 0, precision / np.maximum(total, 1), np.nan)


def _enter(
    scores: Scores,
    words: str,
    queries: np.ndarray,
    truth: np.ndarray,
    gallery: np.ndarray,
    labels: np.ndarray,
    settings: Settings,
    hidden: Hidden | None = None,
) -> None:
    """Search, and enter the figures under names that end on ``words``.

    Args:
        hidden: gallery clips that a query is not to find.
    """
    if max(settings.k) > len(gallery):
        raise InputError("retrieval.k", f"{max(settings.k)} of {len(gallery)} clips", f"1 to {len(gallery)}")
    parts = list(_ranked(queries, truth, gallery, labels, hidden, max(settings.k)))
    near, cosine, precision = (np.concatenate(each) for each in zip(*parts))
    counts = np.isfinite(precision)
    if not counts.any():
        raise InputError(
            f"retrieval{words}",
            "no test clip of whose class the gallery has another",
            "one or more",
            "Choose another split, or another column with --set retrieval.across=NAME",
        )
    more = {"left_out": int((~counts).sum())}
    for k in settings.k:
        hits = np.where(counts, (near[:, :k] == truth[:, None]).any(1), np.nan)
        scores.tell(f"R@{k}{words}", Outcome(hits, *([near[:, 0], cosine] if k == 1 else [])), more)
    scores.tell(f"{MAP}{words}", Outcome(precision), more)


@torch.inference_mode()
def _ranked(
    queries: np.ndarray, truth: np.ndarray, gallery: np.ndarray, labels: np.ndarray, hidden: Hidden | None, most: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For blocks of queries: the labels of the nearest ``[b, most]``, the cosine of the first, average precision."""
    device = hardware.device(None)
    shown = normalize(torch.as_tensor(np.ascontiguousarray(gallery, np.float32), device=device))
    for begin in range(0, len(queries), ROWS):
        part = slice(begin, begin + ROWS)
        query = torch.as_tensor(np.ascontiguousarray(queries[part], np.float32), device=device)
        cosine = normalize(query) @ shown.T
        if hidden is not None:
            cosine[torch.from_numpy(hidden(part)).to(device)] = -torch.inf
        values, order = cosine.sort(dim=1, descending=True, stable=True)
        found = labels[order.cpu().numpy()]
        there = torch.isfinite(values).cpu().numpy()
        relevant = (found == truth[part, None]) & there
        yield np.where(there, found, -1)[:, :most], values[:, 0].double().cpu().numpy(), average_precision(relevant)


def _same(query: np.ndarray, gallery: np.ndarray) -> Hidden:
    """Clips with the query's own value, and those without any."""

    def hidden(part: slice) -> np.ndarray:
        here = query[part, None]
        return (here == gallery[None]) | (here == "") | (gallery[None] == "")

    return hidden


def _columns(task: Task, rows: np.ndarray, settings: Settings) -> Iterator[tuple[str, np.ndarray]]:
    """The columns across which is looked, with the value of every clip; an empty text where it is not known."""
    known = task.store.clips.column_names
    names = [name for name in COLUMNS if name in known] if settings.across == (AUTO,) else list(settings.across)
    for name in names:
        values = np.array([text(value) or "" for value in task.store.column(name).tolist()], object)
        several = len({*values[rows], *values[task.test]} - {""}) > 1
        if several:
            yield name, values
        elif settings.across != (AUTO,):
            raise InputError(
                f"retrieval.across {name} of {task.store.path}",
                "clips of a single value",
                "two or more",
                "Choose another column or split",
            )


def _matched(store: Store, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The clips of another store whose class is one of these, by name, and their classes."""
    place = {normalised(name): label for label, name in enumerate(classes)}
    column = store.column("label").tolist()
    labels = np.array([-1 if name is None else place.get(normalised(str(name)), -1) for name in column])
    rows = np.flatnonzero(labels >= 0)
    if not len(rows):
        raise InputError(
            f"retrieval.source {store.path}", "no clip of a class that is tested", "classes of the same names"
        )
    return rows, labels[rows]
