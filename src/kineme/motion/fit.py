"""Motion as the encoder of a run takes it: its joints, bodies of its size, its normalisation, its axis up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import layout as skeleton
from . import normalise, size
from .joint_map import JointMap, joint_map
from .layout import Layout
from .motion import Motion


@dataclass(frozen=True)
class Target:
    """What a run takes, from its card.

    Attributes:
        layout: its joints.
        coords: 2 or 3.
        normalise: how its clips are normalised (:func:`kineme.motion.normalise.describe`).
        size: of its bodies (:mod:`kineme.motion.size`), or None.
        up: the axis that is up, or None.
        odd: scale bodies that fit no unit; else they stay, as in the releases of others.
    """

    layout: Layout
    coords: int
    normalise: Mapping[str, Any]
    size: Mapping[str, Any] | None
    up: str | None
    odd: bool

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Target:
        """From the card of a run."""
        faithful = bool(card.get("recipe", {}).get("method", {}).get("faithful"))
        layout = skeleton.from_dict(card["layout"])
        return cls(layout, card["coords"], card["normalise"], card.get("size"), card.get("up"), not faithful)

    def map(self, layout: Layout) -> JointMap | None:
        """How the joints are made from those of another layout; None where they are the same."""
        return None if layout.joints == self.layout.joints else joint_map(layout, self.layout)

    def fit(self, motion: Motion) -> Motion:
        """A motion that has the joints already: sized, normalised and turned."""
        fitted = normalise.apply(size.fit(motion, self.size, self.odd), self.normalise)
        return size.turned(fitted, self.up)
