"""What a run takes: clips of its layout and coordinates, prepared as its own data were."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.store import Store
from ..motion import layout as skeleton
from ..motion.layout import Layout
from ..training import bundled
from ..utils.errors import InputError


class OtherKind(InputError):
    """Motion of which nothing has as many coordinates as the run takes.

    Args:
        where, found, expected: as of every :class:`~kineme.utils.errors.InputError`.
        coords: what the motion has.
    """

    def __init__(self, where: object, found: str, expected: str, coords: int):
        name = bundled.suited(coords)
        hint = (
            f"Weights that take it: {name} (--run {name})"
            if name
            else "Take a run that learned from such motion (--run)"
        )
        super().__init__(where, found, expected, hint)
        self.coords = coords


def check(clips: Any, layout: Layout, card: Mapping[str, Any], run: Path | None) -> None:
    """Compare clips with a run.

    Args:
        clips: a store, or clips in memory that have been fitted.
        layout: of the run.
        card: of the run.
        run: its folder, for messages.

    Raises:
        InputError: another layout, number of coordinates or, of a store, preparation.
    """
    where, mine = getattr(clips, "path", "clips"), run or "the model"
    if clips.frames.shape[3] != card["coords"]:
        coords = clips.frames.shape[3]
        raise OtherKind(where, f"{coords} coordinates per joint", f"{card['coords']} as in {mine}", coords)
    if clips.layout.joints != layout.joints:
        raise InputError(
            where,
            f"layout {clips.layout.name} ({len(clips.layout)} joints), {_differing(clips.layout, layout)}",
            f"layout {layout.name} ({len(layout)} joints) as in {mine}",
            f"Prepare it with: kineme prepare SRC DEST --layout {layout.name}"
            if layout.name in skeleton.layouts()
            else "Give the motion files themselves: they are mapped to the run's joints by name",
        )
    if not isinstance(clips, Store):
        return
    has, wants = clips.card["normalise"], card["normalise"]
    dropped = [each.get("unsure", "keep") for each in (has, wants)]
    if dropped[0] != dropped[1]:
        raise InputError(
            where,
            f"prepared with --unsure {dropped[0]}",
            f"--unsure {dropped[1]} as for {mine}",
            f"Prepare it with: kineme prepare SRC DEST --unsure {dropped[1]}",
        )
    cleaned = ["with" if each.get("clean") else "without" for each in (has, wants)]
    if cleaned[0] != cleaned[1]:
        said = f"{where} was prepared {cleaned[0]} --clean, the data of {mine} {cleaned[1]}: vectors may differ"
        warnings.warn(said, stacklevel=5)
    (how, options), (wanted, others) = ((each.get("how", "none"), each.get("options", {})) for each in (has, wants))
    if (how, options) != (wanted, others):
        raise InputError(
            where,
            f"normalised by {how!r} {options or ''}",
            f"{wanted!r} {others or ''} as in {mine}",
            f"Prepare it with: kineme prepare SRC DEST --normalise {wanted}",
        )


def some(names: Sequence[str], most: int = 40) -> str:
    """Some of these names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _differing(has: Layout, wants: Layout) -> str:
    """Which joints two layouts do not share, in words."""
    here, there = (
        [name for name in one.joints if name not in other.joints] for one, other in ((has, wants), (wants, has))
    )
    parts = [f"{word} {some(names, 12)}" for word, names in (("with", here), ("without", there)) if names]
    return " and ".join(parts) or "the same joints in another order"
