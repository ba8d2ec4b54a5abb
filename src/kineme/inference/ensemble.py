"""Several runs scored as an ensemble: their vectors side by side."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..utils.errors import InputError
from .long_takes import Windows
from .model import Clips, Model, RandomCrop, _columns, load


def load_any(run: str | os.PathLike, device: str | None = None) -> Model | Ensemble:
    """Open what one word of the command line names: a run, or several joined by commas.

    Raises:
        InputError: see :func:`load`.
    """
    names = [str(run)] if Path(run).exists() else str(run).strip(",").split(",")
    models = [load(name, device) for name in names]
    return Ensemble(models) if len(models) > 1 else models[0]


class Ensemble:
    """Several runs in the place of one model: their vectors side by side. Late fusion of streams that were trained
    separately is this under the protocol ``fusion``.

    Args:
        models: opened runs, or their folders, that take the same clips (each refuses those of another layout, number
            of coordinates or normalisation than its own). Each keeps its own crop and number of frames.

    Attributes:
        path: the runs' folders, joined by commas.
        streams: the columns of each stream in a vector; of two with one name the second is called ``joint 2``.

    Raises:
        InputError: no model.
    """

    def __init__(self, models: Sequence[Model | str | os.PathLike]):
        if not models:
            raise InputError("models to fuse", "none", "at least one")
        self.models = [load(model) if isinstance(model, (str, os.PathLike)) else model for model in models]
        self.path = ",".join(str(model.path or model.hash) for model in self.models)
        widths, count = {}, Counter[str]()
        for stream, columns in (item for model in self.models for item in model.streams.items()):
            count[stream] += 1
            widths[f"{stream} {count[stream]}" if count[stream] > 1 else stream] = columns.stop - columns.start
        self.streams = _columns(widths)

    def untrained(self) -> Ensemble:
        """The runs' own encoders before training."""
        return Ensemble([model.untrained() for model in self.models])

    @property
    def dim(self) -> int:
        return sum(model.dim for model in self.models)

    @overload
    def embed(
        self, what: Clips, rows: Any = None, *, crop: RandomCrop | None = None, batch: int = 256, progress: bool = False
    ) -> np.ndarray: ...

    @overload
    def embed(self, what: Clips, *, window: float, step: float | None = None, batch: int = 256) -> Windows: ...

    def embed(
        self,
        what: Clips,
        rows: Any = None,
        *,
        crop: RandomCrop | None = None,
        batch: int = 256,
        progress: bool = False,
        window: float | None = None,
        step: float | None = None,
    ) -> np.ndarray | Windows:
        """One vector per clip, ``[N, D]``, or with ``window`` one for each window: see :meth:`Model.embed`.

        All runs see the same random crops, but for clips that are too short for the frames of one of them.
        """
        if window is not None or step is not None:
            how: dict[str, Any] = {"window": window, "step": step, "batch": batch}
            parts = [m.embed(what, **how) for m in self.models]  # cut alike: windows are seconds of the motions
            return Windows(np.concatenate([part.vectors for part in parts], axis=1), parts[0].clips, parts[0].times)
        found = [m.embed(what, rows, crop=crop, batch=batch, progress=progress) for m in self.models]
        return np.concatenate(found, axis=1)
