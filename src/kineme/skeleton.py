"""Joint layouts and maps from one layout to another by joint name."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .errors import InputError
from .registry import did_you_mean

PARTS = ("trunk", "left_arm", "right_arm", "left_leg", "right_leg")


@dataclass(frozen=True)
class Layout:
    """A named set of joints.

    Attributes:
        name: e.g. ``"ntu25"``; free layouts that a file brings along are called ``"free"``.
        joints: joint names as the field spells them, in file order; their number is V.
        parents: per joint the index of its parent, -1 where the tree begins. This is the tree of the bone stream;
            for ``ntu25`` it begins at the spine between the shoulders, as published.
        root: the joints whose mean is the body's centre (one pelvis joint, or both hips where there is none).
        parts: body part (``trunk, left_arm, right_arm, left_leg, right_leg``) -> joint indices.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    root: tuple[int, ...] = (0,)
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)

    def __len__(self) -> int:
        return len(self.joints)

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """Canonical word of every joint (alias table), or its own name in plain spelling where there is none."""
        return tuple(word(name) for name in self.joints)

    @functools.cached_property
    def mirror(self) -> tuple[int, ...]:
        """Index of each joint's left/right partner; its own index for joints of the middle."""
        where = {name: i for i, name in enumerate(self.words)}
        return tuple(where.get(_other_side(name), i) for i, name in enumerate(self.words))

    @functools.cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(joint, parent) for every joint that has a parent."""
        return tuple((i, p) for i, p in enumerate(self.parents) if p >= 0)

    def find(self, *names: str) -> int | None:
        """Index of the first of these canonical words that the layout has, or None."""
        for name in names:
            if name in self.words:
                return self.words.index(name)
        return None

    def as_dict(self) -> dict:
        """Plain containers for a card; :func:`from_dict` reads them back."""
        return {"name": self.name, "joints": list(self.joints), "parents": list(self.parents),
                "root": list(self.root), "parts": {k: list(v) for k, v in self.parts.items()}}


@dataclass(frozen=True)
class JointMap:
    """How the joints of one layout are made from those of another.

    Attributes:
        source, target: the two layouts.
        weights: float32 ``[V_target, V_source]``; rows sum to 1, rows of joints without a source are 0.
        missing: names of target joints without a source; a mapped motion has confidence 0 there.
        virtual: names of target joints made from several source joints, with the recipe in words.
        unused: names of source joints that no target joint takes.
    """

    source: Layout
    target: Layout
    weights: np.ndarray
    missing: tuple[str, ...]
    virtual: Mapping[str, str]
    unused: tuple[str, ...]


@functools.cache
def _data() -> dict:
    return tomllib.loads((Path(__file__).parent / "layouts.toml").read_text(encoding="utf-8"))


def layouts() -> tuple[str, ...]:
    """Names of the built-in layouts."""
    return tuple(_data()["layout"])
