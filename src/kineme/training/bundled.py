"""Finished runs that another begins with, by their folder; and those inside the package, by their name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils import settings as plain
from ..utils.errors import InputError
from ..utils.files import sha256
from . import card as cards

FOLDER = Path(__file__).parent / "weights"
WEIGHTS = "model.safetensors"


def names() -> tuple[str, ...]:
    """Names that :func:`kineme.load` knows."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/card.json")))


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

    def settings(self, given: plain.Changes) -> dict[str, Any]:
        """Settings of the training that begins with it: the encoder's are its own, where nothing else is said."""
        own = {"encoder.name": self.card["encoder"]}
        own |= {f"encoder.{name}": value for name, value in self.card["recipe"]["encoder"].items()}
        return own | plain.assignments(given)


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
