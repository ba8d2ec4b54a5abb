"""Kinds of motion in one folder: 2-D and 3-D, and layouts that cannot be made from each other; a store for each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..motion import layout as skeleton
from ..motion.joint_map import joint_map
from ..motion.layout import Layout
from ..utils import registry
from ..utils.errors import InputError

DIMENSIONS = {"2d": 2, "3d": 3}


@dataclass
class Kind:
    """Clips that go into one store.

    Attributes:
        layout, coords: of all of them.
        clips: how many.
        persons: most in one of them.
        first: the file of the first.
        parts: folders of the stores that hold them, in order.
        sources: their files.
        axes: (up, unit) of them, distinct.
        bodies: of every clip in 3-D the axis that is up, and the values of its :class:`kineme.data.conform.Body`.
    """

    layout: Layout
    coords: int
    clips: int = 0
    persons: int = 0
    first: str = ""
    parts: list[Path] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    axes: set[tuple[str | None, str]] = field(default_factory=set)
    bodies: list[list[Any]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.layout.name} of {len(self.layout)} joints, {self.coords}-D"

    @property
    def name(self) -> str:
        """What it is called on the command line: ``3d-ntu25``, ``3d-free24`` (24 joints)."""
        return f"{self.coords}d-{called(self.layout)}"


def option(layout: Layout | str | None) -> str | dict[str, Any] | None:
    """A layout as a setting: the name of a known one, what describes another."""
    if not isinstance(layout, Layout):
        return layout
    known = layout.name in skeleton.layouts() and skeleton.layout(layout.name) == layout
    return layout.name if known else layout.as_dict()


def called(layout: Layout) -> str:
    """The name of a layout, with the number of joints where that alone tells nothing."""
    return layout.name if layout.name in skeleton.layouts() else f"{layout.name}{len(layout)}"


def group(shards: Iterable[tuple[Path, Mapping[str, Any]]]) -> list[Kind]:
    """The kinds in shards, given as their folders and summaries, in the order in which they come."""
    kinds: dict[tuple[Layout, int], Kind] = {}
    for folder, summary in shards:
        for k, entry in enumerate(summary["layouts"]):
            layout = skeleton.from_dict(entry["layout"])
            kind = kinds.setdefault((layout, entry["coords"]), Kind(layout, entry["coords"], first=entry["first"]))
            kind.clips += entry["clips"]
            kind.persons = max(kind.persons, entry["persons"])
            kind.parts.append(folder / store(k))
            kind.sources |= set(entry["sources"])
            kind.bodies += entry["bodies"]
            kind.axes |= {(up, unit) for up, unit in entry["axes"]}
    return list(kinds.values())


def store(number: int) -> str:
    """Name of the store of a shard's kind."""
    return f"store-{number}"


def folders(kinds: Sequence[Kind]) -> list[str]:
    """A name for each kind's store: ``2d`` and ``3d``, with the layout behind it where there are several of one."""
    several = Counter(kind.coords for kind in kinds)
    names = [kind.name if several[kind.coords] > 1 else f"{kind.coords}d" for kind in kinds]
    met = Counter[str]()
    for i, name in enumerate(names):
        met[name] += 1
        names[i] = name if met[name] == 1 else f"{name}-{met[name]}"
    return names


def common(kinds: Sequence[Kind]) -> Layout | None:
    """A layout whose every joint can be made from each of these, with at least half of the joints of the largest.

    Their own layouts go first, the one with most joints (and clips), then the known ones; None where there is none.
    """
    own = sorted(kinds, key=lambda kind: (-len(kind.layout), -kind.clips))
    known = sorted(map(skeleton.layout, skeleton.layouts()), key=len, reverse=True)
    for target in (*(kind.layout for kind in own), *known):
        if 2 * len(target) >= len(own[0].layout) and all(
            kind.layout == target or not joint_map(kind.layout, target).missing for kind in kinds
        ):
            return target
    return None


def check(only: str) -> None:
    """Refuse a choice that can choose nothing.

    Raises:
        InputError: neither ``2d``, ``3d`` nor a format, a layout, or the name of a kind.
    """
    known = [*DIMENSIONS, *registry.names("io"), *skeleton.layouts()]
    if only not in known and not re.fullmatch(r"free\d*|[23]d-\w+", only):
        raise InputError(
            f"--only {only!r}",
            "no kind of motion",
            f"2d, 3d, a format ({', '.join(registry.names('io'))}) or a layout ({', '.join(skeleton.layouts())})",
            registry.did_you_mean(only, known),
        )


def fits(only: str, format: str, layout: Layout, coords: int) -> bool:
    """Whether a clip is of the kind that was asked for."""
    name = called(layout)
    return only in (f"{coords}d", format, layout.name, name, f"{coords}d-{name}")
