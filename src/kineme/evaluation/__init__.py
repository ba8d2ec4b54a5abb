"""Scores that can be believed: every encoder beside its untrained self and beside hand-crafted features."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import baseline
    from .scores import summary, table, verdicts

__all__ = ["baseline", "summary", "table", "verdicts"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".run" if name == "baseline" else ".scores", __name__), name)
