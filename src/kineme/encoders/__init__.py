"""Encoders: one file each; a batch goes in, features come out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from ..motion.layout import Layout
from ..utils import registry
from ..views.batch import Batch


class Features(NamedTuple):
    """What every encoder returns.

    Attributes:
        clip: ``[B, D]``, one vector per clip; this is what probes see.
        frame: ``[B, T', D']`` where there is one vector per frame, else None.
        parts: what the encoder's method contrasts, by name (clip and part granularities, pose and view codes, tokens).
    """

    clip: Tensor
    frame: Tensor | None = None
    parts: dict[str, Tensor] = {}  # noqa: RUF012 - never written to


class Encoder(nn.Module):
    """Base of every encoder.

    A file ``encoders/NAME.py`` holds a class with the file's name: a ``Settings`` dataclass of plain values, ``dim``
    (the D of ``Features.clip``), ``__init__(settings, layout, coords)`` and ``forward(batch) -> Features``. No
    augmentation in here; joints with ``seen`` 0 do not count. Settings called ``persons`` and ``up`` that are None take
    the store's number of persons and its up axis.
    """

    @dataclass(frozen=True)
    class Settings:
        """No settings."""

    pictures: ClassVar[bool] = False  # whether `forward` reads `Batch.frames`
    dim: int
    layout: Layout | None = None  # set by `build`

    def forward(self, batch: Batch) -> Features:
        """``Batch`` of ``[B, T, M, V, C]`` -> :class:`Features`."""
        raise TypeError(f"{type(self).__name__} has no forward")


def build(name: str, settings: Any, layout: Layout, coords: int, persons: int, up: str | None = None) -> Encoder:
    """Make an encoder by name, ``persons`` and ``up`` filled in from the data where they were left open."""
    encoder = registry.entry("encoders", name)(fill(settings, persons=persons, up=up), layout, coords)
    encoder.layout = layout
    return encoder


def fill(settings: Any, **data: Any) -> Any:
    """Settings in which what was left open (None) is taken from the data."""
    known = [name for name in data if getattr(settings, name, data) is None]
    return dataclasses.replace(settings, **{name: data[name] for name in known})
