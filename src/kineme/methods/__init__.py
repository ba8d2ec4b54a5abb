"""Methods: one file each; views of clips go in, losses come out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..encoders import Encoder
from ..motion.layout import Layout
from ..nn.momentum import KeyQueue
from ..utils.distributed import ProcessGroup
from ..views.augment import centre_crop
from ..views.batch import Batch
from ..views.source import ClipLoader

CROP = 0.95  # centre crop by which clips are embedded (Dong et al. 2023)
LOOK = 256  # clips at a time in `look`


@dataclass(frozen=True)
class StepContext:
    """Where training stands: number of the step and of the epoch (both from 0), their totals, the processes that train
    together (``dist``), the run's seed, and the steps of a whole epoch (the last one may have fewer).
    """

    number: int = 0
    epoch: int = 0
    steps: int = 1
    epochs: int = 1
    dist: ProcessGroup = field(default_factory=ProcessGroup)
    seed: int = 0
    per_epoch: int | None = None  # None: all epochs have as many

    @property
    def within(self) -> int:
        """Number of the step inside its epoch, from 0."""
        return self.number - self.epoch * (self.per_epoch or self.steps // self.epochs)

    def generator(self, word: str) -> torch.Generator:
        """A generator for what ``losses`` and ``after_step`` draw at this step: by word, the same in every process."""
        return generator(self.seed, word, self.number)


def generator(*words: object) -> torch.Generator:
    """A CPU generator seeded by words, e.g. (seed, "step", 12, rank): nothing has to be saved to resume it."""
    digest = hashlib.sha256(repr(words).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@dataclass(frozen=True)
class Released:
    """What the checkpoints of a method's authors hold, for :func:`kineme.import_weights`.

    Attributes:
        encoder: name of the encoder here, whose released form :mod:`kineme.training.published` knows.
        streams: released name of a query encoder -> stream, where there are several.
        every: whether every one of them has to be there; else all, or the first alone.
        aside: pattern of the names beside the query encoders, which are not needed to embed.
        together: settings of the method where the file has several encoders.
    """

    encoder: str
    streams: Mapping[str, str]
    every: bool
    aside: str
    together: Mapping[str, Any] = field(default_factory=dict)


THREE_STREAMS = {"encoder_q": "joint", "encoder_q_motion": "motion", "encoder_q_bone": "bone"}
"""Released names of the query encoders of the family of MoCo with three streams."""


class Method(nn.Module):
    """Base of every method. All state is parameters and buffers, so that resuming needs no code of the method's own.

    A file ``methods/NAME.py`` holds a class with the file's name (case and underscores aside): a ``Settings``
    dataclass (the paper's hyper-parameters and ``faithful``), ``__init__(settings, new_encoder)`` and the verbs
    below. Attributes:

    * ``unit``: ``"clip"``, ``"frame"`` or ``"video"``: what one row of an index is;
    * ``encoder_name``: the encoder taken when none is named;
    * ``RELEASED``: what its authors' checkpoints hold, if they can be imported.

    How it is trained stands in ``training/recipes/NAME``: ``published.toml``, and ``small.toml`` for small sets and
    machines without a GPU. Without these files (or those of the method that it derives from) the loop's defaults hold.
    """

    @dataclass(frozen=True)
    class Settings:
        """No settings."""

        faithful: bool = False

    unit: ClassVar[str] = "clip"
    encoder_name: ClassVar[str] = "recurrent"
    RELEASED: ClassVar[Released | None] = None
    settings: Any

    @classmethod
    def sized(cls, settings: dict[str, Any], clips: int) -> dict[str, Any]:
        """Settings that a training run without a recipe takes for so many training clips; by default those given."""
        return settings

    @property
    def frames(self) -> int:
        """Frames of a view, also used to embed clips."""
        return getattr(getattr(self.settings, "views", None), "frames", 64)

    @classmethod
    def sees(cls, layout: Layout, coords: int, normalise: dict[str, Any]) -> tuple[Layout, int, dict[str, Any]]:
        """What the encoder is given of a store with this layout, number of coordinates and normalisation (as
        :func:`kineme.motion.normalise.describe` writes it); clips to be embedded must be of that kind. By default what
        the store has.
        """
        return layout, coords, normalise

    def items(self, source: ClipLoader, rows: Tensor) -> Tensor:
        """What an epoch goes through: the clips ``rows`` (int64 on the CPU); of a method with another unit, numbers
        that its ``views`` understands.
        """
        return rows

    def look(self, source: ClipLoader, rows: Tensor) -> Iterator[Batch]:
        """The clips ``rows`` as the encoder is to see them, without augmentation, in batches of at least two: the
        batch-norm statistics of the untrained encoder are taken from these.
        """
        for index in rows.split(LOOK):
            if len(index) > 1 or len(rows) == 1:
                crop = centre_crop(source.lengths[index], CROP)
                yield source.gather(index, crop.start, crop.length, self.frames)

    def notes(self, source: ClipLoader) -> list[str]:
        """What is to be said of the training clips before the first step: a sentence each."""
        return []

    def views(self, source: ClipLoader, index: Tensor, gen: torch.Generator) -> tuple[Batch, ...]:
        """Draw and apply what the method sees of the clips ``index [B]``; no gradient."""
        raise TypeError(f"{type(self).__name__} has no views")

    def losses(self, views: tuple[Batch, ...], step: StepContext) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """``({group: loss}, {name: value to log})``; losses are means over the rows of this process."""
        raise TypeError(f"{type(self).__name__} has no losses")

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Disjoint lists of parameters, one optimiser each."""
        return {"loss": [p for p in self.parameters() if p.requires_grad]}

    def after_step(self, step: StepContext) -> None:
        """What follows the optimiser's step: enqueue, prototypes, ramps."""

    def settled(self) -> bool:
        """Whether the loss means what it will go on to mean: by default once all queues hold keys, nothing random."""
        return all(bool(m.filled >= len(m)) for m in self.modules() if isinstance(m, KeyQueue))

    def encoder(self) -> Encoder:
        """What a run is for."""
        raise TypeError(f"{type(self).__name__} has no encoder")


NewEncoder = Callable[[], Encoder]
