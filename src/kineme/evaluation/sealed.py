"""Clips whose labels cannot be read: what may learn about a set without its labels is given this in its place."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..data.store import Store
from .task import Task

if TYPE_CHECKING:
    import pyarrow as pa

LABEL = "label"


class LabelsRead(RuntimeError):
    """Labels were asked for before scoring: an error in a program, not in its input."""

    def __init__(self, what: str):
        super().__init__(f"{what} was read before scoring, where no label of this set may be known")


class SealedStore(Store):
    """A store without its labels; everything else is as it was.

    Raises:
        LabelsRead: by the column of labels, and by ``clips`` where that is asked for it.

    Examples:
        >>> from kineme.evaluation.sealed import SealedStore
        >>> hidden = SealedStore(store)
        >>> len(hidden) == len(store), hidden.motion(0).label is None, "label" in hidden.clips.column_names
        (True, True, False)
    """

    def __init__(self, store: Store):
        self.__dict__.update({name: value for name, value in vars(store).items() if name != "clips"})
        self._whole = store

    def __reduce__(self) -> tuple:
        return SealedStore, (self._whole,)

    @property
    def clips(self) -> pa.Table:
        """The clip table without labels."""
        return self._whole.clips.drop_columns([LABEL])

    def column(self, name: str) -> np.ndarray:
        """As in :class:`kineme.data.store.Store`, but for the labels."""
        if name == LABEL:
            raise LabelsRead(f"column {LABEL!r} of {self.path}")
        return super().column(name)

    def histogram(self, rows: np.ndarray) -> dict[str, int]:
        """How many of these clips each label has: what an oracle of the proportions of classes says, and no more."""
        names, counts = np.unique(self._whole.column(LABEL)[rows].astype(str), return_counts=True)
        return dict(zip(names.tolist(), counts.tolist()))


class Sealed:
    """Stands in the place of labels: whatever is done with it raises :class:`LabelsRead`."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise LabelsRead("the labels of a task")

    __getitem__ = __len__ = __iter__ = __array__ = __eq__ = __contains__ = __bool__ = _refuse
    __hash__ = None  # type: ignore[assignment]


def sealed(task: Task) -> Task:
    """A task whose labels, and names of classes, cannot be read.

    Examples:
        >>> from kineme.evaluation.sealed import sealed
        >>> from kineme.evaluation.task import make_task
        >>> sealed(make_task(model, store, "random")).labels[0]
        Traceback (most recent call last):
        ...
        kineme.evaluation.sealed.LabelsRead: the labels of a task was read before scoring, where no label of this set may be known
    """  # noqa: E501
    hidden: Any = Sealed()
    store = SealedStore(task.store)
    return dataclasses.replace(task, store=store, labels=hidden, classes=hidden, _known={})
