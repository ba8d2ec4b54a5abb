"""What a protocol scores: features of the training and the test clips of a split, computed once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..data.store import row_numbers
from ..utils.errors import InputError

if TYPE_CHECKING:
    from ..data.splits import Split
    from ..data.store import Store

CROPS = 1 << 30  # bytes of random crops that are kept


class ClipModel(Protocol):
    """What a task asks of a model; :class:`kineme.inference.model.Model` and the ensemble have it.

    One whose vectors are made of several streams also has ``streams``: see :attr:`Task.streams`.
    """

    def embed(self, what: Store, rows: np.ndarray | None = None, *, crop: Any = None) -> np.ndarray:
        """float32 ``[n, D]``, one vector for each of ``rows`` (default all) in their order.

        ``crop=(low, high, seed)`` asks for random crops; without it the crop is deterministic.
        """


class FrameModel(Protocol):
    """Asked of a model whose unit is the frame; :class:`kineme.inference.model.Model` has it for such runs."""

    def frames(self, what: Any, rows: np.ndarray | None = None, *, part: str = "pose") -> tuple[np.ndarray, np.ndarray]:
        """float32 ``[F, D]``, one code for each recorded frame of each of ``rows`` (default all) of a store, or of a
        motion; and where the clips begin, int64 ``[n + 1]``.
        """


class Outcome(NamedTuple):
    """What became of each test clip under one metric.

    Attributes:
        values: float64 ``[m]``, whose mean is the score (1: right, 0: wrong); NaN where a clip does not count.
        labels: int64 ``[m]``, what was predicted, an index into :attr:`Task.classes`; None where nothing was.
        scores: float64 ``[m]``, how sure that was, e.g. its probability or cosine.
    """

    values: np.ndarray
    labels: np.ndarray | None = None
    scores: np.ndarray | None = None


class Scores(dict[str, float]):
    """Scores by metric, some with what became of each test clip, or with more to be said in their rows.

    Attributes:
        more: metric -> entries of its row, in place of those of the same name.
        outcomes: metric -> what became of each test clip: intervals, paired differences and files of predictions are
            made of it.

    Examples:
        >>> from kineme.evaluation.task import Outcome, Scores
        >>> scores = Scores()
        >>> scores.tell("accuracy", Outcome(np.array([1.0, 0.0, 1.0, 1.0])))
        >>> scores
        {'accuracy': 0.75}
    """

    def __init__(self) -> None:
        super().__init__()
        self.more: dict[str, dict[str, Any]] = {}
        self.outcomes: dict[str, Outcome] = {}

    def add(self, metric: str, score: float, more: Mapping[str, Any] | None = None) -> None:
        """Enter a score."""
        self[metric], self.more[metric] = float(score), dict(more or {})

    def tell(self, metric: str, outcome: Outcome, more: Mapping[str, Any] | None = None) -> None:
        """Enter the mean of what became of the test clips that count.

        Raises:
            InputError: none counts.
        """
        counted = np.isfinite(outcome.values)
        if not counted.any():
            raise InputError(metric, "no test clip that it could be said of", "one or more")
        self.add(metric, float(outcome.values[counted].mean()), more)
        self.outcomes[metric] = outcome


@dataclass
class Task:
    """One contestant on one split: what a protocol scores.

    Attributes:
        store: the clips.
        model: gives the features.
        labels: int64 ``[N]`` for all clips of the store, an index into ``classes``; -1 where a clip has no label.
        classes: names, sorted.
        train, test: int64 rows of the two sides; all of them have labels.
        seed: for what a protocol draws.
        unlabelled: clips that were left out of the two sides because they have no label.
        name: of the model, for messages.
        notes: what one should know of the split.
        weighted: the scales of the features' columns mean something, and a classifier should leave them.
        tell: shows a note beside the bar, for protocols that take long.
    """

    store: Store
    model: ClipModel | Any
    labels: np.ndarray
    classes: list[str]
    train: np.ndarray
    test: np.ndarray
    seed: int = 0
    unlabelled: int = 0
    name: str = "the model"
    notes: tuple[str, ...] = ()
    weighted: bool = False
    tell: Callable[[str], None] | None = None
    _known: dict[str, Any] = field(default_factory=dict, repr=False)  # features, shared by one model's protocols

    @property
    def unseen(self) -> list[str]:
        """Classes of the test side that do not occur in training; their clips count as errors."""
        return [self.classes[i] for i in np.setdiff1d(self.labels[self.test], self.labels[self.train])]

    @property
    def streams(self) -> dict[str, slice]:
        """The columns of each stream in the model's features; of a model that does not tell, all are one stream."""
        return getattr(self.model, "streams", None) or {"all": slice(None)}

    def features(self, rows: np.ndarray) -> np.ndarray:
        """float32 ``[len(rows), D]`` of the model's deterministic crop; a clip is embedded once for all protocols.

        Raises:
            InputError: features that are not finite.
        """
        if "clips" not in self._known:
            wanted, asked = self._wanted()
            self._known["clips"] = wanted, self._checked(self.model.embed(self.store, asked), len(wanted))
        known, features = self._known["clips"]
        where = np.searchsorted(known, rows).clip(max=len(known) - 1)
        if not np.array_equal(known[where], rows):
            return self._checked(self.model.embed(self.store, rows), len(rows))
        return features[where]

    def embedded(self, store: Store, rows: np.ndarray) -> np.ndarray:
        """float32 ``[len(rows), D]``: the model's vectors of clips of another store.

        Raises:
            InputError: clips that it cannot take; features that are not finite.
        """
        return self._checked(self.model.embed(store, rows), len(rows))

    def codes(self, rows: np.ndarray, part: str = "pose") -> tuple[np.ndarray, np.ndarray]:
        """One code per recorded frame of each clip: float32 ``[F, D]`` and where the clips begin, int64 ``[n + 1]``; a
        frame is encoded once for all protocols.

        Args:
            part: which of the model's codes.

        Raises:
            InputError: a model without a code for each frame, or codes that are not finite.
        """
        model = require_frame_model(self.model)
        if f"frames {part}" not in self._known:
            wanted, asked = self._wanted()
            found, offsets = model.frames(self.store, asked, part=part)
            self._known[f"frames {part}"] = wanted, self._checked(found, offsets[-1]), offsets
        known, found, offsets = self._known[f"frames {part}"]
        where = np.searchsorted(known, rows).clip(max=len(known) - 1)
        if not np.array_equal(known[where], rows):
            found, offsets = model.frames(self.store, rows, part=part)
            return self._checked(found, offsets[-1]), offsets
        ends = np.concatenate([[0], np.cumsum(self.store.lengths[rows])])
        at = np.arange(ends[-1]) + np.repeat(offsets[where] - ends[:-1], self.store.lengths[rows])
        return found[at], ends

    def views(self, rows: np.ndarray, n: int, low: float = 0.5, high: float = 1.0) -> np.ndarray:
        """float32 ``[n, len(rows), D]``: features of ``n`` random crops of each clip, drawn from the task's seed.

        A crop is a share of the clip, uniform on [low, high).
        """
        crops = [(low, high, seed) for seed in range(self.seed * n, (self.seed + 1) * n)]
        return np.stack([self._crop(rows, crop) for crop in crops])

    def _crop(self, rows: np.ndarray, crop: tuple[float, float, int]) -> np.ndarray:
        """float32 ``[len(rows), D]`` of one random crop, for all protocols that draw the same."""
        kept: dict[tuple, tuple[np.ndarray, np.ndarray]] = self._known.setdefault("crops", {})
        if crop not in kept or not np.array_equal(kept[crop][0], rows):
            kept[crop] = rows, self._checked(self.model.embed(self.store, rows, crop=crop), len(rows))
            while len(kept) > 1 and sum(features.nbytes for _, features in kept.values()) > CROPS:
                kept.pop(next(iter(kept)))
        return kept[crop][1]

    def _wanted(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows that protocols will ask for, and how to ask a model for them: where it is at least half of the store,
        the whole store, whose features it keeps on disk for other splits.
        """
        wanted, clips = np.union1d(self.train, self.test), len(self.store.lengths)
        return (np.arange(clips), None) if 2 * len(wanted) >= clips else (wanted, wanted)

    def _checked(self, features: np.ndarray, n: int) -> np.ndarray:
        where = f"features of {self.name}"
        if features.ndim != 2 or len(features) != n:
            raise InputError(where, f"shape {features.shape}", f"[{n}, D]")
        if not np.isfinite(features).all():
            row = int(np.argmin(np.isfinite(features).all(1)))
            raise InputError(
                where,
                f"values that are not finite (first in row {row})",
                "finite numbers",
                "The training may have diverged: see its log",
            )
        return features


def make_task(model: ClipModel | None, store: Store, split: str | Split, name: str = "the model") -> Task:
    """The task of a model on a split (its name, or an object with ``name``, ``train`` and ``test``); without a model it
    has the two sides only.

    Raises:
        InputError: no labels, or a side without a labelled clip.
    """
    if isinstance(split, str):
        from ..data import splits

        split = splits.split(store, split)
    column = store.column("label")
    known = np.array([label is not None for label in column])
    if not known.any():
        raise InputError(
            store.path,
            "no clip has a label",
            "labels to score against",
            "Give them with: kineme prepare SRC DEST --labels FILE.csv",
        )
    labels = np.full(len(column), -1, np.int64)
    classes, labels[known] = np.unique(column[known].astype(str), return_inverse=True)
    sides = {side: row_numbers(getattr(split, side), len(column), f"split.{side}") for side in ("train", "test")}
    kept = {side: rows[labels[rows] >= 0] for side, rows in sides.items()}
    for side, rows in kept.items():
        if not len(rows):
            raise InputError(
                f"split {split.name}",
                f"no labelled clip on the {side} side",
                "at least one on either side",
                "Choose another split",
            )
    unlabelled = sum(len(sides[side]) - len(kept[side]) for side in sides)
    return Task(
        store,
        model,
        labels,
        classes.tolist(),
        kept["train"],
        kept["test"],
        unlabelled=unlabelled,
        name=name,
        notes=tuple(getattr(split, "notes", ())),
    )


def normalised(name: str) -> str:
    """A class name as it is compared: small letters and digits only.

    Examples:
        >>> from kineme.evaluation.task import normalised
        >>> normalised("Use_Phone") == normalised("usephone") == normalised("use phone")
        True
    """
    return re.sub(r"[\W_]+", "", name.casefold())


def has_frame_codes(model: Any) -> bool:
    """Whether a model has a code for each frame."""
    return hasattr(model, "frames") and getattr(model, "card", {}).get("unit") == "frame"


def require_frame_model(model: Any) -> FrameModel:
    """The model, if it has a code for each frame.

    Raises:
        InputError: it has not.
    """
    if not has_frame_codes(model):
        raise InputError(
            str(getattr(model, "path", None) or "the model"),
            "a run that gives one vector per clip, and no code for each frame",
            "a run of a method whose unit is the frame, such as cv_mim",
            "Score clips with knn, linear or cross_view",
        )
    return model
