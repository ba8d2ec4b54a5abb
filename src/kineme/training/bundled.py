"""Finished runs that another begins with, by their folder; and those inside the package, by their name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..motion.fit import Target
from ..motion.layout import Layout
from ..utils import registry
from ..utils import settings as plain
from ..utils.errors import InputError
from ..utils.files import sha256
from . import card as cards
from . import recipe

FOLDER = Path(__file__).parent / "weights"
WEIGHTS = "model.safetensors"
FEW, FEW_OF_SEVERAL = 100, 20  # clips up to which weights that come along lead, by docs/results/small-data.md; the
# second where a clip has more persons than they were trained for


def names() -> tuple[str, ...]:
    """Names that :func:`kineme.load` knows."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/card.json")))


def suited(coords: int) -> str | None:
    """The first weights that come along and take motion of so many coordinates, by their name."""
    return next((name for name in names() if cards.read(FOLDER / name)["coords"] == coords), None)


def folder(run: Path) -> Path:
    """The folder of a run: as given if there is something, else that of the weights of this name, else as given."""
    return FOLDER / run if not run.exists() and str(run) in names() else run


def is_bundled(run: Path) -> bool:
    """Whether a run lies inside the package, where nothing is written."""
    return run.parent == FOLDER


@dataclass(frozen=True)
class Init:
    """A finished run with whose encoder another begins: its weights alone.

    Attributes:
        path: its folder.
        card: its card.
    """

    path: Path
    card: dict[str, Any]

    @property
    def name(self) -> str:
        """As it was called: weights that come with Kineme by their name, a run by its folder."""
        return self.path.name if is_bundled(self.path) else str(self.path)

    @property
    def weights(self) -> Path:
        """Its encoder."""
        return self.path / WEIGHTS

    @property
    def untrained(self) -> Path:
        """Its encoder before any training."""
        return self.path / "initial.safetensors"

    def recorded(self) -> dict[str, Any]:
        """The entry ``init`` of a card."""
        return {"run": self.name, "hash": sha256(self.weights), "epochs": 0, "weights": True}

    def settings(self, method: str, given: Mapping[str, Any], named: str | None = None) -> dict[str, Any]:
        """Settings of the training that begins with it, where nothing else is said: the encoder's are its own, the loop
        is that of the method's preset ``adapted``, if it has one.

        Args:
            method: its name.
            given: what was said, as dotted names.
            named: the recipe that was asked for, whose loop then counts.
        """
        own = {"encoder.name": self.card["encoder"]}
        own |= {f"encoder.{name}": value for name, value in self.card["recipe"]["encoder"].items()}
        if named is None:
            own |= plain.flat(recipe.preset(registry.entry("methods", method), recipe.ADAPTED))
        if recipe.LENGTH & given.keys():
            own = {name: value for name, value in own.items() if name not in recipe.LENGTH}
        return own | dict(given)


def init(run: str | Path) -> Init:
    """Open a finished run, or weights that come with Kineme, as the beginning of another.

    Raises:
        InputError: no run there, or an unfinished one.
    """
    path = folder(Path(run))
    card = cards.read(path)
    if not (path / WEIGHTS).exists() or card.get("status", "done") != "done":
        hint = "Let it end first: kineme pretrain ... --resume"
        raise InputError(path, "an unfinished run", "a finished run to begin with", hint)
    return Init(path, card)


def advised(clips: int, layout: Layout, coords: int, persons: int) -> str | None:
    """The weights with which a training on so few clips had better begin, or None."""
    for name in names():
        card = cards.read(FOLDER / name)
        mapping = Target.of(card).map(layout)
        few = FEW if persons <= card["persons"] else FEW_OF_SEVERAL
        if clips <= few and coords == card["coords"] and not (mapping and mapping.missing):
            return name
    return None
