"""Weights that come with Kineme: runs inside the package, opened by their name."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "weights"


def names() -> tuple[str, ...]:
    """Names that :func:`kineme.load` knows."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/card.json")))


def folder(run: Path) -> Path:
    """The folder of a run: as given if there is something, else that of the weights of this name, else as given."""
    return FOLDER / run if not run.exists() and str(run) in names() else run


def is_bundled(run: Path) -> bool:
    """Whether a run lies inside the package, where nothing is written."""
    return run.parent == FOLDER
